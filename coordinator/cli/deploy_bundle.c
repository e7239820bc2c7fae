/* Reading what a deploy sends; see deploy_bundle.h. */
#include "cli/deploy_bundle.h"

#include <errno.h>
#include <fts.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/output.h"

#define FILE_MAX_BYTES ((size_t) 1024 * 1024)
#define GIT_TIMEOUT_MS 10000

typedef struct Bundle
{
	json_t *files;
	json_t *vars;
	json_t *env;
	json_t *variables;
	char *commit_directory; /* of the first file that mentions the commit */
} Bundle;

/* Reads a file, or standard input for "-". False with a complaint. */
static bool
read_text(const char *path, Text *text)
{
	_cleanup_file_ FILE *opened = NULL;
	FILE *file = stdin;
	char bytes[16384];
	size_t got;

	if (strcmp(path, "-") != 0)
		file = opened = fopen(path, "re");
	if (file == NULL)
	{
		output_complain("%s: %s", path, strerror(errno));
		return false;
	}
	while ((got = fread(bytes, 1, sizeof(bytes), file)) > 0 && text->length <= FILE_MAX_BYTES)
		text_append_bytes(text, bytes, got);
	if (ferror(file))
		output_complain("%s: %s", path, strerror(errno));
	else if (text->length > FILE_MAX_BYTES)
		output_complain("%s: is longer than 1 MiB", path);
	else
		return true;
	return false;
}

/* The directory of a file, absolute. The caller frees. */
static char *
directory_of(const char *path)
{
	_cleanup_free_ char *copy = memory_duplicate(strcmp(path, "-") == 0 ? "." : path);
	char *slash = strrchr(copy, '/');
	char *real;

	if (slash == NULL)
		real = realpath(".", NULL);
	else
	{
		slash[slash == copy] = '\0';
		real = realpath(copy, NULL);
	}
	return real == NULL ? memory_duplicate("/") : real;
}

/* What the files mention of the environment, as far as it is set. */
static void
take_environment(Bundle *bundle, const char *text)
{
	for (const char *at = strstr(text, "env."); at != NULL; at = strstr(at + 1, "env."))
	{
		char name[128];
		size_t length = strspn(at + 4, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

		if (length == 0 || length >= sizeof(name))
			continue;
		memcpy(name, at + 4, length);
		name[length] = '\0';
		if (getenv(name) != NULL && json_object_get(bundle->env, name) == NULL)
			json_object_set_new(bundle->env, name, json_string(getenv(name)));
	}
}

static int
add_file(Bundle *bundle, const char *path)
{
	_cleanup_text_ Text text = {0};
	_cleanup_free_ char *directory = NULL;
	json_t *content;

	if (!read_text(path, &text))
		return EXIT_CODE_FAILURE;
	content = json_stringn(text_string(&text), text.length);
	if (content == NULL)
	{
		output_complain("%s: is not valid UTF-8", path);
		return EXIT_CODE_FAILURE;
	}
	directory = directory_of(path);
	json_array_append_new(bundle->files, json_pack("{s:s, s:s, s:o}", "name", strcmp(path, "-") == 0 ? "<stdin>" : path,
												   "directory", directory, "text", content));
	if (strstr(text_string(&text), "${{") == NULL)
		return EXIT_CODE_OK;
	take_environment(bundle, text_string(&text));
	if (bundle->commit_directory == NULL && strstr(text_string(&text), "commitSha") != NULL)
	{
		bundle->commit_directory = directory;
		directory = NULL;
	}
	return EXIT_CODE_OK;
}

static bool
is_resource_file(const char *name)
{
	size_t length = strlen(name);

	return name[0] != '.' && ((length > 5 && strcmp(name + length - 5, ".yaml") == 0) ||
							  (length > 4 && strcmp(name + length - 4, ".yml") == 0));
}

static int
compare_entries(const FTSENT **left, const FTSENT **right)
{
	return strcmp((*left)->fts_name, (*right)->fts_name);
}

/* All files of resources in a directory and below, by name. */
static int
add_directory(Bundle *bundle, const char *path)
{
	char *paths[] = {(char *) path, NULL};
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, compare_entries);
	int code = EXIT_CODE_OK;
	size_t before = json_array_size(bundle->files);
	FTSENT *entry;

	while (code == EXIT_CODE_OK && tree != NULL && (entry = fts_read(tree)) != NULL)
	{
		if (entry->fts_info == FTS_D && entry->fts_level > 0 && entry->fts_name[0] == '.')
			fts_set(tree, entry, FTS_SKIP);
		else if (entry->fts_info == FTS_DNR || entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS)
		{
			output_complain("%s: %s", entry->fts_path, strerror(entry->fts_errno));
			code = EXIT_CODE_FAILURE;
		}
		else if (entry->fts_info == FTS_F && is_resource_file(entry->fts_name))
			code = add_file(bundle, entry->fts_path);
	}
	if (tree != NULL)
		fts_close(tree);
	if (code == EXIT_CODE_OK && json_array_size(bundle->files) == before)
	{
		output_complain("%s: holds no file that ends in .yaml or .yml", path);
		code = EXIT_CODE_FAILURE;
	}
	return code;
}

