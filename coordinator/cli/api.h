/* Requests to the coordinator as commands make them: JSON in and out, errors on standard error, exit codes. */
#ifndef CLI_API_H
#define CLI_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/http.h"

struct json_t;

/* An answer: body is NULL when it was no JSON. */
typedef struct ApiAnswer
{
	int status;
	struct json_t *body;
} ApiAnswer;

/* Builds "/v1/namespaces/NS/KIND/NAME[tail]". The caller clears it. */
void api_path(Text *target, const CliInvocation *invocation, const char *kind, const char *name, const char *tail);
/* Appends "?key=value" or "&key=value"; a NULL value appends nothing. */
void api_append_query(Text *target, const char *key, const char *value);

/* --timeout in milliseconds, or the standard one ("90s"). EXIT_CODE_USAGE with a complaint when it is no duration. */
int api_read_timeout(const CliInvocation *invocation, const char *standard, uint64_t *ret_ms);
/* The same as "timeout-ms" of a target. */
int api_append_timeout(Text *target, const CliInvocation *invocation, const char *standard);

/*
 * Sends a request and reads the answer. Returns EXIT_CODE_OK with any status that the coordinator gave;
 * otherwise the problem is on standard error. The caller clears the answer.
 */
int api_send(const CliInvocation *invocation, const char *method, const char *target, const char *body,
			 size_t body_bytes, ApiAnswer *ret_answer);
void api_answer_clear(ApiAnswer *answer);

/* As api_send, and turns errors of the API into a line on standard error and an exit code. The caller decrefs. */
int api_request(const CliInvocation *invocation, const char *method, const char *target, struct json_t **ret_body);

/* Prints what the API refused, and returns the exit code for it. */
int api_report(const ApiAnswer *answer);
/* Prints an error of http.h, and returns the exit code for it. */
int api_report_connection(const Error *err);

/* The object of that name, or of the only one that begins with it. kind: "apps" or "volumes". */
int api_get_by_prefix(const CliInvocation *invocation, const char *kind, const char *name, struct json_t **ret_object);
/* The list of a kind, in the namespace or in all. */
int api_list(const CliInvocation *invocation, const char *kind, struct json_t **ret_array);
/* What is left to do with an answer: it is written as JSON where that is asked for, else printed, and freed. Returns
 * the code, with which nothing is done unless it is EXIT_CODE_OK. */
int api_show(const CliInvocation *invocation, int code, struct json_t *answer,
			 void (*print)(const struct json_t *answer));

/* Members of objects; "" and 0 when they aren't there. */
const char *member_text(const struct json_t *object, const char *key);
double member_number(const struct json_t *object, const char *key);
bool member_is_set(const struct json_t *object, const char *key);

/* Reads the ordinary answer that came in place of a stream, says what is wrong, and gives the exit code. */
int api_report_refusal(HttpStream *stream);

#endif
