/* Scripts of the first start; see init_scripts.h. What is below the machine's root is the machine's: no link is
 * followed. */
#include "host/init_scripts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define SCRIPTS_MAX 1000

static const char *const endings[] = {".sql", ".sql.gz", ".sql.xz", ".sql.zst", ".sh"};

/* One script, by its name in the machine. */
typedef struct Script
{
	char *name;
	char *path;
} Script;

typedef struct ScriptList
{
	Script *items;
	size_t count;
	size_t capacity;
} ScriptList;

static void
script_list_clear(ScriptList *list)
{
	for (size_t i = 0; i < list->count; i++)
	{
		free(list->items[i].name);
		free(list->items[i].path);
	}
	free(list->items);
}

#define _cleanup_scripts_ _cleanup_(script_list_clear)

static bool
is_script_name(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
	{
		size_t ending = strlen(endings[i]);

		if (name[0] != '.' && length > ending && strcmp(name + length - ending, endings[i]) == 0)
			return true;
	}
	return false;
}

static int
script_list_add(ScriptList *list, const char *name, const char *path, Error *err)
{
	for (size_t i = 0; i < list->count; i++)
	{
		if (strcmp(list->items[i].name, name) == 0)
			return error_set(err, -EEXIST, "%s and %s: two scripts of one name", list->items[i].path, path);
	}
	if (list->count >= SCRIPTS_MAX)
		return error_set(err, -E2BIG, "%s: there are more than %d scripts", path, SCRIPTS_MAX);
	list->items = memory_grow(list->items, &list->capacity, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = (Script){memory_duplicate(name), memory_duplicate(path)};
	return 0;
}

/* The scripts of a directory; what else lies there is left alone. */
static int
list_directory(ScriptList *list, const char *path, Error *err)
{
	_cleanup_directory_ DIR *directory = opendir(path);
	size_t before = list->count;
	struct dirent *entry;
	int result = 0;

	if (directory == NULL)
		return error_set_errno(err, errno, "%s", path);
	while (result == 0 && (entry = readdir(directory)) != NULL)
	{
		_cleanup_free_ char *file = memory_printf("%s/%s", path, entry->d_name);
		struct stat status;

		if (is_script_name(entry->d_name) && stat(file, &status) == 0 && S_ISREG(status.st_mode))
			result = script_list_add(list, entry->d_name, file, err);
	}
	if (result == 0 && list->count == before)
		return error_set(err, -ENODATA, "%s: holds no script (.sql, .sql.gz, .sql.xz, .sql.zst or .sh)", path);
	return result;
}

static int
list_source(ScriptList *list, const char *path, Error *err)
{
	const char *name = strrchr(path, '/');
	struct stat status;

	if (stat(path, &status) < 0)
		return error_set_errno(err, errno, "%s", path);
	if (S_ISDIR(status.st_mode))
		return list_directory(list, path, err);
	name = name == NULL ? path : name + 1;
	if (!S_ISREG(status.st_mode) || !is_script_name(name))
		return error_set(err, -EINVAL, "%s: is no script: it must end in .sql, .sql.gz, .sql.xz, .sql.zst or .sh",
						 path);
	return script_list_add(list, name, path, err);
}

int
init_scripts_check(const char *const *sources, unsigned *ret_index, Error *err)
{
	_cleanup_scripts_ ScriptList list = {0};

	for (unsigned i = 0; sources[i] != NULL; i++)
	{
		int result = list_source(&list, sources[i], err);

		if (result < 0)
		{
			*ret_index = i;
			return result;
		}
	}
	return 0;
}

/* ---- copying ---- */

static int
copy_bytes(int from_fd, int to_fd, const char *path, Error *err)
{
	ssize_t sent;

	do
		sent = sendfile(to_fd, from_fd, NULL, (size_t) 1 << 20);
	while (sent > 0);
	return sent < 0 ? error_set_errno(err, errno, "copy %s", path) : 0;
}

/* A new file in the directory, in place of whatever has its name. Who may run it on the host may run it in the machine.
 */
static int
copy_script(const Script *script, int directory_fd, Error *err)
{
	_cleanup_fd_ int from_fd = open(script->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	_cleanup_fd_ int to_fd = -1;
	struct stat status;

	if (from_fd < 0 || fstat(from_fd, &status) < 0)
		return error_set_errno(err, errno, "%s", script->path);
	if (unlinkat(directory_fd, script->name, 0) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "/" INIT_SCRIPTS_TARGET "/%s", script->name);
	to_fd = openat(directory_fd, script->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* The server's user reads it, who is not its owner. */
	if (to_fd < 0 || fchmod(to_fd, (status.st_mode & 0111) != 0 ? 0755 : 0644) < 0)
		return error_set_errno(err, errno, "/" INIT_SCRIPTS_TARGET "/%s", script->name);
	return copy_bytes(from_fd, to_fd, script->path, err);
}

static int
copy_scripts(const ScriptList *list, int directory_fd, Error *err)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < list->count; i++)
		result = copy_script(&list->items[i], directory_fd, err);
	return result;
}

/* All sources into a new directory beside the kept one. */
static int
fetch_scripts(const InitScripts *scripts, const char *fresh, Error *err)
{
	_cleanup_scripts_ ScriptList list = {0};
	_cleanup_fd_ int directory_fd = -1;
	int result = 0;

	for (size_t i = 0; result == 0 && scripts->sources[i] != NULL; i++)
		result = list_source(&list, scripts->sources[i], err);
	if (result == 0)
		result = file_remove_tree(fresh, err);
	if (result == 0)
		result = file_make_directory(fresh, 0700, err);
	if (result < 0)
		return result;
	directory_fd = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory_fd < 0)
		return error_set_errno(err, errno, "%s", fresh);
	return copy_scripts(&list, directory_fd, err);
}

