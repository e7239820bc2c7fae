/* Durations as people write them; see spec.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/spec.h"

static const struct
{
	const char *suffix;
	uint64_t ms;
} units[] = {
	{"d", UINT64_C(86400000)}, {"h", UINT64_C(3600000)}, {"m", UINT64_C(60000)}, {"s", UINT64_C(1000)}, {"ms", 1},
};
#define UNIT_COUNT (sizeof(units) / sizeof(units[0]))

static const char *const too_long = "a duration must fit into 64 bits of milliseconds";
static const char *const malformed =
	"a duration is a number of seconds, or numbers with units from large to small, such as 500ms, 3s or 1h30m";

/* Reads digits at *cursor. False when there are none; *overflow when they don't fit. */
static bool
read_number(const char **cursor, uint64_t *ret_number, bool *overflow)
{
	const char *c = *cursor;
	uint64_t number = 0;

	for (; *c >= '0' && *c <= '9'; c++)
	{
		if (__builtin_mul_overflow(number, 10, &number) ||
			__builtin_add_overflow(number, (uint64_t) (*c - '0'), &number))
			*overflow = true;
	}
	if (c == *cursor)
		return false;
	*cursor = c;
	*ret_number = number;
	return true;
}

/* The unit at *cursor, from `first` on (large to small, each once). UNIT_COUNT when there is none. */
static size_t
read_unit(const char **cursor, size_t first)
{
	size_t length = strspn(*cursor, "dhms");

	for (size_t i = first; i < UNIT_COUNT; i++)
	{
		if (strlen(units[i].suffix) == length && strncmp(*cursor, units[i].suffix, length) == 0)
		{
			*cursor += length;
			return i;
		}
	}
	return UNIT_COUNT;
}

const char *
duration_parse(const char *text, uint64_t *ret_ms)
{
	const char *cursor = text;
	uint64_t total = 0;
	size_t next_unit = 0;
	bool overflow = false;

	do
	{
		uint64_t number;
		size_t unit;

		if (!read_number(&cursor, &number, &overflow))
			return malformed;
		if (*cursor == '\0' && next_unit == 0)
			unit = 3; /* a bare number: seconds */
		else
			unit = read_unit(&cursor, next_unit);
		if (unit == UNIT_COUNT)
			return malformed;
		next_unit = unit + 1;
		if (__builtin_mul_overflow(number, units[unit].ms, &number) || __builtin_add_overflow(total, number, &total))
			overflow = true;
	} while (*cursor != '\0');
	if (overflow)
		return too_long;
	*ret_ms = total;
	return NULL;
}

/* "1h30m"; empty for 0. */
static void
format_mixed(uint64_t ms, char text[64])
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < UNIT_COUNT; i++)
	{
		if (ms / units[i].ms == 0)
			continue;
		used += (size_t) snprintf(text + used, 64 - used, "%" PRIu64 "%s", ms / units[i].ms, units[i].suffix);
		ms %= units[i].ms;
	}
}

void
duration_format(uint64_t ms, char text[32])
{
	char mixed[64];

	if (ms == 0)
	{
		memcpy(text, "0s", 3);
		return;
	}
	for (size_t i = 0; i < UNIT_COUNT; i++)
	{
		if (ms % units[i].ms != 0)
			continue;
		snprintf(text, 32, "%" PRIu64 "%s", ms / units[i].ms, units[i].suffix);
		break;
	}
	format_mixed(ms, mixed);
	if (strlen(mixed) < strlen(text))
		memcpy(text, mixed, strlen(mixed) + 1);
}
