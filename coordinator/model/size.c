/* Sizes as people write them; see spec.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/spec.h"

#define KIB UINT64_C(1024)
#define KB	UINT64_C(1000)

/* The first `PRINTED_UNITS` are the ones that size_format writes. */
static const struct
{
	const char *suffix;
	uint64_t bytes;
} units[] = {
	{"Ti", KIB *KIB *KIB *KIB},
	{"T", KB *KB *KB *KB},
	{"Gi", KIB *KIB *KIB},
	{"G", KB *KB *KB},
	{"Mi", KIB *KIB},
	{"M", KB *KB},
	{"Ki", KIB},
	{"K", KB},
	{"", 1},
	{"B", 1},
	{"KiB", KIB},
	{"MiB", KIB *KIB},
	{"GiB", KIB *KIB *KIB},
	{"TiB", KIB *KIB *KIB *KIB},
	{"KB", KB},
	{"MB", KB *KB},
	{"GB", KB *KB *KB},
	{"TB", KB *KB *KB *KB},
};
#define UNIT_COUNT	  (sizeof(units) / sizeof(units[0]))
#define PRINTED_UNITS 9

const char *
size_parse(const char *text, uint64_t *ret_bytes)
{
	uint64_t number = 0;
	const char *c = text;

	for (; *c >= '0' && *c <= '9'; c++)
	{
		if (__builtin_mul_overflow(number, 10, &number) ||
			__builtin_add_overflow(number, (uint64_t) (*c - '0'), &number))
			return "a size must fit into 64 bits";
	}
	if (c == text)
		return "a size is a whole number and a unit, such as 100Mi or 5GB";
	for (size_t i = 0; i < UNIT_COUNT; i++)
	{
		if (strcmp(c, units[i].suffix) != 0)
			continue;
		if (__builtin_mul_overflow(number, units[i].bytes, &number))
			return "a size must fit into 64 bits";
		*ret_bytes = number;
		return NULL;
	}
	return "the unit of a size is one of Ki, Mi, Gi, Ti (powers of 1024), K, M, G, T (powers of 1000) or none (bytes)";
}

void
size_format(uint64_t bytes, char text[32])
{
	snprintf(text, 32, "%" PRIu64, bytes);
	if (bytes == 0)
		return;
	for (size_t i = 0; i < PRINTED_UNITS; i++)
	{
		char candidate[32];

		if (bytes % units[i].bytes != 0)
			continue;
		snprintf(candidate, sizeof(candidate), "%" PRIu64 "%s", bytes / units[i].bytes, units[i].suffix);
		if (strlen(candidate) < strlen(text))
			memcpy(text, candidate, sizeof(candidate));
	}
}
