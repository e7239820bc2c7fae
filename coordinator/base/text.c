/* A string that grows, and memory that is always there; see text.h. */
#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
memory_check(void *pointer)
{
	if (pointer == NULL)
	{
		fputs("out of memory\n", stderr);
		abort();
	}
	return pointer;
}

void *
memory_allocate(size_t size)
{
	return memory_check(calloc(1, size == 0 ? 1 : size));
}

char *
memory_duplicate(const char *string)
{
	return memory_check(strdup(string));
}

void
memory_free_texts(char **texts)
{
	for (char **text = texts; text != NULL && *text != NULL; text++)
		free(*text);
	free(texts);
}

char *
memory_printf(const char *format, ...)
{
	va_list arguments;
	char *string = NULL;
	int length;

	va_start(arguments, format);
	length = vasprintf(&string, format, arguments);
	va_end(arguments);
	return memory_check(length < 0 ? NULL : string);
}

void *
memory_grow(void *array, size_t *capacity, size_t needed, size_t element_size)
{
	size_t grown = *capacity == 0 ? 8 : *capacity;

	if (needed <= *capacity)
		return array;
	while (grown < needed)
		grown *= 2;
	array = memory_check(reallocarray(array, grown, element_size));
	memset((char *) array + *capacity * element_size, 0, (grown - *capacity) * element_size);
	*capacity = grown;
	return array;
}

void
text_append_bytes(Text *text, const void *bytes, size_t size)
{
	text->data = memory_grow(text->data, &text->capacity, text->length + size + 1, 1);
	if (size > 0)
		memcpy(text->data + text->length, bytes, size);
	text->length += size;
	text->data[text->length] = '\0';
}

void
text_append(Text *text, const char *string)
{
	text_append_bytes(text, string, strlen(string));
}

void
text_printf(Text *text, const char *format, ...)
{
	va_list arguments;
	char *string = NULL;
	int length;

	va_start(arguments, format);
	length = vasprintf(&string, format, arguments);
	va_end(arguments);
	memory_check(length < 0 ? NULL : string);
	text_append_bytes(text, string, (size_t) length);
	free(string);
}

const char *
text_string(const Text *text)
{
	return text->data == NULL ? "" : text->data;
}

void
text_clear(Text *text)
{
	free(text->data);
	*text = (Text){0};
}

void
text_copy(char *to, size_t size, const char *from)
{
	size_t length = strnlen(from, size - 1);

	memmove(to, from, length);
	to[length] = '\0';
}

/* The length of the UTF-8 sequence that begins here and may be shown; 0 when there is none. */
static size_t
utf8_printable_length(const unsigned char *text, size_t available)
{
	size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
	uint32_t code;

	if (length == 1)
		return text[0] >= 0x20 && text[0] != 0x7f ? 1 : 0;
	if (text[0] < 0xc2 || text[0] > 0xf4 || length > available)
		return 0;
	code = text[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++)
	{
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3fu);
	}
	if (code < 0xa0 || (length == 3 && code < 0x800) || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff ||
		(length == 4 && code < 0x10000))
		return 0;
	return length;
}

void
text_make_printable(char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length;)
	{
		size_t step = utf8_printable_length((const unsigned char *) text + i, length - i);

		if (step == 0)
			text[i] = '?';
		i += step == 0 ? 1 : step;
	}
}
