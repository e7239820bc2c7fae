/*
 * Waking a server after connections have moved to its listeners; see gate_stubs_rouse. Whether the kernel does it by
 * itself is found out by trying, once: fixes travel to older kernels, so a version says little.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/gate_stub.h"
#include "host/netns.h"

#define TRIAL_TIMEOUT_MS 100

/* A listener on a loopback address; port 0: any. */
static int
trial_listener(struct sockaddr_in *address)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = sizeof(*address);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
		bind(fd, (struct sockaddr *) address, size) < 0 || listen(fd, 1) < 0 ||
		getsockname(fd, (struct sockaddr *) address, &size) < 0)
		return -1;
	return steal_fd(&fd);
}

/* In the machine's namespace: moves a connection from one listener to another and looks whether that one is told. */
static int
try_migration(void *context, Error *err)
{
	bool *ret_told = context;
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	_cleanup_fd_ int from = trial_listener(&address);
	_cleanup_fd_ int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	_cleanup_fd_ int to = -1;
	_cleanup_fd_ int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event interest = {.events = EPOLLIN | EPOLLET};
	struct pollfd queued = {.fd = from, .events = POLLIN};

	(void) err;
	if (from < 0 || client < 0 || epoll_fd < 0)
		return 0;
	if (connect(client, (struct sockaddr *) &address, sizeof(address)) < 0 && errno != EINPROGRESS)
		return 0;
	if (poll(&queued, 1, TRIAL_TIMEOUT_MS) != 1)
		return 0;
	to = trial_listener(&address);
	if (to < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, to, &interest) < 0)
		return 0;
	shutdown(from, SHUT_RDWR);
	/* An edge: that the queue is not empty does not count, only that somebody said so. */
	*ret_told = epoll_wait(epoll_fd, &interest, 1, 0) == 1;
	return 0;
}

static bool
kernel_tells(int namespace_fd)
{
	static bool tried;
	static bool told;

	if (!tried && netns_run(namespace_fd, try_migration, &told, NULL) == 0)
		tried = true;
	return told;
}

static void
touch(const struct sockaddr_storage *listener)
{
	struct sockaddr_storage to = *listener;
	struct sockaddr_in *v4 = (struct sockaddr_in *) &to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &to;
	_cleanup_fd_ int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (to.ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (to.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		v6->sin6_addr = in6addr_loopback;
	/* Within a namespace the handshake is over when connect returns, and the end follows it. */
	if (fd >= 0)
		(void) connect(fd, (struct sockaddr *) &to,
					   to.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
}

static int
touch_all(void *context, Error *err)
{
	const GatePlan *plan = context;

	(void) err;
	for (size_t i = 0; i < plan->port_count; i++)
		touch(&plan->ports[i].address);
	return 0;
}

void
gate_ports_touch(int namespace_fd, const GatePlan *plan)
{
	/* A namespace that cannot be entered has no clients either. */
	if (netns_run(namespace_fd, touch_all, (void *) plan, NULL) < 0)
		return;
}

void
gate_stubs_rouse(int namespace_fd, const GatePlan *plan)
{
	if (!kernel_tells(namespace_fd))
		gate_ports_touch(namespace_fd, plan);
}
