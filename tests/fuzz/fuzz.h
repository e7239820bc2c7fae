/*
 * What the fuzzers share: the entry points that libFuzzer calls, a check that ends the run with a sentence (so that the
 * input is kept), what a text for people may hold, and a scratch directory.
 *
 * A fuzzer is a file fuzz_NAME.c here, with its seeds in corpus/NAME/. tests/fuzz/run builds and runs them.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define FUZZ_CHECK(condition)                                                                                          \
	do                                                                                                                 \
	{                                                                                                                  \
		if (!(condition))                                                                                              \
		{                                                                                                              \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
			abort();                                                                                                   \
		}                                                                                                              \
	} while (0)

/* Text that may go to a terminal and into a JSON document: UTF-8 without control characters. */
static inline bool
fuzz_text_is_clean(const char *text)
{
	json_t *json = json_string(text);
	bool clean = json != NULL;

	json_decref(json);
	for (; clean && *text != '\0'; text++)
		clean = (unsigned char) *text >= ' ' && *text != 127;
	return clean;
}

/* A directory for this run, below TMPDIR, which the runner removes. The caller frees the path. */
static inline char *
fuzz_make_directory(void)
{
	const char *temporary = getenv("TMPDIR");
	char *path = memory_printf("%s/fuzz-XXXXXX", temporary == NULL ? "/tmp" : temporary);

	FUZZ_CHECK(mkdtemp(path) != NULL);
	return path;
}

/* Writes a file anew. */
static inline void
fuzz_write_file(const char *path, const void *bytes, size_t size)
{
	FILE *file = fopen(path, "we");

	FUZZ_CHECK(file != NULL);
	FUZZ_CHECK(size == 0 || fwrite(bytes, size, 1, file) == 1);
	FUZZ_CHECK(fclose(file) == 0);
}

#endif
