/* Single values: what each type of key accepts, in one place; see key_value.h. */
#include "model/key_value.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/diagnostics.h"
#include "model/key_read.h"

/* Linux takes at most 128 KiB for one argument or environment variable (MAX_ARG_STRLEN). */
#define ARGUMENT_MAX_BYTES 131000

void
node_describe(const Node *node, char *buffer, size_t size)
{
	char quoted[QUOTED_BYTES];

	switch (node->type)
	{
		case NODE_MAP:
			snprintf(buffer, size, "a map");
			break;
		case NODE_LIST:
			snprintf(buffer, size, "a list");
			break;
		case NODE_SCALAR:
			snprintf(buffer, size, "%s", text_quote(node->text, node->length, quoted));
			break;
		default:
			snprintf(buffer, size, "empty");
			break;
	}
}

static void
describe_choices(const Key *key, char *buffer, size_t size)
{
	size_t offered = 0;
	size_t named = 0;

	for (const Choice *choice = key->choices; choice->word != NULL; choice++)
		offered += choice->value != CHOICE_NOT_OFFERED;
	buffer[0] = '\0';
	for (const Choice *choice = key->choices; choice->word != NULL; choice++)
	{
		const char *separator = named == 0 ? "" : named + 1 == offered ? " or " : ", ";

		if (choice->value == CHOICE_NOT_OFFERED)
			continue;
		snprintf(buffer + strlen(buffer), size - strlen(buffer), "%s'%s'", separator, choice->word);
		named++;
	}
}

void
key_describe(const Key *key, char *buffer, size_t size)
{
	char low[32];
	char high[32];

	switch (key->type)
	{
		case KEY_NUMBER:
			snprintf(buffer, size, "a whole number%s%s from %" PRIu64 " to %" PRIu64, key->unit == NULL ? "" : " of ",
					 key->unit == NULL ? "" : key->unit, key->minimum, key->maximum);
			break;
		case KEY_SIZE:
			size_format(key->minimum, low);
			size_format(key->maximum, high);
			snprintf(buffer, size, "a size from %s to %s, such as %s", low, high, key->example);
			break;
		case KEY_DURATION:
		case KEY_SECONDS:
			duration_format(key->minimum, low);
			duration_format(key->maximum, high);
			snprintf(buffer, size, "seconds or a duration from %s to %s, such as 3s or 1m30s", low, high);
			break;
		case KEY_CHOICE:
			describe_choices(key, buffer, size);
			break;
		case KEY_MAP:
		case KEY_OPTIONAL_MAP:
		case KEY_NAMED_MAPS:
		case KEY_ENVIRONMENT:
			snprintf(buffer, size, "a map");
			break;
		case KEY_MAP_LIST:
		case KEY_TEXT_LIST:
			snprintf(buffer, size, "a list");
			break;
		case KEY_BOOLEAN:
			snprintf(buffer, size, "true or false");
			break;
		case KEY_IMAGE:
			snprintf(buffer, size, "the name of an image");
			break;
		case KEY_PATH:
		case KEY_HOST_PATH:
			snprintf(buffer, size, "an absolute path");
			break;
		case KEY_SUBNET:
			snprintf(buffer, size, "an IPv4 network from /8 to /28, such as 10.88.0.0/16");
			break;
		case KEY_SUBNET6:
			snprintf(buffer, size, "an IPv6 network from /8 to /96, such as fd6c:7474:6c65::/64, or 'none'");
			break;
		default:
			snprintf(buffer, size, key->type == KEY_NAME ? "a name" : "text");
			break;
	}
}

/* Reports what is wrong, with what was written. */
static void
refuse(const Node *node, const char *path, DiagnosticList *diagnostics, const char *what)
{
	char quoted[QUOTED_BYTES];

	diagnostic_add(diagnostics, node->mark, path, "%s, but this is %s", what,
				   text_quote(node->text, node->length, quoted));
}

static void
refuse_expecting(const Key *key, const Node *node, const char *path, DiagnosticList *diagnostics)
{
	char expected[200];
	char quoted[QUOTED_BYTES];

	key_describe(key, expected, sizeof(expected));
	diagnostic_add(diagnostics, node->mark, path, "must be %s, but is %s%s", expected,
				   node->quoted && key->type == KEY_NUMBER ? "text: " : "",
				   text_quote(node->text, node->length, quoted));
}

void
value_read_name(const Node *node, const char *path, char *name, DiagnosticList *diagnostics)
{
	const char *wrong = name_check(node->text);

	if (wrong != NULL)
		refuse(node, path, diagnostics, wrong);
	else
		memcpy(name, node->text, node->length + 1);
}

