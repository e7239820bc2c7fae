/*
 * One request: what was asked, and the ways to answer it. A handler answers exactly once, now or later; answering
 * gives the call back. Whoever answers need not know whether the client is still there.
 */
#ifndef API_CALL_H
#define API_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "api/route.h"
#include "base/error.h"
#include "engine/engine.h"

struct bufferevent;
struct evbuffer;
struct event_base;
struct json_t;

/* The biggest body that is taken: several files of resources, of 1 MiB at most each. */
#define API_MAX_BODY_BYTES (4 * 1024 * 1024)

Engine *api_call_engine(const ApiCall *call);
struct event_base *api_call_loop(const ApiCall *call);

/* A parameter of the route's pattern, never NULL. */
const char *api_call_parameter(const ApiCall *call, const char *name);
/* A value from behind the '?', decoded; NULL when it isn't there. */
const char *api_call_query(const ApiCall *call, const char *key);
/* A number from behind the '?'; standard when it isn't there. -EINVAL. */
int api_call_query_number(const ApiCall *call, const char *key, uint64_t standard, uint64_t most, uint64_t *ret_number,
						  Error *err) MUST_CHECK;
/* "true" or "false" from behind the '?'; false when it isn't there. -EINVAL. */
int api_call_query_flag(const ApiCall *call, const char *key, bool *ret_flag, Error *err) MUST_CHECK;
/* The body, borrowed; not NUL-terminated. */
const char *api_call_body(const ApiCall *call, size_t *ret_size);
/* The body as a JSON object; the caller gives it back. -EINVAL. */
int api_call_read_json(const ApiCall *call, struct json_t **ret_body, Error *err) MUST_CHECK;
/* The machine of the path; with ?prefix=true its name may be a unique prefix. -ENOENT, -ENOTUNIQ, -EINVAL. */
int api_call_resolve_machine(const ApiCall *call, char ret_name[NAME_MAX_BYTES + 1], Error *err) MUST_CHECK;
/* A header of the request; NULL when it isn't there. */
const char *api_call_header(const ApiCall *call, const char *name);

/* Answers 200 with a JSON body (borrowed). */
void api_call_reply(ApiCall *call, const struct json_t *body);
/* Answers with the status that the table of status.c has for the result (negative errno). */
void api_call_reply_error(ApiCall *call, int result, const Error *err);
/* As before, with a body of {"error": {"code", "message"}} and the members of more (borrowed). */
void api_call_reply_error_with(ApiCall *call, int result, const Error *err, const struct json_t *more);
/*
 * Answers with what the engine came to, in the shape of EngineDone: context is the call, the body is borrowed. A
 * success without a body is answered by an empty object.
 */
void api_call_finish(void *context, int result, struct json_t *body, const Error *err);
/* As api_call_finish, and takes the body over, which there is on success. */
void api_call_finish_with(ApiCall *call, int result, struct json_t *body, const Error *err);

/*
 * Calls gone when the client leaves, or the server is freed, before the call was answered. The call is given back
 * right after gone has returned, and must not be answered any more.
 */
void api_call_on_gone(ApiCall *call, void (*gone)(void *context), void *context);

/* A body of unknown length in pieces. sent runs whenever a piece has left for the client. */
void api_call_stream_start(ApiCall *call, const char *content_type);
void api_call_stream_send(ApiCall *call, struct evbuffer *piece, void (*sent)(void *context), void *context);
void api_call_stream_end(ApiCall *call);

/*
 * Answers 101 and hands the raw connection over: no call-backs are set on it, its time-outs are off, bytes that came
 * behind the request are in its input. It belongs to the call until api_call_close; on_gone still works.
 */
struct bufferevent *api_call_upgrade(ApiCall *call, const char *protocol);
/* Ends an upgraded call at once: what is not yet written is lost. */
void api_call_close(ApiCall *call);

#endif
