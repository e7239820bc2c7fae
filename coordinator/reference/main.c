/*
 * Prints a page of docs/reference/ from the coordinator's tables. For tools/reference; installed nowhere. The client
 * prints its own page: `lttle reference`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "engine/fsm_reference.h"
#include "model/settings.h"
#include "model/spec.h"

static const struct
{
	const char *name;
	void (*print)(Text *out);
} pages[] = {
	{"resources", resource_reference_print},
	{"settings", settings_reference_print},
	{"phases", fsm_reference_print},
};

int
main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
	{
		_cleanup_text_ Text text = {0};

		if (argc != 2 || strcmp(argv[1], pages[i].name) != 0)
			continue;
		pages[i].print(&text);
		return fputs(text_string(&text), stdout) == EOF || fflush(stdout) == EOF ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	fputs("usage: reference resources|settings|phases\n", stderr);
	return EXIT_FAILURE;
}
