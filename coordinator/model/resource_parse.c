/* A file of resources: its documents, their kinds, and that no resource stands there twice; see spec.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/diagnostics.h"
#include "model/keys.h"
#include "model/resource_read.h"
#include "model/yaml_node.h"

#define FILE_MAX_BYTES	   ((size_t) 1 << 20)
#define FILE_MAX_RESOURCES 1000

static const SourceMark file_start = {1, 1};

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
refuse_repeated(const ResourceSet *set, DiagnosticList *diagnostics)
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
			diagnostic_add(diagnostics, (SourceMark){resource->line, resource->column}, kind,
						   "%s %s/%s appears twice in this file; the first is at line %u", kind,
						   resource->head.name_space, resource->head.name, earlier->line);
			break;
		}
	}
}

int
resource_set_parse(const char *text, size_t size, ResourceSet *ret_set, DiagnosticList *diagnostics)
{
	DiagnosticList problems = {0};
	NodeDocuments documents = {0};
	ResourceSet set = {0};
	size_t capacity = 0;
	int result = 0;

	if (size > FILE_MAX_BYTES)
		diagnostic_add(&problems, file_start, "", "is larger than 1 MiB");
	else if (node_documents_parse(text, size, &documents, &problems) == 0)
	{
		for (size_t i = 0; i < documents.count; i++)
			read_document(&documents.items[i], &set, &capacity, &problems);
		refuse_repeated(&set, &problems);
		if (set.count == 0 && problems.count == 0)
			diagnostic_add(&problems, file_start, "", "holds no resource");
		node_documents_clear(&documents);
	}
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
