/* Stub listeners; see gate_stub.h, and tcp_migrate_req in the kernel's networking/ip-sysctl.rst. */
#include "host/gate_stub.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/service.h"
#include "base/text.h"
#include "host/netns.h"

#define MIGRATE_SYSCTL "/proc/sys/net/ipv4/tcp_migrate_req"

/* A stub's queue holds what comes during a whole restore; the namespace's somaxconn limits it further. */
#define STUB_MIN_BACKLOG 1024

/* How long the kernel waits for a client's first word before it queues the connection without one. */
#define STUB_DEFER_SECONDS 1

static int
set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int
gate_stubs_admit(const SocketSet *sockets, Error *err)
{
	for (size_t i = 0; i < sockets->count; i++)
	{
		const MachineSocket *socket = &sockets->sockets[i];

		if (socket->kind != SOCKET_LISTENER)
			continue;
		if (set_option(socket->fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0 || fchown(socket->fd, 0, 0) < 0)
			return error_set_errno(err, errno, "share port %u of process %d", socket->local_port, (int) socket->pid);
	}
	return 0;
}

static int
stub_open(const GatePort *port, bool defer, int *ret_fd, Error *err)
{
	bool v6 = port->address.ss_family == AF_INET6;
	_cleanup_fd_ int fd = socket(port->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	char text[64];

	socket_format_peer(&port->address, text);
	if (fd < 0)
		return error_set_errno(err, errno, "stub at %s", text);
	if ((v6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, port->v6_only) < 0) ||
		set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 || set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0 ||
		(defer && set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, STUB_DEFER_SECONDS) < 0) || fchown(fd, 0, 0) < 0)
		return error_set_errno(err, errno, "stub at %s: set up", text);
	if (bind(fd, (const struct sockaddr *) &port->address,
			 v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) < 0)
		return error_set_errno(err, errno, "stub at %s: bind", text);
	if (listen(fd, port->backlog > STUB_MIN_BACKLOG ? port->backlog : STUB_MIN_BACKLOG) < 0)
		return error_set_errno(err, errno, "stub at %s: listen", text);
	*ret_fd = steal_fd(&fd);
	return 0;
}

typedef struct StubWork
{
	const GatePlan *plan;
	bool defer;
	GateStubs stubs;
	ino_t namespace_number;
} StubWork;

typedef struct StubPlace
{
	const GatePort *port;
	ino_t namespace_number;
} StubPlace;

/* Whether a kept stub is at this port, and in this namespace: the machine may have had another one. */
static bool
stub_is_at(const void *context, int fd)
{
	const StubPlace *place = context;
	const struct sockaddr_storage *wanted = &place->port->address;
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	_cleanup_fd_ int namespace_fd = ioctl(fd, SIOCGSKNS);
	struct stat namespace_status;
	int only = 0;
	socklen_t only_size = sizeof(only);

	if (namespace_fd < 0 || fstat(namespace_fd, &namespace_status) < 0 ||
		namespace_status.st_ino != place->namespace_number)
		return false;
	if (getsockname(fd, (struct sockaddr *) &address, &size) < 0 || address.ss_family != wanted->ss_family)
		return false;
	if (address.ss_family == AF_INET6 &&
		(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &only_size) < 0 || (only != 0) != place->port->v6_only))
		return false;
	return socket_same_peer(&address, wanted);
}

static int
open_here(void *context, Error *err)
{
	StubWork *work = context;
	int result = file_write(MIGRATE_SYSCTL, "1", err);

	for (size_t i = 0; result == 0 && i < work->plan->port_count; i++)
	{
		const StubPlace place = {.port = &work->plan->ports[i], .namespace_number = work->namespace_number};
		int fd = service_take_fd(work->stubs.kept_name, stub_is_at, &place);

		if (fd < 0)
		{
			result = stub_open(&work->plan->ports[i], work->defer, &fd, err);
			if (result == 0)
				service_keep_fd(work->stubs.kept_name, fd);
		}
		if (result == 0)
			work->stubs.fds[work->stubs.count++] = fd;
	}
	return result;
}

