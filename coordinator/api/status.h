/* What an error is called in HTTP: one table from negative errno to status and code. */
#ifndef API_STATUS_H
#define API_STATUS_H

#include <stddef.h>

typedef struct ApiStatus
{
	int errnum;		  /* positive errno */
	int http;		  /* 404 */
	const char *code; /* "not-found", for programs */
} ApiStatus;

/* The table, for the documentation and the tests. */
extern const ApiStatus api_statuses[];
extern const size_t api_status_count;

/* result: negative errno. What is not in the table is 500 "failed": the host's fault, not the client's. */
const ApiStatus *api_status_find(int result);

/* "Not Found" for 404. */
const char *api_status_phrase(int http);

#endif
