/* What the server does with calls; for server.c and call.c. */
#ifndef API_CALL_PRIVATE_H
#define API_CALL_PRIVATE_H

#include "api/call.h"

struct evhttp_request;

typedef struct CallList
{
	ApiCall *first;
} CallList;

/* Makes a call of a request, finds its route and runs the handler, or answers with what is wrong. */
void call_dispatch(CallList *list, Engine *engine, struct event_base *loop, struct evhttp_request *request);

/* Lets go of every call that is not answered yet: the engine's answers then go nowhere. */
void call_list_abandon(CallList *list);

#endif