int
gate_stubs_open(int namespace_fd, const char *host_link, const GatePlan *plan, bool defer, GateStubs *ret_stubs,
				Error *err)
{
	StubWork work = {.plan = plan, .defer = defer, .stubs.fds = memory_allocate((plan->port_count + 1) * sizeof(int))};
	struct stat status;
	int result;

	snprintf(work.stubs.kept_name, sizeof(work.stubs.kept_name), "stub-%s", host_link);
	if (fstat(namespace_fd, &status) < 0)
		result = error_set_errno(err, errno, "network namespace of %s", host_link);
	else
	{
		work.namespace_number = status.st_ino;
		result = netns_run(namespace_fd, open_here, &work, err);
	}
	if (result < 0)
	{
		gate_stubs_close(&work.stubs);
		return result;
	}
	*ret_stubs = work.stubs;
	return 0;
}

int
gate_stubs_give(const GateStubs *stubs, uid_t uid, gid_t gid, Error *err)
{
	for (size_t i = 0; i < stubs->count; i++)
	{
		if (fchown(stubs->fds[i], uid, gid) < 0)
			return error_set_errno(err, errno, "give a stub to user %u", (unsigned) uid);
	}
	return 0;
}

int
gate_stubs_duplicate(const GateStubs *stubs, SocketSet *ret_sockets, Error *err)
{
	_cleanup_(socket_set_clear) SocketSet set = {0};

	for (size_t i = 0; i < stubs->count; i++)
	{
		MachineSocket stub = {.fd = fcntl(stubs->fds[i], F_DUPFD_CLOEXEC, 0), .pid = getpid(), .kind = SOCKET_LISTENER};

		if (stub.fd < 0)
			return error_set_errno(err, errno, "duplicate a stub");
		set.sockets = memory_grow(set.sockets, &set.capacity, set.count + 1, sizeof(*set.sockets));
		set.sockets[set.count++] = stub;
	}
	*ret_sockets = set;
	set = (SocketSet){0};
	return 0;
}

static unsigned
queue_length(int fd)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ? 0 : info.tcpi_unacked;
}

/*
 * The lengths are read before the kernel is asked who waits: a connection leaves a queue only here, at its head, so
 * when nobody else waits now, the first so many are all gone.
 */
bool
gate_stubs_drain(const GateStubs *stubs, int diag_fd)
{
	_cleanup_free_ unsigned *lengths = memory_allocate((stubs->count + 1) * sizeof(unsigned));
	PendingConnections pending;
	bool drained = false;

	for (size_t i = 0; i < stubs->count; i++)
		lengths[i] = queue_length(stubs->fds[i]);
	if (sockdiag_count_pending(diag_fd, SOCKDIAG_ANY_PORT, &pending, NULL) < 0 || pending.speaking > 0 ||
		pending.silent > 0)
		return false;
	for (size_t i = 0; i < stubs->count; i++)
	{
		for (unsigned n = 0; n < lengths[i]; n++)
		{
			int fd = accept4(stubs->fds[i], NULL, NULL, SOCK_CLOEXEC);

			if (fd < 0)
				break;
			close(fd);
			drained = true;
		}
	}
	return drained;
}

static void
let_go(GateStubs *stubs)
{
	for (size_t i = 0; i < stubs->count; i++)
		close(stubs->fds[i]);
	free(stubs->fds);
	*stubs = (GateStubs){0};
}

void
gate_stubs_close(GateStubs *stubs)
{
	if (stubs->count > 0)
		service_forget_fds(stubs->kept_name);
	for (size_t i = 0; i < stubs->count; i++)
		shutdown(stubs->fds[i], SHUT_RDWR);
	let_go(stubs);
}

void
gate_stubs_leave(GateStubs *stubs)
{
	if (service_is_managed())
		let_go(stubs);
	else
		gate_stubs_close(stubs);
}
