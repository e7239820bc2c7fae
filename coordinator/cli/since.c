/* Reading --since; see since.h. */
#include "cli/since.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "model/spec.h"

/* ".5", "Z", "+01:00" behind a time of day; offset_seconds stays when there is none of those with a zone. */
static bool
read_fraction_and_zone(const char *rest, unsigned *ret_ms, bool *ret_has_zone, long *ret_offset_seconds)
{
	unsigned scale = 100;
	int hours;
	int minutes;
	int length = 0;

	if (*rest == '.')
	{
		if (*++rest < '0' || *rest > '9')
			return false;
		for (; *rest >= '0' && *rest <= '9'; rest++, scale /= 10)
			*ret_ms += (unsigned) (*rest - '0') * scale;
	}
	if (*rest == '\0')
		return true;
	*ret_has_zone = true;
	if (strcmp(rest, "Z") == 0 || strcmp(rest, "z") == 0)
		return true;
	if ((*rest != '+' && *rest != '-') || sscanf(rest + 1, "%2d:%2d%n", &hours, &minutes, &length) != 2 ||
		length != 5 || rest[6] != '\0')
		return false;
	*ret_offset_seconds = (hours * 60L + minutes) * 60L * (*rest == '-' ? -1 : 1);
	return true;
}

/* RFC 3339; a day, or a time without a zone, is local. */
static bool
parse_time(const char *text, uint64_t *ret_ms)
{
	struct tm parts = {.tm_isdst = -1};
	unsigned ms = 0;
	bool has_zone = false;
	long offset_seconds = 0;
	const char *rest = strptime(text, "%Y-%m-%d", &parts);
	time_t seconds;

	if (rest == NULL)
		return false;
	if (*rest == 'T' || *rest == 't' || *rest == ' ')
	{
		rest = strptime(rest + 1, "%H:%M:%S", &parts);
		if (rest == NULL || !read_fraction_and_zone(rest, &ms, &has_zone, &offset_seconds))
			return false;
	}
	else if (*rest != '\0')
		return false;
	seconds = has_zone ? timegm(&parts) - offset_seconds : mktime(&parts);
	if (seconds < 0)
		return false;
	*ret_ms = (uint64_t) seconds * 1000 + ms;
	return true;
}

bool
since_parse(const char *text, uint64_t *ret_ms)
{
	uint64_t now_ms = clock_realtime_ms();
	uint64_t ago_ms;

	if (duration_parse(text, &ago_ms) == NULL && ago_ms <= now_ms)
	{
		*ret_ms = now_ms - ago_ms;
		return true;
	}
	return parse_time(text, ret_ms);
}