static void
write_number(void *field, size_t bytes, uint64_t number)
{
	switch (bytes)
	{
		case sizeof(uint16_t):
			*(uint16_t *) field = (uint16_t) number;
			break;
		case sizeof(uint32_t):
			*(uint32_t *) field = (uint32_t) number;
			break;
		default:
			*(uint64_t *) field = number;
			break;
	}
}

static bool
parse_number(const Node *node, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (node->quoted || node->length == 0 || node->length > 18)
		return false;
	for (const char *c = node->text; *c != '\0'; c++)
	{
		if (*c < '0' || *c > '9')
			return false;
		number = number * 10 + (uint64_t) (*c - '0');
	}
	*ret_number = number;
	return true;
}

/* Sizes and durations: malformed text has its own message; a value out of range says the range. */
static void
read_measure(const Key *key, const Node *node, const char *path, void *field, DiagnosticList *diagnostics)
{
	uint64_t value;
	const char *wrong = key->type == KEY_SIZE ? size_parse(node->text, &value) : duration_parse(node->text, &value);

	if (wrong != NULL)
		refuse(node, path, diagnostics, wrong);
	else if (value < key->minimum || value > key->maximum)
		refuse_expecting(key, node, path, diagnostics);
	else if (key->type == KEY_SECONDS && value % 1000 != 0)
		refuse(node, path, diagnostics, "must be whole seconds");
	else
		*(uint64_t *) field = key->type == KEY_SECONDS ? value / 1000 : value;
}

/* What skopeo will be asked for: [host[:port]/]path[:tag][@digest]; only characters that occur in these. */
static const char *
image_check(const Node *node)
{
	if (node->length == 0)
		return "the name of an image must not be empty";
	if (node->length > 255)
		return "the name of an image has at most 255 characters";
	for (const char *c = node->text; *c != '\0'; c++)
	{
		bool alphanumeric = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');

		if (!alphanumeric && (c == node->text || strchr("._-:/@", *c) == NULL))
			return "the name of an image is [host[:port]/]path[:tag][@digest]";
	}
	if (strstr(node->text, "//") != NULL || strchr("./:@-_", node->text[node->length - 1]) != NULL)
		return "the name of an image is [host[:port]/]path[:tag][@digest]";
	return NULL;
}

static const char *
text_check(const Node *node)
{
	if (node->length == 0)
		return "must not be empty";
	return node->length > ARGUMENT_MAX_BYTES ? "is too long" : NULL;
}

static const char *
path_check(const Node *node, size_t max_bytes)
{
	if (node->text[0] != '/')
		return "must be an absolute path";
	if (node->length >= max_bytes)
		return "is too long for a path";
	for (const char *c = node->text; *c != '\0'; c++)
	{
		if ((unsigned char) *c < 0x20 || *c == 0x7f)
			return "a path must not hold control characters";
	}
	for (const char *part = node->text; part != NULL; part = strchr(part + 1, '/'))
	{
		if (strncmp(part, "/../", 4) == 0 || strcmp(part, "/..") == 0 || strncmp(part, "/./", 3) == 0 ||
			strcmp(part, "/.") == 0)
			return "a path must not hold '.' or '..'";
		if (part[1] == '/')
			return "a path must not hold '//'";
	}
	return NULL;
}

/* A path without its trailing slashes. */
static char *
path_normalize(const char *path)
{
	char *copy = memory_duplicate(path);
	size_t length = strlen(copy);

	while (length > 1 && copy[length - 1] == '/')
		copy[--length] = '\0';
	return copy;
}

static void
read_path(const Key *key, const Node *node, const char *path, void *field, DiagnosticList *diagnostics)
{
	const char *wrong = path_check(node, key->type == KEY_PATH ? 1024 : key->bytes);
	char *normal;

	if (wrong == NULL && key->type == KEY_PATH && node->length == 1)
		wrong = "a volume cannot replace the machine's root";
	if (wrong != NULL)
	{
		refuse(node, path, diagnostics, wrong);
		return;
	}
	normal = path_normalize(node->text);
	if (key->type == KEY_PATH)
	{
		free(*(char **) field);
		*(char **) field = normal;
		return;
	}
	memcpy(field, normal, strlen(normal) + 1);
	free(normal);
}

