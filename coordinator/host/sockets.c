/*
 * Duplicates of a machine's sockets; see sockets.h. What a descriptor is comes from its /proc link, what the socket is
 * from the duplicate itself, so a machine that is still running while we look cannot make us believe something else.
 */
#include "host/sockets.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define STATUS_MAX_BYTES	   65536
#define SOCKETS_MAX_CANDIDATES 1048576u /* descriptors in one machine; more is no server but an attack */

/* A descriptor that is a socket. */
typedef struct Candidate
{
	uint64_t inode;
	pid_t pid;
	int fd; /* in that process */
} Candidate;

typedef struct CandidateList
{
	Candidate *items;
	size_t count;
	size_t capacity;
} CandidateList;

static void
candidate_list_clear(CandidateList *list)
{
	free(list->items);
}

/* Adds the sockets among the descriptors of one process. A process that is gone adds nothing. */
static int
candidates_add_process(CandidateList *list, pid_t pid, Error *err)
{
	_cleanup_directory_ DIR *directory = NULL;
	struct dirent *entry;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
	directory = opendir(path);
	if (directory == NULL)
		return errno == ENOENT || errno == ESRCH ? 0 : error_set_errno(err, errno, "%s", path);
	while ((entry = readdir(directory)) != NULL)
	{
		char target[64];
		ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
		unsigned long inode;

		if (length <= 0)
			continue;
		target[length] = '\0';
		if (sscanf(target, "socket:[%lu]", &inode) != 1)
			continue;
		if (list->count >= SOCKETS_MAX_CANDIDATES)
			return error_set(err, -E2BIG, "machine holds more than %u sockets", SOCKETS_MAX_CANDIDATES);
		list->items = memory_grow(list->items, &list->capacity, list->count + 1, sizeof(*list->items));
		list->items[list->count++] = (Candidate){.inode = inode, .pid = pid, .fd = atoi(entry->d_name)};
	}
	return 0;
}

/* By inode; the holders of one inode with the highest PID first. */
static int
candidate_compare(const void *left, const void *right)
{
	const Candidate *a = left;
	const Candidate *b = right;

	if (a->inode != b->inode)
		return a->inode < b->inode ? -1 : 1;
	return (a->pid < b->pid) - (a->pid > b->pid);
}

/*
 * Duplicates a descriptor of another process. ret_fd is -1 when the process is gone, or the descriptor closed or
 * something else by now.
 */
static int
candidate_duplicate(const Candidate *candidate, int *ret_fd, Error *err)
{
	_cleanup_fd_ int process_fd = (int) syscall(SYS_pidfd_open, candidate->pid, 0);
	_cleanup_fd_ int fd = -1;
	struct stat status;

	*ret_fd = -1;
	if (process_fd < 0 && errno == ESRCH)
		return 0;
	if (process_fd < 0)
		return error_set_errno(err, errno, "process %d: pidfd_open", (int) candidate->pid);
	fd = (int) syscall(SYS_pidfd_getfd, process_fd, candidate->fd, 0); /* close-on-exec by itself */
	if (fd < 0 && (errno == ESRCH || errno == EBADF))
		return 0;
	if (fd < 0)
		return error_set_errno(err, errno, "process %d: duplicate its socket %d", (int) candidate->pid, candidate->fd);
	if (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode) && status.st_ino == candidate->inode)
		*ret_fd = steal_fd(&fd);
	return 0;
}

static int
socket_option(int fd, int level, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, level, option, &value, &size) < 0 ? -1 : value;
}

static uint32_t
socket_queue(int fd, unsigned long request)
{
	int bytes = 0;

	return ioctl(fd, request, &bytes) < 0 || bytes < 0 ? 0 : (uint32_t) bytes;
}

static uint16_t
socket_local_port(int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);

	if (getsockname(fd, (struct sockaddr *) &address, &size) < 0)
		return 0;
	if (address.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *) &address)->sin_port);
	if (address.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *) &address)->sin6_port);
	return 0;
}

