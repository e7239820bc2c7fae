/* The kernel's reports of memory stalls; see pressure.h. */
#include "host/pressure.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define WINDOW_US (PRESSURE_WINDOW_MS * 1000U)

struct PressureWatch
{
	int trigger_fd;
	int epoll_fd;
	struct event *event;
	PressureStalled stalled;
	void *context;
};

int
pressure_trigger_open(const char *path, unsigned percent, int *ret_fd, Error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	char trigger[64];

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	snprintf(trigger, sizeof(trigger), "some %u %u", WINDOW_US / 100 * percent, WINDOW_US);
	/* With its NUL: the kernel puts one in the place of the last byte. */
	if (write(fd, trigger, strlen(trigger) + 1) < 0)
		return error_set_errno(err, errno, "%s: set the trigger '%s'", path, trigger);
	*ret_fd = steal_fd(&fd);
	return 0;
}

static void
pressure_handle_report(evutil_socket_t fd, short what, void *context)
{
	PressureWatch *watch = context;
	struct epoll_event report = {0};

	(void) what;
	/* The look that made this descriptor readable has taken the report already, and 0 is what is left of it. */
	if (epoll_wait((int) fd, &report, 1, 0) > 0 && (report.events & EPOLLERR) != 0)
	{
		event_del(watch->event);
		return;
	}
	watch->stalled(watch->context);
}

/* libevent does not know EPOLLPRI; an epoll set of its own around the one descriptor makes it a readable one. */
static int
pressure_watch_begin(PressureWatch *watch, struct event_base *loop, const char *path, unsigned percent, Error *err)
{
	struct epoll_event interest = {.events = EPOLLPRI};
	int result = pressure_trigger_open(path, percent, &watch->trigger_fd, err);

	if (result < 0)
		return result;
	watch->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (watch->epoll_fd < 0 || epoll_ctl(watch->epoll_fd, EPOLL_CTL_ADD, watch->trigger_fd, &interest) < 0)
		return error_set_errno(err, errno, "%s: watch", path);
	watch->event = event_new(loop, watch->epoll_fd, EV_READ | EV_PERSIST, pressure_handle_report, watch);
	if (watch->event == NULL || event_add(watch->event, NULL) < 0)
		return error_set(err, -ENOMEM, "%s: watch: out of memory", path);
	return 0;
}

int
pressure_watch_open(struct event_base *loop, const char *path, unsigned percent, PressureStalled stalled, void *context,
					PressureWatch **ret_watch, Error *err)
{
	PressureWatch *watch = memory_allocate(sizeof(*watch));
	int result;

	*watch = (PressureWatch){.trigger_fd = -1, .epoll_fd = -1, .stalled = stalled, .context = context};
	result = pressure_watch_begin(watch, loop, path, percent, err);
	if (result < 0)
	{
		pressure_watch_close(watch);
		return result;
	}
	*ret_watch = watch;
	return 0;
}

void
pressure_watch_close(PressureWatch *watch)
{
	if (watch == NULL)
		return;
	if (watch->event != NULL)
		event_free(watch->event);
	if (watch->epoll_fd >= 0)
		close(watch->epoll_fd);
	if (watch->trigger_fd >= 0)
		close(watch->trigger_fd);
	free(watch);
}
