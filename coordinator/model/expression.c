/* Expressions: reading and working out, in one pass from left to right; see expression.h. */
#include "model/expression.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/diagnostics.h"

#define ARGUMENTS_MAX 2
#define NAME_BYTES	  128

/* Where the reader is, and what is wrong; nothing more is read after that. */
typedef struct Reader
{
	const char *start;
	const char *at;
	const char *end;
	const Variables *variables;
	ExpressionMoment moment;
	SecretName *kept;	  /* what EXPRESSION_KEPT leaves for later */
	const char *wrong_at; /* NULL: nothing is wrong */
	char *wrong;		  /* 256 bytes */
} Reader;

static void __attribute__((format(printf, 3, 4))) reader_refuse(Reader *reader, const char *at, const char *format, ...)
{
	va_list arguments;

	if (reader->wrong_at != NULL)
		return;
	reader->wrong_at = at;
	va_start(arguments, format);
	vsnprintf(reader->wrong, 256, format, arguments);
	va_end(arguments);
}

static void
skip_spaces(Reader *reader)
{
	while (reader->at < reader->end && (*reader->at == ' ' || *reader->at == '\t' || *reader->at == '\n'))
		reader->at++;
}

/* Whether the next character is this one, which is then read. */
static bool
take(Reader *reader, char character)
{
	skip_spaces(reader);
	if (reader->at >= reader->end || *reader->at != character)
		return false;
	reader->at++;
	return true;
}

static bool
is_name_character(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		   (!first && ((c >= '0' && c <= '9') || c == '-'));
}

/* Reads a name. Returns where it begins, or NULL when there is none. */
static const char *
take_name(Reader *reader, char name[NAME_BYTES])
{
	const char *start;
	size_t length;

	skip_spaces(reader);
	start = reader->at;
	while (reader->at < reader->end && is_name_character(*reader->at, reader->at == start))
		reader->at++;
	length = (size_t) (reader->at - start);
	if (length == 0 || length >= NAME_BYTES)
		return NULL;
	memcpy(name, start, length);
	name[length] = '\0';
	return start;
}

/* ---- values ---- */

static const char *
find_variable(const EnvironmentVariable *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
	{
		if (strcmp(list[i].name, name) == 0)
			return list[i].value;
	}
	return NULL;
}

static char *
read_variable(Reader *reader, const char *kind, const EnvironmentVariable *list, size_t count)
{
	char name[NAME_BYTES] = "";
	const char *start = take(reader, '.') ? take_name(reader, name) : NULL;
	const char *value = start == NULL ? NULL : find_variable(list, count, name);
	const char *words[32];
	size_t known = 0;

	if (start == NULL)
	{
		reader_refuse(reader, reader->at, "a name must follow: %s.NAME", kind);
		return NULL;
	}
	if (value != NULL)
		return memory_duplicate(value);
	for (; known < count && known < 31; known++)
		words[known] = list[known].name;
	words[known] = NULL;
	if (word_suggest(name, words) != NULL)
		reader_refuse(reader, start, "%s.%s has no value; did you mean %s.%s?", kind, name, kind,
					  word_suggest(name, words));
	else
		reader_refuse(reader, start, "%s.%s has no value; %s", kind, name,
					  strcmp(kind, "var") == 0 ? "give it with -v NAME=VALUE or --vars FILE"
											   : "set it, or give it with --env FILE");
	return NULL;
}

static char *
read_secret(Reader *reader, SecretKind kind, const char *start)
{
	const SecretSource *source = reader->variables->secrets;
	const char *word = secret_kind_name(kind);
	char name[NAME_BYTES] = "";
	const char *name_start = take(reader, '.') ? take_name(reader, name) : NULL;
	char wrong[256] = "";
	char *text = NULL;

	if (name_start == NULL)
		reader_refuse(reader, reader->at, "a name must follow: %s.NAME", word);
	else if (secret_name_check(name) != NULL)
		reader_refuse(reader, name_start, "%s", secret_name_check(name));
	else if (reader->moment == EXPRESSION_KEPT)
	{
		reader->kept->kind = kind;
		memcpy(reader->kept->name, name, sizeof(reader->kept->name));
		return memory_duplicate("");
	}
	else if (kind == SECRET_KIND_SECRET && reader->moment == EXPRESSION_AT_DEPLOY)
		reader_refuse(reader, start,
					  "a secret can stand only in the environment of a machine, or be a file of it "
					  "(key secrets)");
	else if (source == NULL)
		reader_refuse(reader, start, "no %s is known here", word);
	else
		text = source->find(source->context, kind, source->name_space, name, wrong);
	if (text == NULL && wrong[0] != '\0')
		reader_refuse(reader, name_start, "%s", wrong);
	return text;
}

