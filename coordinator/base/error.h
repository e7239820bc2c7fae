/*
 * Errors as values. An Error belongs to the caller, has a fixed size and is never to be freed. A fallible function
 * takes `Error *err` last and returns 0 or a negative errno; outputs named `ret_…` are written only on success.
 * A message names the operation and the object, as a person wants to read it in a terminal:
 * "volume samples/pgdata: mount: No space left on device".
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#define ERROR_MESSAGE_BYTES 768

typedef struct Error
{
	int code; /* negative errno */
	char message[ERROR_MESSAGE_BYTES];
} Error;

#define MUST_CHECK __attribute__((warn_unused_result))

/* Writes a message. code: negative errno. Returns code. err may be NULL. */
int error_set(Error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As error_set, and appends ": " and the text of errno. errnum: positive errno. Returns -errnum. */
int error_set_errno(Error *err, int errnum, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message that is there. Returns err's code. */
int error_prefix(Error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
