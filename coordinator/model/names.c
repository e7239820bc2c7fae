/* Names of resources and namespaces; see spec.h. They become parts of paths, host names and control groups. */
#include <stdbool.h>
#include <string.h>

#include "model/spec.h"

/* Not isalpha(3): names don't depend on the locale. */
static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_name_character(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

const char *
name_check(const char *name)
{
	if (name[0] == '\0')
		return "a name must not be empty";
	if (strnlen(name, NAME_MAX_BYTES + 1) > NAME_MAX_BYTES)
		return "a name has at most 63 characters";
	if (!is_letter(name[0]))
		return "a name must begin with a letter";
	for (const char *c = name; *c != '\0'; c++)
	{
		if (!is_name_character(*c))
			return "a name holds only letters, digits, '-' and '_'";
		if (c[0] == '-' && c[1] == '-')
			return "a name must not hold '--'";
	}
	return NULL;
}