static char *
read_git(Reader *reader)
{
	char name[NAME_BYTES] = "";
	const char *start = take(reader, '.') ? take_name(reader, name) : NULL;

	if (start == NULL || strcmp(name, "commitSha") != 0)
		reader_refuse(reader, start == NULL ? reader->at : start, "of git there is git.commitSha");
	else if (reader->variables->commit_sha == NULL)
		reader_refuse(reader, start, "git.commitSha is not known: the file is in no git repository with a commit");
	else
		return memory_duplicate(reader->variables->commit_sha);
	return NULL;
}

static char *
read_literal(Reader *reader, char quote)
{
	const char *start = reader->at;
	const char *end = memchr(start, quote, (size_t) (reader->end - start));
	char *text;

	if (end == NULL)
	{
		reader_refuse(reader, start - 1, "the text has no end");
		return NULL;
	}
	text = memory_allocate((size_t) (end - start) + 1);
	memcpy(text, start, (size_t) (end - start));
	reader->at = end + 1;
	return text;
}

static char *
read_primary(Reader *reader)
{
	static const char *const roots[] = {"var", "env", "namespace", "git", "secret", "value", NULL};
	const Variables *variables = reader->variables;
	char name[NAME_BYTES] = "";
	const char *start;
	const char *meant;

	if (take(reader, '\''))
		return read_literal(reader, '\'');
	if (take(reader, '"'))
		return read_literal(reader, '"');
	start = take_name(reader, name);
	if (start == NULL)
		reader_refuse(reader, reader->at,
					  "a value must stand here: var.NAME, env.NAME, namespace, git.commitSha, "
					  "secret.NAME or value.NAME");
	else if (strcmp(name, "var") == 0)
		return read_variable(reader, "var", variables->vars, variables->var_count);
	else if (strcmp(name, "env") == 0)
		return read_variable(reader, "env", variables->env, variables->env_count);
	else if (strcmp(name, "git") == 0)
		return read_git(reader);
	else if (strcmp(name, "secret") == 0)
		return read_secret(reader, SECRET_KIND_SECRET, start);
	else if (strcmp(name, "value") == 0)
		return read_secret(reader, SECRET_KIND_VALUE, start);
	else if (strcmp(name, "namespace") == 0)
		return memory_duplicate(variables->name_space == NULL ? "default" : variables->name_space);
	else
	{
		meant = word_suggest(name, roots);
		reader_refuse(reader, start, "'%s' is unknown; %s%s%s", name, meant == NULL ? "there are " : "did you mean '",
					  meant == NULL ? "var.NAME, env.NAME, namespace, git.commitSha, secret.NAME and value.NAME"
									: meant,
					  meant == NULL ? "" : "'?");
	}
	return NULL;
}

/* ---- functions ---- */

static bool
is_character_start(char c)
{
	return ((unsigned char) c & 0xc0) != 0x80;
}

static size_t
count_characters(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += is_character_start(*text);
	return count;
}

/* Characters, as people count them, from `first` to before `end`. */
static char *
cut(const char *text, size_t first, size_t end)
{
	size_t character = 0;
	char *result = memory_allocate(strlen(text) + 1);
	char *to = result;

	for (; *text != '\0'; text++)
	{
		character += is_character_start(*text);
		if (character > first && character <= end)
			*to++ = *text;
	}
	*to = '\0';
	return result;
}

static char *
apply_substring(const char *text, const size_t *arguments, size_t count, char *wrong)
{
	size_t length = count_characters(text);
	size_t end = count == 2 ? arguments[1] : length;

	if (arguments[0] > end || end > length)
	{
		snprintf(wrong, 256, "substring: from %zu to %zu is not within the %zu characters of the text", arguments[0],
				 end, length);
		return NULL;
	}
	return cut(text, arguments[0], end);
}

static char *
apply_last(const char *text, const size_t *arguments, size_t count, char *wrong)
{
	size_t length = count_characters(text);

	(void) count;
	if (arguments[0] > length)
	{
		snprintf(wrong, 256, "last: the text has %zu characters, not %zu", length, arguments[0]);
		return NULL;
	}
	return cut(text, length - arguments[0], length);
}

static char *
apply_case(const char *text, char first, char last)
{
	char *result = memory_duplicate(text);

	for (char *c = result; *c != '\0'; c++)
	{
		if (*c >= first && *c <= last)
			*c ^= 0x20;
	}
	return result;
}

static char *
apply_upper(const char *text, const size_t *arguments, size_t count, char *wrong)
{
	(void) arguments;
	(void) count;
	(void) wrong;
	return apply_case(text, 'a', 'z');
}

static char *
apply_lower(const char *text, const size_t *arguments, size_t count, char *wrong)
{
	(void) arguments;
	(void) count;
	(void) wrong;
	return apply_case(text, 'A', 'Z');
}

