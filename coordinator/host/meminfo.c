/* Reading /proc/meminfo; see meminfo.h and the kernel's filesystems/proc.rst. */
#include "host/meminfo.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"

#define MEMINFO_MAX_BYTES 16384

/* "MemTotal:       24684084 kB", at the beginning of a line. */
static bool
meminfo_find(const char *text, const char *key, uint64_t *ret_bytes)
{
	size_t length = strlen(key);

	for (const char *line = text; line != NULL; line = strchr(line, '\n'))
	{
		char *end;

		line += *line == '\n';
		if (strncmp(line, key, length) != 0)
			continue;
		line += length + strspn(line + length, " ");
		if (*line < '0' || *line > '9')
			return false;
		*ret_bytes = strtoull(line, &end, 10) * 1024;
		return strncmp(end, " kB", 3) == 0;
	}
	return false;
}

int
meminfo_read(const char *path, HostMemory *ret_memory, Error *err)
{
	HostMemory memory;
	const struct
	{
		const char *key;
		uint64_t *bytes;
	} wanted[] = {{"MemTotal:", &memory.total_bytes},
				  {"MemAvailable:", &memory.available_bytes},
				  {"SwapTotal:", &memory.swap_total_bytes},
				  {"SwapFree:", &memory.swap_free_bytes}};
	_cleanup_free_ char *text = NULL;
	int result = file_read(path, MEMINFO_MAX_BYTES, &text, NULL, err);

	if (result < 0)
		return result;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
	{
		if (!meminfo_find(text, wanted[i].key, wanted[i].bytes))
			return error_set(err, -EBADMSG, "%s: no number of kB at '%s'", path, wanted[i].key);
	}
	*ret_memory = memory;
	return 0;
}
