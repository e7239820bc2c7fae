/* Finds the route of a request; see route.h. */
#include <errno.h>
#include <event2/http.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/route.h"
#include "base/cleanup.h"

/* One segment of a pattern or a path: what stands between two slashes. */
typedef struct Segment
{
	const char *start;
	size_t length;
} Segment;

/* Takes the next segment off *at, which stands on a slash. False at the end. */
static bool
segment_next(const char **at, Segment *ret_segment)
{
	if (**at != '/')
		return false;
	ret_segment->start = *at + 1;
	ret_segment->length = strcspn(*at + 1, "/");
	*at = ret_segment->start + ret_segment->length;
	return true;
}

static bool
segment_is_parameter(const Segment *segment)
{
	return segment->length > 2 && segment->start[0] == '{' && segment->start[segment->length - 1] == '}';
}

/* Whether the path has the pattern's shape: the same number of segments and the same fixed ones. */
static bool
pattern_fits(const char *pattern, const char *path)
{
	Segment wanted;
	Segment given;

	for (;;)
	{
		bool more_wanted = segment_next(&pattern, &wanted);
		bool more_given = segment_next(&path, &given);

		if (more_wanted != more_given)
			return false;
		if (!more_wanted)
			return *path == '\0';
		if (segment_is_parameter(&wanted))
			continue;
		if (wanted.length != given.length || memcmp(wanted.start, given.start, given.length) != 0)
			return false;
	}
}

static int
parameter_read(const Segment *wanted, const Segment *given, RouteParameter *ret_parameter, Error *err)
{
	_cleanup_free_ char *encoded = strndup(given->start, given->length);
	_cleanup_free_ char *decoded = NULL;
	size_t size = 0;
	int name_bytes = (int) wanted->length - 2;

	if (encoded != NULL) /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): freed by the cleanup attribute */
		decoded = evhttp_uridecode(encoded, 0, &size);
	if (decoded == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	if (size == 0 || size > ROUTE_PARAMETER_MAX_BYTES || strlen(decoded) != size)
		return error_set(err, -EINVAL, "path: '{%.*s}' must have 1 to %d characters", name_bytes, wanted->start + 1,
						 ROUTE_PARAMETER_MAX_BYTES);
	snprintf(ret_parameter->name, sizeof(ret_parameter->name), "%.*s", name_bytes, wanted->start + 1);
	memcpy(ret_parameter->value, decoded, size + 1);
	return 0;
}

static int
parameters_read(const ApiRoute *route, const char *path, RouteMatch *ret_match, Error *err)
{
	const char *pattern = route->pattern;
	RouteMatch match = {.route = route};
	Segment wanted;
	Segment given;

	while (segment_next(&pattern, &wanted) && segment_next(&path, &given))
	{
		int result;

		if (!segment_is_parameter(&wanted))
			continue;
		result = parameter_read(&wanted, &given, &match.parameters[match.parameter_count], err);
		if (result < 0)
			return result;
		match.parameter_count++;
	}
	*ret_match = match;
	return 0;
}

int
route_find(const char *method, const char *path, RouteMatch *ret_match, Error *err)
{
	char allow[sizeof(ret_match->allow)] = "";

	for (size_t i = 0; i < api_route_count; i++)
	{
		size_t length = strlen(allow);

		if (!pattern_fits(api_routes[i].pattern, path))
			continue;
		if (strcmp(api_routes[i].method, method) == 0)
			return parameters_read(&api_routes[i], path, ret_match, err);
		snprintf(allow + length, sizeof(allow) - length, "%s%s", length > 0 ? ", " : "", api_routes[i].method);
	}
	if (allow[0] == '\0')
		return error_set(err, -ENOENT, "there is no such path: %.200s", path);
	memcpy(ret_match->allow, allow, sizeof(allow));
	return error_set(err, -EOPNOTSUPP, "%.200s takes %s, not %s", path, allow, method);
}
