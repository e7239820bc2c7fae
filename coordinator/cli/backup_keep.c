/* Removing old backups; see backup_keep.h. */
#include "cli/backup_keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/backup_format.h"
#include "cli/output.h"
#include "model/spec.h"

#define KEEP_MAX 100000

typedef struct Found
{
	uint64_t taken_ms;
	char *name;
} Found;

typedef struct FoundList
{
	Found *items;
	size_t count;
	size_t capacity;
} FoundList;

static void
found_list_clear(FoundList *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].name);
	free(list->items);
}

int
backup_keep_read(const CliInvocation *invocation, BackupKeep *ret_keep)
{
	const char *count = cli_has(invocation, OPTION_KEEP) ? invocation->values[OPTION_KEEP] : NULL;
	const char *age = cli_has(invocation, OPTION_KEEP_FOR) ? invocation->values[OPTION_KEEP_FOR] : NULL;
	const char *problem = age == NULL ? NULL : duration_parse(age, &ret_keep->age_ms);
	char *end = NULL;

	if (problem != NULL)
	{
		output_complain("--keep-for %s: %s", age, problem);
		return EXIT_CODE_USAGE;
	}
	if (count == NULL)
		return EXIT_CODE_OK;
	ret_keep->count = (unsigned) strtoul(count, &end, 10);
	if (count[0] >= '0' && count[0] <= '9' && *end == '\0' && ret_keep->count >= 1 && ret_keep->count <= KEEP_MAX)
		return EXIT_CODE_OK;
	output_complain("--keep %s: must be a whole number from 1 to %d", count, KEEP_MAX);
	return EXIT_CODE_USAGE;
}

bool
backup_keep_is_set(const BackupKeep *keep)
{
	return keep->count > 0 || keep->age_ms > 0;
}

static int
compare_newest_first(const void *left, const void *right)
{
	const Found *a = left;
	const Found *b = right;

	return a->taken_ms == b->taken_ms ? strcmp(a->name, b->name) : a->taken_ms > b->taken_ms ? -1 : 1;
}

static void
find_series(DIR *directory, const char *series, FoundList *list)
{
	struct dirent *entry;
	uint64_t taken_ms;

	while ((entry = readdir(directory)) != NULL)
	{
		if (!backup_name_read(entry->d_name, series, &taken_ms))
			continue;
		list->items = memory_grow(list->items, &list->capacity, list->count + 1, sizeof(*list->items));
		list->items[list->count++] = (Found){taken_ms, memory_duplicate(entry->d_name)};
	}
	if (list->count > 0)
		qsort(list->items, list->count, sizeof(*list->items), compare_newest_first);
}

int
backup_keep_apply(const BackupKeep *keep, const char *path, const char *series, Error *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *place =
		slash == NULL ? memory_duplicate(".") : memory_printf("%.*s/", (int) (slash - path), path);
	_cleanup_directory_ DIR *directory = NULL;
	_cleanup_(found_list_clear) FoundList list = {0};
	uint64_t now_ms = clock_realtime_ms();

	if (!backup_keep_is_set(keep))
		return 0;
	directory = opendir(place);
	if (directory == NULL)
		return error_set_errno(err, errno, "%s", place);
	find_series(directory, series, &list);
	for (size_t i = 1; i < list.count; i++)
	{
		const Found *found = &list.items[i];
		bool is_old = keep->age_ms > 0 && found->taken_ms + keep->age_ms < now_ms;

		if ((is_old || (keep->count > 0 && i >= keep->count)) && unlinkat(dirfd(directory), found->name, 0) < 0 &&
			errno != ENOENT)
			return error_set_errno(err, errno, "%s/%s", place, found->name);
	}
	return 0;
}
