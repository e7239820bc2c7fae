/* What was wrong with an init script, from the log of the start that it ended. A pure function. */
#ifndef ENGINE_SCRIPT_ERROR_H
#define ENGINE_SCRIPT_ERROR_H

#include <stddef.h>

/*
 * Writes what the last of the starts in the log ended with: "1.sql:2: ERROR:  division by zero" of SQL, "1.sh:4: psql …
 * failed (exit status 1): ERROR:  …" of a shell script, with what came out of it last. log: its end, which is taken
 * apart. status: the exit status of an entrypoint that says nothing itself. Any bytes may be in it; what is written is
 * printable.
 */
void script_error_find(char *log, int status, char *ret_message, size_t size);

#endif
