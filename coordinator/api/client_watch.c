/*
 * Tells when the client of a connection has gone; see client_watch.h.
 *
 * It watches a duplicate of the descriptor, edge-triggered: libevent allows no mixture of edge and level on one
 * descriptor, and level-triggered it would spin on bytes that nobody reads, or on an error that EV_CLOSED alone does
 * not report (a Unix socket whose peer closed with unread bytes gives EPOLLERR).
 */
#include "api/client_watch.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

struct ClientWatch
{
	int fd;
	struct event *event;
	void (*gone)(void *context);
	void *context;
};

static void
watch_handle_edge(evutil_socket_t fd, short what, void *context)
{
	ClientWatch *watch = context;
	struct pollfd look = {.fd = fd, .events = POLLRDHUP};

	(void) what;
	if (poll(&look, 1, 0) != 1)
		return;
	event_del(watch->event);
	watch->gone(watch->context);
}

int
client_watch_new(struct event_base *loop, int fd, void (*gone)(void *context), void *context, ClientWatch **ret_watch,
				 Error *err)
{
	_cleanup_fd_ int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	ClientWatch *watch;

	if (copy < 0)
		return error_set_errno(err, errno, "watch the client");
	watch = memory_allocate(sizeof(*watch));
	*watch = (ClientWatch){.fd = copy, .gone = gone, .context = context};
	watch->event = event_new(loop, copy, EV_READ | EV_CLOSED | EV_ET | EV_PERSIST, watch_handle_edge, watch);
	if (watch->event == NULL || event_add(watch->event, NULL) < 0)
	{
		watch->fd = -1;
		client_watch_free(watch);
		return error_set(err, -ENOMEM, "watch the client: the event loop does not take the descriptor");
	}
	steal_fd(&copy);
	*ret_watch = watch;
	return 0;
}

void
client_watch_free(ClientWatch *watch)
{
	if (watch == NULL)
		return;
	if (watch->event != NULL)
		event_free(watch->event);
	if (watch->fd >= 0)
		close(watch->fd);
	free(watch);
}
