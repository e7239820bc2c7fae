/* Directories and small files that a machine's root must have; see launch_files.h. */
#include "host/launch_files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

int
launch_make_directory(const char *path, Error *err)
{
	struct stat status;

	if (lstat(path, &status) == 0)
	{
		if (S_ISDIR(status.st_mode))
			return 0;
		if (unlink(path) < 0)
			return error_set_errno(err, errno, "%s", path);
	}
	return file_make_directory(path, 0755, err);
}

static int
make_parent(const char *path, Error *err)
{
	char parent[PATH_MAX];
	char *slash;

	if ((size_t) snprintf(parent, sizeof(parent), "%s", path) >= sizeof(parent))
		return error_set_errno(err, ENAMETOOLONG, "%s", path);
	slash = strrchr(parent, '/');
	if (slash == NULL || slash == parent)
		return 0;
	*slash = '\0';
	return file_make_directory(parent, 0755, err);
}

int
launch_make_empty_file(const char *path, Error *err)
{
	_cleanup_fd_ int fd = -1;
	int result = make_parent(path, err);

	if (result < 0)
		return result;
	fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
	return fd < 0 ? error_set_errno(err, errno, "%s", path) : 0;
}

/* A new file in place of whatever is there. */
static int
write_file(const char *path, const char *text, Error *err)
{
	_cleanup_fd_ int fd = -1;
	int result = make_parent(path, err);

	if (result < 0)
		return result;
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "%s", path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t) strlen(text))
		return error_set_errno(err, errno, "%s", path);
	return 0;
}

/* The address that others know the machine by; as Debian does it, an address of its own loopback when there is none. */
static void
find_address(char text[INET_ADDRSTRLEN])
{
	struct ifaddrs *addresses = NULL;

	snprintf(text, INET_ADDRSTRLEN, "127.0.1.1");
	if (getifaddrs(&addresses) < 0)
		return;
	for (struct ifaddrs *at = addresses; at != NULL; at = at->ifa_next)
	{
		if (at->ifa_addr == NULL || at->ifa_addr->sa_family != AF_INET || (at->ifa_flags & IFF_LOOPBACK) != 0)
			continue;
		inet_ntop(AF_INET, &((struct sockaddr_in *) (void *) at->ifa_addr)->sin_addr, text, INET_ADDRSTRLEN);
		break;
	}
	freeifaddrs(addresses);
}

int
launch_write_files(const char *hostname, const char *resolv_conf, Error *err)
{
	_cleanup_text_ Text hosts = {0};
	_cleanup_text_ Text name = {0};
	char address[INET_ADDRSTRLEN];
	int result;

	find_address(address);
	text_printf(&hosts, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n%s\t%s\n", address, hostname);
	text_printf(&name, "%s\n", hostname);
	result = write_file("/etc/hosts", text_string(&hosts), err);
	if (result == 0)
		result = write_file("/etc/hostname", text_string(&name), err);
	if (result == 0 && resolv_conf != NULL)
		result = write_file("/etc/resolv.conf", resolv_conf, err);
	if (result == 0)
		result = launch_make_directory("/sys", err);
	if (result == 0)
		result = launch_make_directory("/tmp", err);
	if (result == 0 && chmod("/tmp", 01777) < 0)
		return error_set_errno(err, errno, "/tmp");
	return result;
}
