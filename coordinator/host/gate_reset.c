/*
 * Resets for sessions without a socket; see gate_reset.h. The socket is made anew in repair mode, as CRIU does it, and
 * then ended by the kernel itself, which knows best what a reset must look like.
 */
#include "host/gate_reset.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "host/netns.h"

static bool
set_option(int fd, int option, int value)
{
	return setsockopt(fd, IPPROTO_TCP, option, &value, sizeof(value)) == 0;
}

static bool
set_sequence(int fd, int queue, uint32_t next)
{
	return set_option(fd, TCP_REPAIR_QUEUE, queue) && set_option(fd, TCP_QUEUE_SEQ, (int) next);
}

/* Until it leaves repair mode its end is silent. */
static void
reset(const GateSession *session)
{
	const struct linger at_once = {.l_onoff = 1};
	int family = session->local.ss_family;
	socklen_t size = family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	_cleanup_fd_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

	if (fd < 0 || !set_option(fd, TCP_REPAIR, TCP_REPAIR_ON) || !set_sequence(fd, TCP_SEND_QUEUE, session->send_next) ||
		!set_sequence(fd, TCP_RECV_QUEUE, session->receive_next) ||
		bind(fd, (const struct sockaddr *) &session->local, size) < 0 ||
		connect(fd, (const struct sockaddr *) &session->peer, size) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) < 0)
		return;
	(void) set_option(fd, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
}

static int
reset_all(void *context, Error *err)
{
	const GatePlan *plan = context;

	(void) err;
	for (size_t i = 0; i < plan->session_count; i++)
	{
		if (plan->sessions[i].sequence_known && plan->sessions[i].send_known)
			reset(&plan->sessions[i]);
	}
	return 0;
}

int
gate_reset_sessions(int namespace_fd, const GatePlan *plan, Error *err)
{
	return plan->session_count == 0 ? 0 : netns_run(namespace_fd, reset_all, (void *) plan, err);
}
