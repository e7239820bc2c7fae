/* Names of secrets and values, and their memory; see secret.h. */
#include "model/secret.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

const char *
secret_kind_name(SecretKind kind)
{
	return kind == SECRET_KIND_SECRET ? "secret" : "value";
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

const char *
secret_name_check(const char *name)
{
	if (!is_letter(name[0]))
		return "a name must begin with a letter";
	if (strnlen(name, SECRET_NAME_MAX_BYTES + 1) > SECRET_NAME_MAX_BYTES)
		return "a name has at most 127 characters";
	for (const char *c = name; *c != '\0'; c++)
	{
		if (!is_letter(*c) && (*c < '0' || *c > '9') && *c != '-' && *c != '_')
			return "a name holds only letters, digits, '-' and '_'";
	}
	return NULL;
}

void
secret_text_free(char *text)
{
	if (text == NULL)
		return;
	explicit_bzero(text, strlen(text));
	free(text);
}

void
secret_text_cleanup(char **text)
{
	secret_text_free(*text);
}
