/* Who listens on a TCP port; see port_owner.h and proc_net_tcp(5). */
#include "host/port_owner.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define STATE_LISTEN 0x0a

/* One line of /proc/net/tcp or tcp6. True for a listener on the port at the address, or at all of them. */
static bool
line_matches(const char *line, uint32_t address, uint16_t port, unsigned long *ret_inode)
{
	char local[33];
	unsigned local_port;
	unsigned state;
	unsigned long inode;
	uint32_t words[4] = {0};
	uint32_t own;
	bool is_v6;

	if (sscanf(line, "%*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*s %*s %lu", local, &local_port, &state,
			   &inode) != 4 ||
		state != STATE_LISTEN || local_port != port)
		return false;
	is_v6 = strlen(local) == 32;
	for (int i = 0; i < (is_v6 ? 4 : 1); i++)
		(void) sscanf(local + 8 * i, "%8x", &words[i]);
	if (is_v6 && (words[0] != 0 || words[1] != 0 || (words[2] != 0 && ntohl(words[2]) != 0xffff)))
		return false; /* an address of IPv6's own */
	own = ntohl(words[is_v6 ? 3 : 0]);
	if (own != 0 && address != 0 && own != address)
		return false;
	*ret_inode = inode;
	return true;
}

static bool
find_listener(const char *path, uint32_t address, uint16_t port, unsigned long *ret_inode)
{
	_cleanup_file_ FILE *file = fopen(path, "re");
	char line[512];

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
	{
		if (line_matches(line, address, port, ret_inode))
			return true;
	}
	return false;
}

static bool
process_has_socket(pid_t pid, unsigned long inode)
{
	_cleanup_directory_ DIR *directory = NULL;
	struct dirent *entry;
	char path[64];
	char wanted[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	directory = opendir(path);
	while (directory != NULL && (entry = readdir(directory)) != NULL)
	{
		char target[64] = "";

		if (readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1) > 0 && strcmp(target, wanted) == 0)
			return true;
	}
	return false;
}

static pid_t
process_parent(pid_t pid)
{
	_cleanup_free_ char *text = NULL;
	const char *end;
	char path[64];
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	if (file_read(path, 4096, &text, NULL, NULL) < 0 || (end = strrchr(text, ')')) == NULL ||
		sscanf(end + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

static void
describe(pid_t pid, char owner[PORT_OWNER_BYTES])
{
	_cleanup_free_ char *name = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int) pid);
	if (file_read(path, 64, &name, NULL, NULL) < 0)
		name = memory_duplicate("a process");
	name[strcspn(name, "\n")] = '\0';
	text_make_printable(name);
	snprintf(owner, PORT_OWNER_BYTES, "%.32s (pid %d)", name, (int) pid);
}

/* Returns 0 when all that have the socket are of the family `except`. */
static int
find_process(unsigned long inode, pid_t except, char owner[PORT_OWNER_BYTES], Error *err)
{
	_cleanup_directory_ DIR *processes = opendir("/proc");
	struct dirent *entry;
	bool is_family = false;

	if (processes == NULL)
		return error_set_errno(err, errno, "/proc");
	while ((entry = readdir(processes)) != NULL)
	{
		pid_t pid = (pid_t) strtol(entry->d_name, NULL, 10);

		if (pid <= 0 || !process_has_socket(pid, inode))
			continue;
		if (except > 0 && (pid == except || process_parent(pid) == except))
		{
			is_family = true;
			continue;
		}
		describe(pid, owner);
		return 1;
	}
	if (is_family)
		return 0;
	snprintf(owner, PORT_OWNER_BYTES, "the kernel");
	return 1;
}

int
port_find_owner(uint32_t address, uint16_t port, pid_t except, char ret_owner[PORT_OWNER_BYTES], Error *err)
{
	unsigned long inode = 0;

	if (!find_listener("/proc/net/tcp", address, port, &inode) &&
		!find_listener("/proc/net/tcp6", address, port, &inode))
		return 0;
	return find_process(inode, except, ret_owner, err);
}