/* "ADDRESS/BITS", with 8 to most_bits bits. ret_address: 4 or 16 bytes in network order, by the family. */
static bool
parse_network(int family, const char *text, unsigned most_bits, void *ret_address, unsigned *ret_bits)
{
	char address_text[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	unsigned bits = 0;

	if (slash == NULL || slash - text >= INET6_ADDRSTRLEN || strlen(slash + 1) < 1 || strlen(slash + 1) > 2 ||
		strspn(slash + 1, "0123456789") != strlen(slash + 1))
		return false;
	memcpy(address_text, text, (size_t) (slash - text));
	address_text[slash - text] = '\0';
	for (const char *digit = slash + 1; *digit != '\0'; digit++)
		bits = bits * 10 + (unsigned) (*digit - '0');
	if (bits < 8 || bits > most_bits || inet_pton(family, address_text, ret_address) != 1)
		return false;
	*ret_bits = bits;
	return true;
}

static void
refuse_address_inside(const Node *node, const char *path, int family, const void *network, unsigned bits,
					  DiagnosticList *diagnostics)
{
	char suggested[INET6_ADDRSTRLEN];

	inet_ntop(family, network, suggested, sizeof(suggested));
	diagnostic_add(diagnostics, node->mark, path, "%s is an address inside a network; did you mean %s/%u?", node->text,
				   suggested, bits);
}

static void
read_subnet(const Key *key, const Node *node, const char *path, void *target, DiagnosticList *diagnostics)
{
	struct in_addr address;
	unsigned bits;
	uint32_t host;

	if (!parse_network(AF_INET, node->text, 28, &address, &bits))
	{
		refuse_expecting(key, node, path, diagnostics);
		return;
	}
	host = ntohl(address.s_addr);
	if ((host & (UINT32_MAX >> bits)) != 0)
	{
		address.s_addr = htonl(host & ~(UINT32_MAX >> bits));
		refuse_address_inside(node, path, AF_INET, &address, bits, diagnostics);
		return;
	}
	*(uint32_t *) ((char *) target + key->offset) = host;
	*(unsigned *) ((char *) target + key->count_offset) = bits;
}

static void
read_subnet6(const Key *key, const Node *node, const char *path, void *target, DiagnosticList *diagnostics)
{
	unsigned char address[16] = {0};
	unsigned char network[16] = {0};
	unsigned bits = 0;

	if (strcmp(node->text, "none") != 0 && !parse_network(AF_INET6, node->text, 96, address, &bits))
	{
		refuse_expecting(key, node, path, diagnostics);
		return;
	}
	memcpy(network, address, bits / 8);
	if (bits % 8 != 0)
		network[bits / 8] = (unsigned char) (address[bits / 8] & (0xff << (8 - bits % 8)));
	if (memcmp(network, address, sizeof(network)) != 0)
	{
		refuse_address_inside(node, path, AF_INET6, network, bits, diagnostics);
		return;
	}
	memcpy((char *) target + key->offset, network, sizeof(network));
	*(unsigned *) ((char *) target + key->count_offset) = bits;
}

static void
read_word(const Key *key, const Node *node, const char *path, char *field, DiagnosticList *diagnostics)
{
	const char *wrong = node->length >= key->bytes ? "is too long" : key->check(node->text);

	if (wrong != NULL)
		refuse(node, path, diagnostics, wrong);
	else
		memcpy(field, node->text, node->length + 1);
}

void
value_read_scalar(const Key *key, const Node *node, const char *path, void *target, DiagnosticList *diagnostics)
{
	void *field = (char *) target + key->offset;
	uint64_t number;
	const char *wrong;

	switch (key->type)
	{
		case KEY_NAME:
			value_read_name(node, path, field, diagnostics);
			break;
		case KEY_NUMBER:
			if (!parse_number(node, &number) || number < key->minimum || number > key->maximum)
				refuse_expecting(key, node, path, diagnostics);
			else
				write_number(field, key->bytes, number);
			break;
		case KEY_SIZE:
		case KEY_DURATION:
		case KEY_SECONDS:
			read_measure(key, node, path, field, diagnostics);
			break;
		case KEY_TEXT:
		case KEY_IMAGE:
			wrong = key->type == KEY_IMAGE ? image_check(node) : text_check(node);
			if (wrong == NULL && key->check != NULL)
				wrong = key->check(node->text);
			if (wrong != NULL)
				refuse(node, path, diagnostics, wrong);
			else
			{
				free(*(char **) field);
				*(char **) field = memory_duplicate(node->text);
			}
			break;
		case KEY_PATH:
		case KEY_HOST_PATH:
			read_path(key, node, path, field, diagnostics);
			break;
		case KEY_BOOLEAN:
			if (node->quoted || (strcmp(node->text, "true") != 0 && strcmp(node->text, "false") != 0))
				refuse_expecting(key, node, path, diagnostics);
			else
				*(bool *) field = node->text[0] == 't';
			break;
		case KEY_SUBNET:
			read_subnet(key, node, path, target, diagnostics);
			break;
		case KEY_SUBNET6:
			read_subnet6(key, node, path, target, diagnostics);
			break;
		case KEY_WORD:
			read_word(key, node, path, field, diagnostics);
			break;
		default:
			abort();
	}
}

void
value_read_text_list(const Key *key, const Node *list, const char *path, char ***ret_texts, DiagnosticList *diagnostics)
{
	char **texts;

	if (list->count == 0)
	{
		diagnostic_add(diagnostics, list->mark, path, "must not be an empty list; leave it out");
		return;
	}
	texts = memory_allocate((list->count + 1) * sizeof(*texts));
	for (size_t i = 0; i < list->count; i++)
	{
		const Node *item = &list->items[i];
		char below[KEY_PATH_BYTES + 16];
		char found[QUOTED_BYTES + 32];

		snprintf(below, sizeof(below), "%s[%zu]", path, i);
		node_describe(item, found, sizeof(found));
		if (item->type != NODE_SCALAR && item->type != NODE_REFUSED)
			diagnostic_add(diagnostics, item->mark, below, "must be text, but is %s", found);
		else if (item->type == NODE_SCALAR && item->length > ARGUMENT_MAX_BYTES)
			diagnostic_add(diagnostics, item->mark, below, "has more than %d bytes", ARGUMENT_MAX_BYTES);
		else if (item->type == NODE_SCALAR && key->check != NULL && key->check(item->text) != NULL)
			refuse(item, below, diagnostics, key->check(item->text));
		/* Something always stands there, so that the list never ends early. */
		texts[i] = memory_duplicate(item->type == NODE_SCALAR ? item->text : "");
	}
	*ret_texts = texts;
}

/* A name in quotes is taken as it is, as long as the kernel's KEY=value can carry it. */
static const char *
environment_name_check(const Node *name)
{
	if (name->length == 0)
		return "the name of a variable must not be empty";
	for (const char *c = name->text; *c != '\0'; c++)
	{
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
		bool digit = *c >= '0' && *c <= '9';

		if ((unsigned char) *c < 0x20 || *c == 0x7f || *c == '=')
			return "the name of a variable must not hold '=' or control characters";
		if (!name->quoted && !letter && (!digit || c == name->text))
			return "the name of a variable holds letters, digits and '_', and does not begin with a digit";
	}
	return NULL;
}

static int
compare_variables(const void *left, const void *right)
{
	return strcmp(((const EnvironmentVariable *) left)->name, ((const EnvironmentVariable *) right)->name);
}

void
value_read_environment(const Key *key, const Node *map, const char *path, EnvironmentVariable **ret_variables,
					   size_t *ret_count, DiagnosticList *diagnostics)
{
	EnvironmentVariable *variables = memory_allocate(map->count * sizeof(*variables));
	size_t count = 0;

	for (size_t i = 0; i < map->count; i++)
	{
		const Node *name = &map->keys[i];
		const Node *value = &map->items[i];
		const char *wrong = name->type == NODE_REFUSED ? NULL
							: key->check != NULL	   ? key->check(name->text)
													   : environment_name_check(name);
		char below[KEY_PATH_BYTES];
		char found[QUOTED_BYTES + 32];

		if (name->type == NODE_REFUSED || value->type == NODE_REFUSED)
			continue;
		key_path_join(below, path, name->text);
		node_describe(value, found, sizeof(found));
		if (wrong != NULL)
			refuse(name, path, diagnostics, wrong);
		else if (value->type == NODE_NULL)
			diagnostic_add(diagnostics, name->mark, below, "has no value; write \"\" for an empty one");
		else if (value->type != NODE_SCALAR)
			diagnostic_add(diagnostics, value->mark, below, "must be text, but is %s", found);
		else if (name->length + value->length > ARGUMENT_MAX_BYTES)
			diagnostic_add(diagnostics, value->mark, below, "has more than %d bytes", ARGUMENT_MAX_BYTES);
		else
			variables[count++] = (EnvironmentVariable){
				.name = memory_duplicate(name->text), .value = memory_duplicate(value->text), .mark = name->mark};
	}
	qsort(variables, count, sizeof(*variables), compare_variables);
	*ret_variables = variables;
	*ret_count = count;
}