static const struct Function
{
	const char *name;
	size_t least;
	size_t most;
	char *(*apply)(const char *text, const size_t *arguments, size_t count, char *wrong);
	const char *shape;
	const char *doc;
} functions[] = {
	{"substring", 1, 2, apply_substring, "substring(FIRST[, END])",
	 "the characters from FIRST, counted from 0, to before END or to the end"},
	{"last", 1, 1, apply_last, "last(N)", "the last N characters"},
	{"upperAscii", 0, 0, apply_upper, "upperAscii()", "with the letters a to z as capitals"},
	{"lowerAscii", 0, 0, apply_lower, "lowerAscii()", "with the letters A to Z as small ones"},
};
#define FUNCTION_COUNT (sizeof(functions) / sizeof(functions[0]))

static const struct Function *
find_function(Reader *reader, const char *name, const char *start)
{
	const char *words[FUNCTION_COUNT + 1];
	const char *meant;

	for (size_t i = 0; i < FUNCTION_COUNT; i++)
	{
		if (strcmp(functions[i].name, name) == 0)
			return &functions[i];
		words[i] = functions[i].name;
	}
	words[FUNCTION_COUNT] = NULL;
	meant = word_suggest(name, words);
	if (meant != NULL)
		reader_refuse(reader, start, "there is no function '%s'; did you mean '%s'?", name, meant);
	else
		reader_refuse(reader, start, "there is no function '%s'; there are substring, last, upperAscii and lowerAscii",
					  name);
	return NULL;
}

static bool
take_number(Reader *reader, size_t *ret_number)
{
	size_t number = 0;
	const char *start;

	skip_spaces(reader);
	start = reader->at;
	for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9' && reader->at - start < 9; reader->at++)
		number = number * 10 + (size_t) (*reader->at - '0');
	*ret_number = number;
	return reader->at > start;
}

/* "(1, 2)". Returns how many there were. */
static size_t
read_arguments(Reader *reader, size_t arguments[ARGUMENTS_MAX])
{
	size_t count = 0;

	if (!take(reader, '('))
		reader_refuse(reader, reader->at, "'(' is missing behind the name of a function");
	else if (take(reader, ')'))
		return 0;
	while (reader->wrong_at == NULL)
	{
		if (count == ARGUMENTS_MAX || !take_number(reader, &arguments[count]))
		{
			reader_refuse(reader, reader->at,
						  count == ARGUMENTS_MAX ? "there are too many arguments"
												 : "an argument must be a whole number");
			break;
		}
		count++;
		if (take(reader, ')'))
			break;
		if (!take(reader, ','))
			reader_refuse(reader, reader->at, "',' or ')' is missing");
	}
	return count;
}

/* Takes the text over. */
static char *
read_call(Reader *reader, char *text)
{
	char name[NAME_BYTES] = "";
	const char *start = take_name(reader, name);
	const struct Function *function = NULL;
	size_t arguments[ARGUMENTS_MAX] = {0};
	size_t count = 0;
	char *result = NULL;

	if (start == NULL)
		reader_refuse(reader, reader->at, "the name of a function must follow '.'");
	else
		function = find_function(reader, name, start);
	if (function != NULL)
		count = read_arguments(reader, arguments);
	if (function != NULL && (count < function->least || count > function->most))
		reader_refuse(reader, start, "it is %s", function->shape);
	if (reader->wrong_at == NULL && reader->kept->name[0] != '\0')
		result = memory_duplicate("");
	else if (function != NULL && reader->wrong_at == NULL)
	{
		result = function->apply(text, arguments, count, reader->wrong);
		if (result == NULL)
			reader->wrong_at = start;
	}
	secret_text_free(text);
	return result;
}

char *
expression_read(const char *text, size_t length, const Variables *variables, ExpressionMoment moment,
				SecretName *ret_kept, size_t *ret_offset, char ret_wrong[256])
{
	SecretName kept = {0};
	Reader reader = {.start = text,
					 .at = text,
					 .end = text + length,
					 .variables = variables,
					 .moment = moment,
					 .kept = &kept,
					 .wrong = ret_wrong};
	char *value = read_primary(&reader);

	while (value != NULL && take(&reader, '.'))
		value = read_call(&reader, value);
	skip_spaces(&reader);
	if (value != NULL && reader.at < reader.end)
		reader_refuse(&reader, reader.at, "only '.' and a function can follow here");
	if (reader.wrong_at == NULL)
	{
		if (ret_kept != NULL)
			*ret_kept = kept;
		return value;
	}
	secret_text_free(value);
	*ret_offset = (size_t) (reader.wrong_at - text);
	return NULL;
}

char *
expression_evaluate(const char *text, size_t length, const Variables *variables, size_t *ret_offset,
					char ret_wrong[256])
{
	return expression_read(text, length, variables, EXPRESSION_AT_DEPLOY, NULL, ret_offset, ret_wrong);
}

void
expression_reference_print(Text *out)
{
	for (size_t i = 0; i < FUNCTION_COUNT; i++)
		text_printf(out, "- `%s`: %s\n", functions[i].shape, functions[i].doc);
}