/* The directory in the machine's root, made when it isn't there. */
static int
open_target(const char *root, int *ret_fd, Error *err)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
						   .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	_cleanup_fd_ int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (root_fd < 0)
		return error_set_errno(err, errno, "%s", root);
	if (mkdirat(root_fd, INIT_SCRIPTS_TARGET, 0755) < 0 && errno != EEXIST)
		return error_set_errno(err, errno, "/" INIT_SCRIPTS_TARGET);
	fd = (int) syscall(SYS_openat2, root_fd, INIT_SCRIPTS_TARGET, &how, sizeof(how));
	if (fd < 0)
		return error_set_errno(err, errno, "/" INIT_SCRIPTS_TARGET);
	*ret_fd = fd;
	return 0;
}

/* Takes out of the machine what an earlier deployment had put there. */
static int
remove_earlier(const char *kept, int target_fd, Error *err)
{
	_cleanup_directory_ DIR *directory = opendir(kept);
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
	{
		if (is_script_name(entry->d_name) && unlinkat(target_fd, entry->d_name, 0) < 0 && errno != ENOENT)
			return error_set_errno(err, errno, "/" INIT_SCRIPTS_TARGET "/%s", entry->d_name);
	}
	return 0;
}

static int
replace_kept(const char *fresh, const char *kept, Error *err)
{
	int result = file_remove_tree(kept, err);

	if (result == 0 && rename(fresh, kept) < 0)
		result = error_set_errno(err, errno, "%s", kept);
	return result;
}

int
init_scripts_install(const InitScripts *scripts, Error *err)
{
	_cleanup_free_ char *fresh = memory_printf("%s.new", scripts->kept);
	_cleanup_scripts_ ScriptList list = {0};
	_cleanup_fd_ int target_fd = -1;
	int result = fetch_scripts(scripts, fresh, err);

	if (result < 0 && scripts->may_be_gone)
		return 0;
	if (result == 0)
		result = open_target(scripts->root, &target_fd, err);
	if (result == 0)
		result = remove_earlier(scripts->kept, target_fd, err);
	if (result == 0)
		result = replace_kept(fresh, scripts->kept, err);
	if (result == 0)
		result = list_directory(&list, scripts->kept, err);
	if (result == 0)
		result = copy_scripts(&list, target_fd, err);
	return result < 0 ? error_prefix(err, "init-scripts") : 0;
}
