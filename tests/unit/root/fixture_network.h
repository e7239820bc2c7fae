/* Sockets in machines' network namespaces, for tests of what passes between them. After cmocka.h. */
#ifndef TEST_FIXTURE_NETWORK_H
#define TEST_FIXTURE_NETWORK_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/network.h"

static inline void
check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

/* A socket made in the machine's namespace, or in the host's when there is no machine. */
static inline int
socket_in(const MachineNetwork *machine, int family)
{
	_cleanup_fd_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int namespace_fd = -1;
	struct timeval patience = {.tv_sec = 20};
	Error err = {0};
	int fd;

	assert_true(home >= 0);
	if (machine != NULL)
	{
		check(network_open_namespace(machine, &namespace_fd, &err), &err);
		assert_int_equal(setns(namespace_fd, CLONE_NEWNET), 0);
	}
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)), 0);
	return fd;
}

/* Of both families. */
static inline int
listen_in(const MachineNetwork *machine, uint16_t port)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = socket_in(machine, AF_INET6);

	assert_int_equal(bind(fd, (struct sockaddr *) &name, sizeof(name)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* 0, or the errno of the attempt. */
static inline int
connect_from(const MachineNetwork *machine, uint32_t address, uint16_t port)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
	_cleanup_fd_ int fd = socket_in(machine, AF_INET);

	return connect(fd, (struct sockaddr *) &name, sizeof(name)) < 0 ? errno : 0;
}

#endif
