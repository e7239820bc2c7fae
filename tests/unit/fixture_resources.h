/* Parsing of resources for tests: what comes out, or every complaint as one text. */
#ifndef FIXTURE_RESOURCES_H
#define FIXTURE_RESOURCES_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/spec.h"

/* Everything that a list says, a line each, with "f" as the file. The caller frees. */
static inline char *
complaints_of(DiagnosticList *diagnostics)
{
	Text text = {0};

	for (size_t i = 0; i < diagnostics->count; i++)
	{
		char *line = diagnostic_format("f", &diagnostics->items[i]);

		text_printf(&text, "%s%s", i == 0 ? "" : "\n", line);
		free(line);
	}
	diagnostic_list_clear(diagnostics);
	return text.data == NULL ? memory_duplicate("") : text.data;
}

/* Parses what must be right. */
static inline ResourceSet
parse_good(const char *yaml)
{
	ResourceSet set = {0};
	DiagnosticList diagnostics = {0};

	if (resource_set_parse(yaml, strlen(yaml), &set, &diagnostics) < 0)
	{
		char *complaints = complaints_of(&diagnostics);

		fail_msg("refused:\n%s\n%s", yaml, complaints);
	}
	assert_int_equal(diagnostics.count, 0);
	return set;
}

/* Parses what must be wrong, and compares what is said of it. */
static inline void
assert_refused_bytes(const char *yaml, size_t size, const char *expected)
{
	ResourceSet set = {.count = 4711};
	DiagnosticList diagnostics = {0};
	int result = resource_set_parse(yaml, size, &set, &diagnostics);
	char *complaints = complaints_of(&diagnostics);

	if (result != -EINVAL || strcmp(complaints, expected) != 0)
		fail_msg("of\n%s\nwas said (%d)\n%s\ninstead of\n%s", yaml, result, complaints, expected);
	assert_int_equal(set.count, 4711);
	free(complaints);
}

static inline void
assert_refused(const char *yaml, const char *expected)
{
	assert_refused_bytes(yaml, strlen(yaml), expected);
}

#endif
