/* A file of resources: its documents, their kinds, and that no resource stands there twice; see spec.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/diagnostics.h"
#include "model/expression.h"
#include "model/keys.h"
#include "model/resource_read.h"
#include "model/yaml_node.h"

#define FILE_MAX_BYTES	   ((size_t) 1 << 20)
#define FILE_MAX_RESOURCES 1000

/* What expressions can make in all, so that no small file becomes a huge one. */
#define EXPANDED_MAX_BYTES ((size_t) 4 << 20)

/* "volume, app" */
static void
list_kinds(char *buffer, size_t size)
{
	buffer[0] = '\0';
	for (const KindKeys *kind = resource_kinds; kind->name != NULL; kind++)
	{
		if (kind->kind != CHOICE_NOT_OFFERED)
			snprintf(buffer + strlen(buffer), size - strlen(buffer), "%s%s", buffer[0] == '\0' ? "" : ", ", kind->name);
	}
}

static void
refuse_kind(const Node *written, DiagnosticList *diagnostics)
{
	char kinds[128];
	char quoted[QUOTED_BYTES];
	const char *words[16];
	size_t count = 0;
	const char *meant;

	list_kinds(kinds, sizeof(kinds));
	for (const KindKeys *kind = resource_kinds; kind->name != NULL; kind++)
	{
		if (kind->kind != CHOICE_NOT_OFFERED)
			words[count++] = kind->name;
		else if (strcmp(kind->name, written->text) == 0)
		{
			diagnostic_add(diagnostics, written->mark, "", "'%s' is not offered by a single host: %s; known kinds: %s",
						   kind->name, kind->doc, kinds);
			return;
		}
	}
	words[count] = NULL;
	meant = word_suggest(written->text, words);
	text_quote(written->text, written->length, quoted);
	if (meant != NULL)
		diagnostic_add(diagnostics, written->mark, "", "unknown kind %s; did you mean '%s'?", quoted, meant);
	else
		diagnostic_add(diagnostics, written->mark, "", "unknown kind %s; known kinds: %s", quoted, kinds);
}

static Resource *
append_resource(ResourceSet *set, size_t *capacity)
{
	set->resources = memory_grow(set->resources, capacity, set->count + 1, sizeof(Resource));
	return &set->resources[set->count++];
}

/* The part of a document below one kind. */
static void
read_kind(const Node *key, const Node *body, ResourceSet *set, size_t *capacity, DiagnosticList *diagnostics)
{
	const KindKeys *kind = resource_kinds;

	if (key->type == NODE_REFUSED || body->type == NODE_REFUSED)
		return;
	while (kind->name != NULL && (kind->kind == CHOICE_NOT_OFFERED || strcmp(kind->name, key->text) != 0))
		kind++;
	if (kind->name == NULL)
		refuse_kind(key, diagnostics);
	else if (body->type != NODE_MAP && body->type != NODE_NULL)
		diagnostic_add(diagnostics, body->mark, kind->name, "must be a map with the keys of %s %s",
					   kind->kind == RESOURCE_APP ? "an" : "a", kind->name);
	else if (set->count >= FILE_MAX_RESOURCES)
		diagnostic_add(diagnostics, key->mark, "", "a file holds at most %d resources", FILE_MAX_RESOURCES);
	else
		resource_read((ResourceKind) kind->kind, body, key->mark, append_resource(set, capacity), diagnostics);
}

static void
read_document(const Node *document, ResourceSet *set, size_t *capacity, DiagnosticList *diagnostics)
{
	char kinds[128];
	char quoted[QUOTED_BYTES];

	if (document->type == NODE_NULL || document->type == NODE_REFUSED)
		return;
	list_kinds(kinds, sizeof(kinds));
	if (document->type != NODE_MAP || document->count == 0)
	{
		diagnostic_add(diagnostics, document->mark, "",
					   "a document must be a map with one key that names the kind; known kinds: %s", kinds);
		return;
	}
	for (size_t i = 1; i < document->count; i++)
	{
		/* Keys indented less than they should be end up here: name the likely cause too. */
		if (document->keys[i].type == NODE_SCALAR)
			diagnostic_add(diagnostics, document->keys[i].mark, "",
						   "a document holds one resource, but this one also has %s; put '---' between resources, "
						   "and indent the keys of one",
						   text_quote(document->keys[i].text, document->keys[i].length, quoted));
	}
	read_kind(&document->keys[0], &document->items[0], set, capacity, diagnostics);
}

static void
refuse_repeated(const ResourceSet *set, const ResourceFile *files, DiagnosticList *diagnostics)
{
	for (size_t i = 0; i < set->count; i++)
	{
		const Resource *resource = &set->resources[i];
		const char *kind = resource_kind_name(resource->kind);

		for (size_t j = 0; j < i; j++)
		{
			const Resource *earlier = &set->resources[j];

			/* An app is a machine too. */
			if ((earlier->kind != resource->kind && !(resource_is_machine(earlier) && resource_is_machine(resource))) ||
				resource->head.name[0] == '\0' || strcmp(earlier->head.name, resource->head.name) != 0 ||
				strcmp(earlier->head.name_space, resource->head.name_space) != 0)
				continue;
			diagnostic_add(diagnostics, resource->mark, kind, "%s %s/%s appears twice%s; the first is at line %u%s%s",
						   kind, resource->head.name_space, resource->head.name,
						   earlier->mark.file == resource->mark.file ? " in this file" : "", earlier->mark.line,
						   earlier->mark.file == resource->mark.file ? "" : " of ",
						   earlier->mark.file == resource->mark.file ? "" : files[earlier->mark.file].name);
			break;
		}
	}
}