static void
socket_read_history(MachineSocket *socket)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	if (getsockopt(socket->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
		return;
	socket->received_bytes = info.tcpi_bytes_received;
	socket->sent_ago_ms = info.tcpi_last_data_sent;
}

/* Fills in what the socket is. False: none that a client could come through. */
static bool
socket_describe(MachineSocket *socket)
{
	int domain = socket_option(socket->fd, SOL_SOCKET, SO_DOMAIN);
	bool internet = domain == AF_INET || domain == AF_INET6;
	bool listening = socket_option(socket->fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
	socklen_t size = sizeof(socket->peer);

	if (socket_option(socket->fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		return false;
	if (internet && socket_option(socket->fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP)
		return false;
	if (!internet && (domain != AF_UNIX || listening))
		return false;
	if (listening)
	{
		socket->kind = SOCKET_LISTENER;
		socket->local_port = socket_local_port(socket->fd);
		return true;
	}
	/* Not connected, or reset meanwhile: nothing can come through it any more. */
	if (getpeername(socket->fd, (struct sockaddr *) &socket->peer, &size) < 0)
		return false;
	socket->kind = internet ? SOCKET_CONNECTION : SOCKET_UNIX_CONNECTION;
	socket->unread_bytes = socket_queue(socket->fd, SIOCINQ);
	socket->unsent_bytes = socket_queue(socket->fd, SIOCOUTQ);
	if (internet)
	{
		socket->local_port = socket_local_port(socket->fd);
		socket_read_history(socket);
	}
	return true;
}

int
socket_set_collect(const pid_t *pids, size_t count, SocketSet *ret_set, Error *err)
{
	_cleanup_(candidate_list_clear) CandidateList candidates = {0};
	_cleanup_(socket_set_clear) SocketSet set = {0};
	uint64_t last_inode = 0;

	for (size_t i = 0; i < count; i++)
	{
		int result = candidates_add_process(&candidates, pids[i], err);

		if (result < 0)
			return result;
	}
	if (candidates.count > 0)
		qsort(candidates.items, candidates.count, sizeof(Candidate), candidate_compare);
	for (size_t i = 0; i < candidates.count; i++)
	{
		const Candidate *candidate = &candidates.items[i];
		MachineSocket found = {.pid = candidate->pid, .first_pid = candidate->pid, .inode = candidate->inode, .fd = -1};
		int result;

		if (candidate->inode == last_inode)
		{
			if (set.count > 0 && set.sockets[set.count - 1].inode == last_inode)
				set.sockets[set.count - 1].first_pid = candidate->pid;
			continue;
		}
		result = candidate_duplicate(candidate, &found.fd, err);
		if (result < 0)
			return result;
		if (found.fd < 0)
			continue; /* perhaps the next holder of the same inode still has it */
		last_inode = candidate->inode;
		if (!socket_describe(&found))
		{
			close(found.fd);
			continue;
		}
		set.sockets = memory_grow(set.sockets, &set.capacity, set.count + 1, sizeof(*set.sockets));
		set.sockets[set.count++] = found;
	}
	*ret_set = set;
	set = (SocketSet){0};
	return 0;
}

/* The effective one, with which a process makes sockets. */
static uid_t
process_owner(pid_t pid)
{
	_cleanup_free_ char *path = memory_printf("/proc/%d/status", (int) pid);
	_cleanup_free_ char *status = NULL;
	const char *users = file_read(path, STATUS_MAX_BYTES, &status, NULL, NULL) < 0 ? NULL : strstr(status, "\nUid:");
	unsigned effective = 0;

	return users != NULL && sscanf(users, "\nUid: %*u %u", &effective) == 1 ? effective : 0;
}

uid_t
socket_set_listeners_owner(const SocketSet *set)
{
	for (size_t i = 0; i < set->count; i++)
	{
		const MachineSocket *socket = &set->sockets[i];
		struct stat status;

		if (socket->kind != SOCKET_LISTENER || fstat(socket->fd, &status) < 0)
			continue;
		return status.st_uid != 0 ? status.st_uid : process_owner(socket->first_pid);
	}
	return 0;
}

void
socket_set_clear(SocketSet *set)
{
	for (size_t i = 0; i < set->count; i++)
	{
		if (set->sockets[i].fd >= 0)
			close(set->sockets[i].fd);
	}
	free(set->sockets);
	*set = (SocketSet){0};
}

void
socket_set_defer_accept(const SocketSet *set, unsigned seconds)
{
	int value = seconds > INT32_MAX ? INT32_MAX : (int) seconds;

	for (size_t i = 0; i < set->count; i++)
	{
		if (set->sockets[i].kind == SOCKET_LISTENER)
			setsockopt(set->sockets[i].fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &value, sizeof(value));
	}
}

bool
socket_set_listens_on(const SocketSet *set, uint16_t port)
{
	for (size_t i = 0; i < set->count; i++)
	{
		if (set->sockets[i].kind == SOCKET_LISTENER && set->sockets[i].local_port == port)
			return true;
	}
	return false;
}

void
socket_format_peer(const struct sockaddr_storage *peer, char text[64])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) peer;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) peer;
	char address[INET6_ADDRSTRLEN] = "";

	if (peer->ss_family == AF_INET)
	{
		inet_ntop(AF_INET, &v4->sin_addr, address, sizeof(address));
		snprintf(text, 64, "%s:%u", address, ntohs(v4->sin_port));
	}
	else if (peer->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
	{
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], address, sizeof(address));
		snprintf(text, 64, "%s:%u", address, ntohs(v6->sin6_port));
	}
	else if (peer->ss_family == AF_INET6)
	{
		inet_ntop(AF_INET6, &v6->sin6_addr, address, sizeof(address));
		snprintf(text, 64, "[%s]:%u", address, ntohs(v6->sin6_port));
	}
	else
		snprintf(text, 64, "%s", peer->ss_family == AF_UNIX ? "local" : "unknown");
}

bool
socket_normalize_endpoint(const struct sockaddr_storage *address, unsigned char ret_endpoint[18])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) address;

	if (address->ss_family == AF_INET)
	{
		memset(ret_endpoint, 0, 10);
		memset(ret_endpoint + 10, 0xff, 2);
		memcpy(ret_endpoint + 12, &v4->sin_addr, 4);
		memcpy(ret_endpoint + 16, &v4->sin_port, 2);
		return true;
	}
	if (address->ss_family != AF_INET6)
		return false;
	memcpy(ret_endpoint, &v6->sin6_addr, 16);
	memcpy(ret_endpoint + 16, &v6->sin6_port, 2);
	return true;
}

bool
socket_same_peer(const struct sockaddr_storage *left, const struct sockaddr_storage *right)
{
	unsigned char a[18];
	unsigned char b[18];

	return socket_normalize_endpoint(left, a) && socket_normalize_endpoint(right, b) && memcmp(a, b, sizeof(a)) == 0;
}