/* "NAME=VALUE" into the object. False: it is none. */
static bool
set_variable(json_t *object, const char *assignment)
{
	const char *equals = strchr(assignment, '=');
	_cleanup_free_ char *name = NULL;
	json_t *value;

	if (equals == NULL || equals == assignment)
		return false;
	name = memory_duplicate(assignment);
	name[equals - assignment] = '\0';
	value = json_string(equals + 1);
	return value != NULL && json_object_set_new(object, name, value) == 0;
}

/* Takes spaces off both ends, and one pair of quotes around a value. */
static char *
trim(char *text, bool quotes)
{
	size_t length;

	text += strspn(text, " \t\r");
	length = strlen(text);
	while (length > 0 && strchr(" \t\r", text[length - 1]) != NULL)
		text[--length] = '\0';
	if (quotes && length >= 2 && (text[0] == '"' || text[0] == '\'') && text[length - 1] == text[0])
	{
		text[length - 1] = '\0';
		text++;
	}
	return text;
}

/* A file of lines NAME=VALUE, as for docker's --env-file and systemd's EnvironmentFile. */
static int
read_assignments(const char *path, json_t *object)
{
	_cleanup_text_ Text text = {0};
	char *rest;
	char *line;
	unsigned number = 0;

	if (!read_text(path, &text))
		return EXIT_CODE_FAILURE;
	rest = text.data;
	while (rest != NULL && (line = strsep(&rest, "\n")) != NULL)
	{
		_cleanup_free_ char *assignment = NULL;
		char *equals;

		number++;
		line = trim(line, false);
		if (strncmp(line, "export ", 7) == 0)
			line = trim(line + 7, false);
		if (line[0] == '\0' || line[0] == '#')
			continue;
		equals = strchr(line, '=');
		if (equals != NULL)
		{
			*equals = '\0';
			assignment = memory_printf("%s=%s", trim(line, false), trim(equals + 1, true));
		}
		if (assignment == NULL || !set_variable(object, assignment))
		{
			output_complain("%s:%u: must be NAME=VALUE", path, number);
			return EXIT_CODE_FAILURE;
		}
	}
	return EXIT_CODE_OK;
}

/* The commit that is checked out, where there is one. */
static void
take_commit(Bundle *bundle)
{
	const char *const argv[] = {"git", "-C", bundle->commit_directory, "rev-parse", "HEAD", NULL};
	char *output = NULL;
	Error error;

	if (bundle->commit_directory == NULL || process_run(argv, GIT_TIMEOUT_MS, &output, &error) < 0)
		return;
	json_object_set_new(bundle->variables, "commit-sha", json_string(trim(strtok(output, "\n"), false)));
	free(output);
}

static int
add_argument(Bundle *bundle, const CliInvocation *invocation, const char *path)
{
	struct stat status;

	if (strcmp(path, "-") == 0 || stat(path, &status) < 0 || !S_ISDIR(status.st_mode))
		return add_file(bundle, path);
	if (cli_has(invocation, OPTION_RECURSIVE))
		return add_directory(bundle, path);
	output_complain("%s: is a directory; -r takes all files in it", path);
	return EXIT_CODE_FAILURE;
}

static int
read_variables(Bundle *bundle, const CliInvocation *invocation)
{
	int code = EXIT_CODE_OK;

	if (cli_has(invocation, OPTION_VARS))
		code = read_assignments(invocation->values[OPTION_VARS], bundle->vars);
	if (code == EXIT_CODE_OK && cli_has(invocation, OPTION_ENV))
		code = read_assignments(invocation->values[OPTION_ENV], bundle->env);
	for (size_t i = 0; code == EXIT_CODE_OK && i < invocation->variable_count; i++)
	{
		if (set_variable(bundle->vars, invocation->variables[i]))
			continue;
		output_complain("-v %s: must be NAME=VALUE", invocation->variables[i]);
		code = EXIT_CODE_USAGE;
	}
	return code;
}

int
deploy_bundle_read(const CliInvocation *invocation, json_t **ret_bundle)
{
	Bundle bundle = {.files = json_array(), .vars = json_object(), .env = json_object(), .variables = json_object()};
	int code = read_variables(&bundle, invocation);

	for (size_t i = 0; code == EXIT_CODE_OK && i < invocation->argument_count; i++)
		code = add_argument(&bundle, invocation, invocation->arguments[i]);
	json_object_set_new(bundle.variables, "var", bundle.vars);
	json_object_set_new(bundle.variables, "env", bundle.env);
	json_object_set_new(bundle.variables, "namespace", json_string(cli_namespace(invocation)));
	if (code == EXIT_CODE_OK)
	{
		take_commit(&bundle);
		*ret_bundle = json_pack("{s:O, s:O}", "files", bundle.files, "variables", bundle.variables);
	}
	free(bundle.commit_directory);
	json_decref(bundle.files);
	json_decref(bundle.variables);
	return code;
}
