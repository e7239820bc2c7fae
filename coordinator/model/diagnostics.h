/* Collecting what is wrong with a file: the small things around DiagnosticList that only the model needs. */
#ifndef MODEL_DIAGNOSTICS_H
#define MODEL_DIAGNOSTICS_H

#include <stddef.h>

#include "model/spec.h"

#define KEY_PATH_BYTES 128
#define QUOTED_BYTES   64

/* Adds one diagnostic. */
void diagnostic_add(DiagnosticList *list, SourceMark mark, const char *key_path, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Brings a list into the order of the file. */
void diagnostic_list_sort(DiagnosticList *list);

/* Appends all of `from` to `to`. */
void diagnostic_list_append(DiagnosticList *to, const DiagnosticList *from);

/* A piece of the user's text, fit for a message: in quotes, shortened, nothing that could disturb a terminal. */
const char *text_quote(const char *text, size_t length, char buffer[QUOTED_BYTES]);

/* The word of `words` (NULL-terminated) that was probably meant, or NULL when none is near. */
const char *word_suggest(const char *written, const char *const *words);

#endif
