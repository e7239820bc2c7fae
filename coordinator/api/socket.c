/* The Unix socket on which the API listens; see socket.h. */
#include "api/socket.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LISTEN_BACKLOG 128

static int
socket_open(Error *err)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? error_set_errno(err, errno, "API socket") : fd;
}

/* Removes a socket that a killed coordinator left behind. */
static int
socket_clear_path(const struct sockaddr_un *address, Error *err)
{
	_cleanup_fd_ int fd = -1;
	struct stat status;

	if (lstat(address->sun_path, &status) < 0)
		return errno == ENOENT ? 0 : error_set_errno(err, errno, "API socket %s", address->sun_path);
	if (!S_ISSOCK(status.st_mode))
		return error_set(err, -EEXIST, "API socket %s: something that is no socket is there", address->sun_path);
	fd = socket_open(err);
	if (fd < 0)
		return fd;
	/* EAGAIN: somebody listens whose backlog is full */
	if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0 || errno == EAGAIN)
		return error_set(err, -EADDRINUSE, "API socket %s: another coordinator listens on it", address->sun_path);
	if (errno != ECONNREFUSED && errno != ENOENT)
		return error_set_errno(err, errno, "API socket %s", address->sun_path);
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "API socket %s: remove", address->sun_path);
	return 0;
}

/* Opens it to the group. Until then only the owner may connect. */
static int
socket_grant(const char *path, const char *group, int *ret_group_missing, Error *err)
{
	const struct group *entry = NULL;

	*ret_group_missing = 0;
	if (group != NULL && group[0] != '\0')
	{
		entry = getgrnam(group);
		*ret_group_missing = entry == NULL;
	}
	if (entry != NULL && chown(path, (uid_t) -1, entry->gr_gid) < 0)
		return error_set_errno(err, errno, "API socket %s: give it to group %s", path, group);
	if (chmod(path, 0660) < 0)
		return error_set_errno(err, errno, "API socket %s: set its mode", path);
	return 0;
}

int
api_socket_listen(const char *path, const char *group, int *ret_fd, int *ret_group_missing, Error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_fd_ int fd = -1;
	mode_t mask;
	int result;

	if (strlen(path) == 0 || strlen(path) >= sizeof(address.sun_path))
		return error_set(err, -ENAMETOOLONG, "API socket '%s': a path must have 1 to %zu characters", path,
						 sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	result = socket_clear_path(&address, err);
	if (result < 0)
		return result;
	fd = socket_open(err);
	if (fd < 0)
		return fd;
	mask = umask(0177);
	result = bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (result < 0)
		return error_set_errno(err, -result, "API socket %s: bind", path);
	result = socket_grant(path, group, ret_group_missing, err);
	if (result < 0)
	{
		unlink(path);
		return result;
	}
	if (listen(fd, LISTEN_BACKLOG) < 0)
	{
		result = error_set_errno(err, errno, "API socket %s: listen", path);
		unlink(path);
		return result;
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}
