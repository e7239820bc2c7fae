/* Reference pages; see reference.h. */
#include "model/reference.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/diagnostics.h"
#include "model/expression.h"
#include "model/key_read.h"
#include "model/spec.h"

/* A cell's type: "whole number, MiB", "`regular` or `flash`". */
static void
print_type(const Key *key, Text *out)
{
	static const char *const names[] = {
		[KEY_MAP] = "map",
		[KEY_OPTIONAL_MAP] = "map",
		[KEY_MAP_LIST] = "list of maps",
		[KEY_NAMED_MAPS] = "map from names to maps",
		[KEY_NAME] = "name",
		[KEY_TEXT] = "text",
		[KEY_IMAGE] = "image name",
		[KEY_PATH] = "absolute path",
		[KEY_TEXT_LIST] = "list of text",
		[KEY_ENVIRONMENT] = "map from text to text",
		[KEY_NUMBER] = "whole number",
		[KEY_SIZE] = "size",
		[KEY_DURATION] = "duration",
		[KEY_SECONDS] = "duration",
		[KEY_BOOLEAN] = "`true` or `false`",
		[KEY_HOST_PATH] = "absolute path",
		[KEY_WORD] = "text",
		[KEY_SUBNET] = "IPv4 network",
		[KEY_SUBNET6] = "IPv6 network or `none`",
	};
	size_t count = 0;

	if (key->type != KEY_CHOICE)
	{
		text_printf(out, "%s%s%s", names[key->type], key->unit == NULL ? "" : ", ", key->unit == NULL ? "" : key->unit);
		return;
	}
	for (const Choice *choice = key->choices; choice->word != NULL; choice++)
	{
		if (choice->value != CHOICE_NOT_OFFERED)
			text_printf(out, "%s`%s`", count++ == 0 ? "" : ", ", choice->word);
	}
}

static void
print_range(const Key *key, Text *out)
{
	char low[32];
	char high[32];

	switch (key->type)
	{
		case KEY_NUMBER:
			text_printf(out, "%" PRIu64 " to %" PRIu64, key->minimum, key->maximum);
			break;
		case KEY_SIZE:
			size_format(key->minimum, low);
			size_format(key->maximum, high);
			text_printf(out, "%s to %s", low, high);
			break;
		case KEY_DURATION:
		case KEY_SECONDS:
			duration_format(key->minimum, low);
			duration_format(key->maximum, high);
			text_printf(out, "%s to %s", low, high);
			break;
		case KEY_SUBNET:
			text_append(out, "/8 to /28");
			break;
		case KEY_SUBNET6:
			text_append(out, "/8 to /96");
			break;
		case KEY_MAP_LIST:
		case KEY_NAMED_MAPS:
		case KEY_ENVIRONMENT:
		case KEY_TEXT_LIST:
			text_printf(out, "at most %" PRIu64, key->maximum);
			break;
		default:
			break;
	}
}

static void
print_default(const Key *key, Text *out)
{
	if (key->required)
		text_append(out, "**required**");
	else if (key->fallback != NULL)
		text_printf(out, "`%s`", key->fallback);
	else if (key->fallback_note != NULL)
		text_append(out, key->fallback_note);
	else
		text_append(out, "–");
}

void
reference_print_table(const Key *keys, const char *path, Text *out)
{
	text_append(out, "| Key | Type | Range | Default | |\n| :-- | :-- | :-- | :-- | :-- |\n");
	for (const Key *key = keys; key->name != NULL; key++)
	{
		if (key->type == KEY_NOT_OFFERED)
			continue;
		text_printf(out, "| `%s%s%s` | ", path, path[0] == '\0' ? "" : ".", key->name);
		print_type(key, out);
		text_append(out, " | ");
		print_range(key, out);
		text_append(out, " | ");
		print_default(key, out);
		text_printf(out, " | %s |\n", key->doc);
	}
}

static void
print_heading(int level, const char *title, Text *out)
{
	static const char marks[] = "######";

	text_printf(out, "\n%.*s `%s`\n\n", level < 6 ? level : 6, marks, title);
}

