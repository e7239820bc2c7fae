/* A string that grows. Memory that cannot be had ends the process: a coordinator without memory cannot go on. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stddef.h>

typedef struct Text
{
	char *data; /* NUL-terminated; NULL while empty */
	size_t length;
	size_t capacity;
} Text;

void text_append(Text *text, const char *string);
void text_append_bytes(Text *text, const void *bytes, size_t size);
void text_printf(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The string, never NULL. */
const char *text_string(const Text *text);

/* Frees what the text holds and empties it. */
void text_clear(Text *text);

/* Copies a string for people to read into a fixed field, cut at its end. Not for paths or names. */
void text_copy(char *to, size_t size, const char *from);

/* Makes a text that somebody else wrote, or that was cut, fit for terminals and JSON: control characters and what is no
 * UTF-8 become question marks, a byte each. */
void text_make_printable(char *text);

/* malloc/strdup/asprintf that never return NULL. The caller frees. */
void *memory_allocate(size_t size); /* zeroed */
char *memory_duplicate(const char *string);
char *memory_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Frees the strings of a NULL-terminated list, and the list. NULL: nothing. */
void memory_free_texts(char **texts);

/* Grows an array to hold at least `needed` elements, doubling; new room is zeroed. */
void *memory_grow(void *array, size_t *capacity, size_t needed, size_t element_size);

#define _cleanup_text_ __attribute__((cleanup(text_clear)))

#endif
