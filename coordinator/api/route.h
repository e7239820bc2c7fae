/*
 * The routes of the API: one table. The dispatcher, the "Allow" header and the comparison with docs/openapi.yaml all
 * read it.
 */
#ifndef API_ROUTE_H
#define API_ROUTE_H

#include <stddef.h>

#include "base/error.h"

typedef struct ApiCall ApiCall;

#define ROUTE_MAX_PARAMETERS	  3
#define ROUTE_PARAMETER_MAX_BYTES 255

typedef struct ApiRoute
{
	const char *method;	 /* "GET" */
	const char *pattern; /* "/v1/namespaces/{ns}/apps/{name}"; {…} takes one segment */
	const char *query;	 /* "follow,tail": the keys that may follow the '?'; NULL: none */
	void (*handle)(ApiCall *call);
	const char *summary;
} ApiRoute;

extern const ApiRoute api_routes[];
extern const size_t api_route_count;

typedef struct RouteParameter
{
	char name[16];
	char value[ROUTE_PARAMETER_MAX_BYTES + 1]; /* decoded */
} RouteParameter;

typedef struct RouteMatch
{
	const ApiRoute *route;
	RouteParameter parameters[ROUTE_MAX_PARAMETERS];
	size_t parameter_count;
	char allow[64]; /* "GET, DELETE": what the path would take, on -EOPNOTSUPP */
} RouteMatch;

/*
 * Finds the route of a path (still percent-encoded, without the query).
 * Errors: -ENOENT; -EOPNOTSUPP when the path is there with other methods (ret_match->allow is written);
 * -EINVAL when a segment is empty, too long or wrongly encoded.
 */
int route_find(const char *method, const char *path, RouteMatch *ret_match, Error *err) MUST_CHECK;

#endif
