/*
 * lttle query: resources of all kinds in one list, filtered as `docker ps --filter` does it: several values of one key
 * mean any of them, several keys mean all of them.
 */
#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/output.h"

static const struct
{
	const char *kind;
	const char *target;
} kinds[] = {{"postgres", "/v1/postgres"}, {"app", "/v1/apps"},		  {"machine", "/v1/machines"},
			 {"service", "/v1/services"},  {"volume", "/v1/volumes"}, {"image", "/v1/images"}};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const char *const keys[] = {"kind", "namespace", "name", "tag", "phase"};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

/* Where the value of "key=value" begins; NULL when it is of another key. */
static const char *
filter_value(const char *filter, const char *key)
{
	size_t length = strlen(key);

	return strncmp(filter, key, length) == 0 && filter[length] == '=' ? filter + length + 1 : NULL;
}

static int
filters_check(const CliInvocation *invocation)
{
	for (size_t i = 0; i < invocation->argument_count; i++)
	{
		bool known = false;

		for (size_t k = 0; k < KEY_COUNT; k++)
			known = known || filter_value(invocation->arguments[i], keys[k]) != NULL;
		if (known)
			continue;
		output_complain("'%s' is no filter: kind=, namespace=, name=, tag= and phase= are", invocation->arguments[i]);
		return EXIT_CODE_USAGE;
	}
	return EXIT_CODE_OK;
}

/* Whether there is no filter of this key, or one of them fits one of the values. */
static bool
filters_take(const CliInvocation *invocation, const char *key, const char *const values[], size_t value_count)
{
	bool wanted = false;

	for (size_t i = 0; i < invocation->argument_count; i++)
	{
		const char *pattern = filter_value(invocation->arguments[i], key);

		for (size_t k = 0; pattern != NULL && k < value_count; k++)
		{
			if (fnmatch(pattern, values[k], 0) == 0)
				return true;
		}
		wanted = wanted || pattern != NULL;
	}
	return !wanted;
}

static bool
filters_take_tags(const CliInvocation *invocation, const json_t *tags)
{
	const char *values[64];
	const json_t *tag;
	size_t index;
	size_t count = 0;

	json_array_foreach((json_t *) tags, index, tag)
	{
		if (count < sizeof(values) / sizeof(values[0]) && json_is_string(tag))
			values[count++] = json_string_value(tag);
	}
	return filters_take(invocation, "tag", values, count);
}

static bool
filters_take_resource(const CliInvocation *invocation, const json_t *resource)
{
	static const char *const plain[] = {"namespace", "name", "phase"};

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
	{
		const char *value = member_text(resource, plain[i]);

		if (!filters_take(invocation, plain[i], &value, member_is_set(resource, plain[i]) ? 1 : 0))
			return false;
	}
	return filters_take_tags(invocation, json_object_get(resource, "tags"));
}

/* Adds those of one kind that fit. */
static int
query_kind(const CliInvocation *invocation, size_t kind, json_t *found)
{
	const json_t *resource;
	json_t *resources;
	size_t index;
	int code = api_request(invocation, "GET", kinds[kind].target, &resources);

	if (code != EXIT_CODE_OK)
		return code;
	json_array_foreach(resources, index, resource)
	{
		if (filters_take_resource(invocation, resource))
			json_array_append_new(found, json_pack("{s:s, s:O?, s:O, s:O?, s:O?}", "kind", kinds[kind].kind,
												   "namespace", json_object_get(resource, "namespace"), "name",
												   json_object_get(resource, "name"), "phase",
												   json_object_get(resource, "phase"), "tags",
												   json_object_get(resource, "tags")));
	}
	json_decref(resources);
	return EXIT_CODE_OK;
}

static void
query_print(const json_t *found)
{
	static const char *const headers[] = {"KIND", "NAMESPACE", "NAME", "PHASE", "TAGS"};
	const json_t *resource;
	size_t index;
	Table table;

	table_begin(&table, 5, headers);
	json_array_foreach((json_t *) found, index, resource)
	{
		_cleanup_text_ Text tags = {0};
		const json_t *tag;
		size_t at;

		json_array_foreach(json_object_get(resource, "tags"), at, tag)
		{
			text_printf(&tags, "%s%s", at > 0 ? "," : "", json_string_value(tag));
		}
		table_add(&table, "%s", member_text(resource, "kind"));
		table_add(&table, "%s", member_text(resource, "namespace"));
		table_add(&table, "%s", member_text(resource, "name"));
		table_add(&table, "%s", member_text(resource, "phase"));
		table_add(&table, "%s", text_string(&tags));
	}
	table_print(&table);
}

int
run_query(const CliInvocation *invocation)
{
	json_t *found = json_array();
	int code = filters_check(invocation);

	for (size_t i = 0; code == EXIT_CODE_OK && i < KIND_COUNT; i++)
	{
		if (filters_take(invocation, "kind", &kinds[i].kind, 1))
			code = query_kind(invocation, i, found);
	}
	if (code == EXIT_CODE_OK && cli_has(invocation, OPTION_JSON))
		output_json(found);
	else if (code == EXIT_CODE_OK)
		query_print(found);
	json_decref(found);
	return code;
}
