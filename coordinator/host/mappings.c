/* The mappings of another process; see mappings.h and proc(5). */
#include "host/mappings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static bool
name_is_shared_memory(const char *name)
{
	static const char *const prefixes[] = {"/dev/zero", "/SYSV", "/dev/shm/", "/memfd:"};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
	{
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return false;
}

/* Reads "begin-end rwxp offset dev inode   name". The name is not unescaped. */
static bool
mapping_parse(char *line, Mapping *ret_mapping)
{
	Mapping mapping = {0};
	char permissions[5];
	int name = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*s %" SCNu64 " %n", &mapping.begin, &mapping.end, permissions,
			   &mapping.inode, &name) < 4 ||
		mapping.begin >= mapping.end)
		return false;
	mapping.name = name > 0 ? line + name : "";
	mapping.readable = permissions[0] == 'r';
	mapping.shared_memory = permissions[3] == 's' && name_is_shared_memory(mapping.name);
	*ret_mapping = mapping;
	return true;
}

int
mappings_visit(pid_t pid, MappingVisit visit, void *context, Error *err)
{
	_cleanup_file_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	size_t capacity = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", (int) pid);
	file = fopen(path, "re");
	if (file == NULL)
		return errno == ENOENT || errno == ESRCH ? 0 : error_set_errno(err, errno, "%s", path);
	while (getline(&line, &capacity, file) > 0)
	{
		Mapping mapping;

		if (mapping_parse(line, &mapping) && strncmp(mapping.name, "[v", 2) != 0 && !visit(context, &mapping))
			break;
	}
	return 0;
}
