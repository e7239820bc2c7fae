/* Rows and cells that apps and machines have in common; see rows.h. */
#include "cli/rows.h"

#include <jansson.h>
#include <stdbool.h>

#include "base/text.h"
#include "cli/api.h"

void
listing_add_when_set(Listing *listing, const char *key, const json_t *object, const char *member)
{
	if (member_is_set(object, member))
		listing_add(listing, key, "%s", member_text(object, member));
}

void
listing_add_last_words(Listing *listing, const json_t *object)
{
	const json_t *line;
	size_t index;

	json_array_foreach(json_object_get(object, "last-words"), index, line)
	{
		listing_add(listing, index == 0 ? "last words" : "", "%s", json_string_value(line));
	}
}

void
table_add_exit_status(Table *table, const json_t *object)
{
	if (member_is_set(object, "exit-status"))
		table_add(table, "%.0f", member_number(object, "exit-status"));
	else
		table_add(table, "%s", "");
}

void
table_add_services(Table *table, const json_t *object)
{
	_cleanup_text_ Text names = {0};
	const json_t *service;
	size_t index;

	json_array_foreach(json_object_get(object, "services"), index, service)
	{
		bool exposed = json_is_string(json_object_get(service, "expose"));

		text_printf(&names, "%s%s:%.0f", index > 0 ? ", " : "", member_text(service, exposed ? "expose" : "name"),
					member_number(service, "port"));
	}
	table_add(table, "%s", text_string(&names));
}
