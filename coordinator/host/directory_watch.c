/* A directory's changes, by inotify(7); see directory_watch.h. */
#include "host/directory_watch.h"

#include <event2/event.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/text.h"

#define CHANGES (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB)
#define GONE	(IN_IGNORED | IN_MOVE_SELF)

struct DirectoryWatch
{
	char *path;
	int fd;
	int number; /* of the kernel's watch; -1: the directory is not there */
	struct event *readable;
	struct event *quiet_timer;
	struct timeval quiet;
	void (*changed)(void *context);
	void *context;
};

static void
watch_handle_quiet(evutil_socket_t fd, short what, void *context)
{
	DirectoryWatch *watch = context;

	(void) fd;
	(void) what;
	directory_watch_retry(watch);
	watch->changed(watch->context);
}

static void
watch_handle_readable(evutil_socket_t fd, short what, void *context)
{
	DirectoryWatch *watch = context;
	_Alignas(struct inotify_event) char buffer[64 * (sizeof(struct inotify_event) + NAME_MAX + 1)];
	ssize_t got;

	(void) what;
	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
	{
		const struct inotify_event *event;

		for (char *at = buffer; at < buffer + got; at += sizeof(*event) + event->len)
		{
			event = (const struct inotify_event *) (const void *) at;
			/* Removed, or another one has its name: the one of that name counts. */
			if (event->wd == watch->number && (event->mask & GONE) != 0)
			{
				if ((event->mask & IN_MOVE_SELF) != 0)
					inotify_rm_watch(watch->fd, watch->number);
				watch->number = -1;
			}
		}
		event_add(watch->quiet_timer, &watch->quiet);
	}
}

void
directory_watch_retry(DirectoryWatch *watch)
{
	if (watch->number < 0 && watch->fd >= 0)
		watch->number = inotify_add_watch(watch->fd, watch->path, CHANGES | IN_MOVE_SELF | IN_ONLYDIR);
}

DirectoryWatch *
directory_watch_open(struct event_base *loop, const char *path, uint64_t quiet_ms, void (*changed)(void *context),
					 void *context)
{
	DirectoryWatch *watch = memory_allocate(sizeof(*watch));

	*watch = (DirectoryWatch){
		.path = memory_duplicate(path),
		.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC),
		.number = -1,
		.quiet = {.tv_sec = (time_t) (quiet_ms / 1000), .tv_usec = (suseconds_t) (quiet_ms % 1000 * 1000)},
		.changed = changed,
		.context = context};
	watch->quiet_timer = evtimer_new(loop, watch_handle_quiet, watch);
	/* Without (a limit of the user's) nothing is noticed, and nothing else suffers. */
	if (watch->fd >= 0)
	{
		watch->readable = event_new(loop, watch->fd, EV_READ | EV_PERSIST, watch_handle_readable, watch);
		event_add(watch->readable, NULL);
	}
	directory_watch_retry(watch);
	return watch;
}

void
directory_watch_close(DirectoryWatch *watch)
{
	if (watch == NULL)
		return;
	if (watch->readable != NULL)
		event_free(watch->readable);
	event_free(watch->quiet_timer);
	if (watch->fd >= 0)
		close(watch->fd);
	free(watch->path);
	free(watch);
}