static void
print_choices(const Key *key, const char *path, int level, Text *out)
{
	print_heading(level, path, out);
	text_printf(out, "%s\n\n", key->doc);
	for (const Choice *choice = key->choices; choice->word != NULL; choice++)
	{
		if (choice->value == CHOICE_NOT_OFFERED)
			text_printf(out, "- `%s`: not offered by a single host: %s\n", choice->word, choice->doc);
		else
		{
			text_printf(out, "- `%s`%s: %s", choice->word, choice->argument != NULL ? ": N" : "", choice->doc);
			if (choice->argument != NULL)
			{
				text_append(out, "; ");
				print_range(choice->argument, out);
				text_printf(out, ", written `%s: {%s: %s}`", key->name, choice->word, choice->argument->example);
			}
			text_append(out, "\n");
		}
	}
	for (const Choice *choice = key->choices; choice->word != NULL; choice++)
	{
		char below[KEY_PATH_BYTES];

		if (choice->keys == NULL)
			continue;
		key_path_join(below, path, choice->word);
		print_heading(level, below, out);
		text_printf(out, "Written `%s: {%s: {…}}`.\n\n", key->name, choice->word);
		reference_print_table(choice->keys, below, out);
		reference_print_below(choice->keys, below, level, out);
	}
}

void
reference_print_below(const Key *keys, const char *path, int level, Text *out)
{
	for (const Key *key = keys; key->name != NULL; key++)
	{
		char below[KEY_PATH_BYTES];

		key_path_join(below, path, key->name);
		if (key->type == KEY_MAP_LIST)
			snprintf(below + strlen(below), sizeof(below) - strlen(below), "[]");
		else if (key->type == KEY_NAMED_MAPS)
			key_path_join(below, below, "NAME");
		if (key->type == KEY_CHOICE)
			print_choices(key, below, level, out);
		else if (key->keys != NULL)
		{
			print_heading(level, below, out);
			text_printf(out, "%s\n\n", key->doc);
			reference_print_table(key->keys, below, out);
			reference_print_below(key->keys, below, level, out);
		}
	}
}

static void
print_expressions(Text *out)
{
	text_append(
		out,
		"\n## Expressions\n\n"
		"In every value, but in no key, `${{ … }}` is replaced by text: `${{ var.NAME }}` by what `lttle deploy "
		"-v NAME=VALUE` or `--vars FILE` gives, `${{ env.NAME }}` by a line of `--env FILE` or a variable of the "
		"client's environment, `${{ namespace }}` by `--namespace`, `${{ git.commitSha }}` by the commit of the "
		"repository that the file is in, `${{ 'text' }}` by itself. `$${{` stands for `${{`. What is replaced is "
		"never read as YAML: no value can add a key. A value that is nothing but one expression can be a number, "
		"also within quotes, which YAML asks for inside of `{…}`. A name without a value is an error at its "
		"place.\n\n`${{ secret.NAME }}` and `${{ value.NAME }}` are what `lttle secrets set` and `lttle values set` "
		"have "
		"put into the namespace of the resource. In the `environment` of an app or a machine they are left as they "
		"are, in what is stored and in what is shown, and worked out at each start; that there is such a secret "
		"or value is checked at the deploy. Everywhere else a value is worked out at the deploy, and a secret is "
		"refused.\n\nFunctions follow a value behind a dot, several in a row; characters are those of Unicode:\n\n");
	expression_reference_print(out);
}

static void
print_not_offered(Text *out)
{
	text_append(out, "\n## Not offered\n\n"
					 "These words of the lttle documents are known, and refused with a sentence that says why.\n\n");
	for (const KindKeys *kind = resource_kinds; kind->name != NULL; kind++)
	{
		if (kind->kind == CHOICE_NOT_OFFERED)
			text_printf(out, "- the kind `%s`: %s\n", kind->name, kind->doc);
	}
}

void
resource_reference_print(Text *out)
{
	text_append(out,
				"# Resources\n\n"
				"A file holds one or more YAML documents, separated by `---`. Each document is a map with one key that "
				"names the kind. The format is that of the lttle documents. A file is checked whole before anything "
				"changes, and everything that is wrong is reported with its line, column and key. Anchors, aliases and "
				"tags are not taken; a file has at most 1 MiB.\n\n"
				"A name begins with a letter and holds letters, digits, `-` and `_`, but no `--`; it has at most 63 "
				"characters.\n\n"
				"`lttle schema` prints the format as a JSON Schema, for editors.\n\n"
				"This page is written from the tables in `coordinator/model/keys_*.c`.\n");
	for (const KindKeys *kind = resource_kinds; kind->name != NULL; kind++)
	{
		if (kind->kind == CHOICE_NOT_OFFERED)
			continue;
		text_printf(out, "\n## `%s`\n\n%s\n\n", kind->name, kind->doc);
		reference_print_table(kind->keys, kind->name, out);
		/* A machine's keys are an app's; they are not told twice. */
		if (kind->kind == RESOURCE_MACHINE)
			text_append(out, "\nWhat stands below these keys is as it is for an `app`.\n");
		else
			reference_print_below(kind->keys, kind->name, 3, out);
	}
	print_expressions(out);
	print_not_offered(out);
	text_append(out, "\n" REFERENCE_NOTATION);
}
