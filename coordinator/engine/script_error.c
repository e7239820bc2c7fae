/* See script_error.h. */
#include "engine/script_error.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "host/init_scripts.h"

#define SCRIPTS		"/" INIT_SCRIPTS_TARGET "/"
#define PSQL_PREFIX "psql:" SCRIPTS
#define OWN_PREFIX	"error: "
#define OWN_END		". Nothing is kept"

/* The lines that matter, of the script that was begun last. NULL: there is none. */
typedef struct Found
{
	const char *script; /* its name */
	const char *psql;	/* what psql said, from the name of the script on */
	const char *own;	/* what the entrypoint said last; it ends a start */
	const char *last;	/* what came out before that */
} Found;

static bool
begins(const char *line, const char *prefix)
{
	return strncmp(line, prefix, strlen(prefix)) == 0;
}

/* "…: running /docker-entrypoint-initdb.d/1.sql", of the official image's entrypoint, too. */
static const char *
find_begun(const char *line)
{
	static const char *const words[] = {": running " SCRIPTS, ": sourcing " SCRIPTS};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		const char *found = strstr(line, words[i]);

		if (found != NULL && line[0] == '/')
			return found + strlen(words[i]);
	}
	return NULL;
}

/* Lines that only go on with one above them, and those of the server's own log, which begin with a time. */
static bool
is_secondary(const char *line)
{
	static const char *const words[] = {
		"LINE ", "DETAIL: ", "HINT: ", "CONTEXT: ", "STATEMENT: ", "QUERY: ", "LOCATION: "};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		if (begins(line, words[i]))
			return true;
	}
	return *line == '\0' || isspace((unsigned char) *line) ||
		   (strlen(line) > 10 && strspn(line, "0123456789") == 4 && line[4] == '-' && line[7] == '-' &&
			line[10] == ' ');
}

static void
look_at(Found *found, char *line)
{
	const char *begun = find_begun(line);

	if (begun != NULL)
		*found = (Found){.script = begun};
	else if (begins(line, OWN_PREFIX))
		found->own = line + strlen(OWN_PREFIX);
	else if (found->own != NULL || is_secondary(line))
		return;
	else if (begins(line, PSQL_PREFIX) && (strstr(line, ": ERROR: ") != NULL || strstr(line, ": FATAL: ") != NULL ||
										   strstr(line, ": error: ") != NULL))
		found->psql = found->last = line + strlen(PSQL_PREFIX);
	else
		found->last = line;
}

static bool
is_shell_script(const char *name)
{
	size_t length = name == NULL ? 0 : strlen(name);

	return length > 3 && strcmp(name + length - 3, ".sh") == 0;
}

void
script_error_find(char *log, int status, char *ret_message, size_t size)
{
	_cleanup_text_ Text message = {0};
	Found found = {0};
	char *line;

	while ((line = strsep(&log, "\n")) != NULL)
		look_at(&found, line);
	if (found.psql != NULL && !is_shell_script(found.script))
		text_append(&message, found.psql);
	else if (found.own != NULL)
	{
		const char *end = strstr(found.own, OWN_END);
		const char *own = begins(found.own, SCRIPTS) ? found.own + strlen(SCRIPTS) : found.own;

		text_append_bytes(&message, own, end == NULL ? strlen(own) : (size_t) (end - own));
		if (end != NULL && found.last != NULL)
			text_printf(&message, ": %s", found.last);
	}
	else
	{
		text_printf(&message, "%s%sexit status %d", found.script == NULL ? "" : found.script,
					found.script == NULL ? "" : ": ", status);
		if (found.script != NULL && found.last != NULL)
			text_printf(&message, ": %s", found.last);
	}
	text_copy(ret_message, size, text_string(&message));
	text_make_printable(ret_message);
}