static void
place_paths(char **paths, const char *directory)
{
	for (size_t i = 0; paths != NULL && paths[i] != NULL; i++)
	{
		char *whole;

		if (paths[i][0] == '/')
			continue;
		whole = memory_printf("%s/%s", directory, strncmp(paths[i], "./", 2) == 0 ? paths[i] + 2 : paths[i]);
		free(paths[i]);
		paths[i] = whole;
	}
}

/* What `build` and `init-scripts` are relative to is the file's own directory. */
static void
place_files(const ResourceSet *set, const ResourceFile *files)
{
	for (size_t i = 0; i < set->count; i++)
	{
		Resource *resource = &set->resources[i];
		BuildSpec *build = &resource->app.build;
		const char *directory = files[resource->mark.file].directory;
		char *whole;

		if (resource_is_machine(resource) && directory != NULL)
			place_paths(resource->app.init_scripts, directory);
		else if (resource->kind == RESOURCE_POSTGRES && directory != NULL)
			place_paths(resource->postgres.init_scripts, directory);
		if (!resource_is_machine(resource) || build->kind == BUILD_NONE || build->context == NULL ||
			build->context[0] == '/' || directory == NULL)
			continue;
		whole = strcmp(build->context, ".") == 0 ? memory_duplicate(directory)
												 : memory_printf("%s/%s", directory, build->context);
		free(build->context);
		build->context = whole;
	}
}

/* The namespace of a document's resource, which values are looked up in; its own mistakes are reported later. */
static void
find_namespace(const Node *document, const Variables *variables, char ret_name[NAME_MAX_BYTES + 1])
{
	const Node *written =
		document->type == NODE_MAP && document->count > 0 ? node_find(&document->items[0], "namespace", NULL) : NULL;
	size_t left_bytes = NAME_MAX_BYTES;
	DiagnosticList unheard = {0};
	Node copy;

	snprintf(ret_name, NAME_MAX_BYTES + 1, "default");
	if (written == NULL || written->type != NODE_SCALAR)
		return;
	copy = node_scalar(written->text, true);
	expressions_expand(&copy, "", variables, &left_bytes, &unheard);
	if (copy.type == NODE_SCALAR)
		text_copy(ret_name, NAME_MAX_BYTES + 1, copy.text);
	node_clear(&copy);
	diagnostic_list_clear(&unheard);
}

static void
expand_document(Node *document, const Variables *variables, size_t *left_bytes, DiagnosticList *problems)
{
	Variables own = *variables;
	char name_space[NAME_MAX_BYTES + 1];
	SecretSource source;

	if (variables->secrets != NULL)
	{
		source = *variables->secrets;
		own.secrets = NULL;
		find_namespace(document, &own, name_space);
		source.name_space = name_space;
		own.secrets = &source;
	}
	expressions_expand(document, "", &own, left_bytes, problems);
}

static void
read_file(const ResourceFile *file, unsigned number, const Variables *variables, size_t *left_bytes, ResourceSet *set,
		  size_t *capacity, DiagnosticList *problems)
{
	SourceMark start = {1, 1, number};
	NodeDocuments documents = {0};
	size_t before = set->count;
	size_t problems_before = problems->count;

	if (file->size > FILE_MAX_BYTES)
		diagnostic_add(problems, start, "", "is larger than 1 MiB");
	else if (node_documents_parse(file->text, file->size, number, &documents, problems) == 0)
	{
		for (size_t i = 0; i < documents.count; i++)
		{
			expand_document(&documents.items[i], variables, left_bytes, problems);
			read_document(&documents.items[i], set, capacity, problems);
		}
		if (set->count == before && problems->count == problems_before)
			diagnostic_add(problems, start, "", "holds no resource");
		node_documents_clear(&documents);
	}
}

int
resource_files_parse(const ResourceFile *files, size_t count, const Variables *variables, ResourceSet *ret_set,
					 DiagnosticList *diagnostics)
{
	DiagnosticList problems = {0};
	ResourceSet set = {0};
	size_t left_bytes = EXPANDED_MAX_BYTES;
	size_t capacity = 0;
	int result = 0;

	for (size_t i = 0; i < count; i++)
		read_file(&files[i], (unsigned) i, variables, &left_bytes, &set, &capacity, &problems);
	refuse_repeated(&set, files, &problems);
	place_files(&set, files);
	if (problems.count > 0)
	{
		diagnostic_list_sort(&problems);
		diagnostic_list_append(diagnostics, &problems);
		diagnostic_list_clear(&problems);
		resource_set_clear(&set);
		result = -EINVAL;
	}
	else
		*ret_set = set;
	return result;
}

int
resource_set_parse(const char *text, size_t size, ResourceSet *ret_set, DiagnosticList *diagnostics)
{
	ResourceFile file = {.name = "", .text = text, .size = size};

	return resource_files_parse(&file, 1, &(Variables){0}, ret_set, diagnostics);
}
