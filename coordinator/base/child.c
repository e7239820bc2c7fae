/* The coordinator's children; see child.h. */
#include "base/child.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/text.h"

#define REMEMBERED 64

typedef struct WatchedChild
{
	pid_t pid;
	ChildEnded ended;
	void *context;
} WatchedChild;

static struct
{
	struct event *signal_event;
	WatchedChild *watched;
	size_t count;
	size_t capacity;
	struct
	{
		pid_t pid;
		int status;
	} remembered[REMEMBERED];
	size_t next_remembered;
} reaper;

/* Takes the watch of `pid` out of the list. False when there is none. */
static bool
watch_take(pid_t pid, WatchedChild *ret_watch)
{
	for (size_t i = 0; i < reaper.count; i++)
	{
		if (reaper.watched[i].pid == pid)
		{
			*ret_watch = reaper.watched[i];
			reaper.watched[i] = reaper.watched[--reaper.count];
			return true;
		}
	}
	return false;
}

static void
child_handle_end(pid_t pid, int status)
{
	WatchedChild watch;

	if (watch_take(pid, &watch))
	{
		watch.ended(watch.context, pid, status);
		return;
	}
	reaper.remembered[reaper.next_remembered].pid = pid;
	reaper.remembered[reaper.next_remembered].status = status;
	reaper.next_remembered = (reaper.next_remembered + 1) % REMEMBERED;
}

static void
child_reap_all(evutil_socket_t number, short what, void *context)
{
	pid_t pid;
	int status;

	(void) number;
	(void) what;
	(void) context;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		child_handle_end(pid, status);
}

int
child_reaper_start(struct event_base *loop, Error *err)
{
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "become a subreaper");
	reaper.signal_event = evsignal_new(loop, SIGCHLD, child_reap_all, NULL);
	if (reaper.signal_event == NULL || event_add(reaper.signal_event, NULL) < 0)
		return error_set(err, -ENOMEM, "watch SIGCHLD: out of memory");
	return 0;
}

void
child_reaper_stop(void)
{
	if (reaper.signal_event != NULL)
		event_free(reaper.signal_event);
	free(reaper.watched);
	memset(&reaper, 0, sizeof(reaper));
}

void
child_watch(pid_t pid, ChildEnded ended, void *context)
{
	reaper.watched = memory_grow(reaper.watched, &reaper.capacity, reaper.count + 1, sizeof(*reaper.watched));
	reaper.watched[reaper.count++] = (WatchedChild){.pid = pid, .ended = ended, .context = context};
}

void
child_unwatch(pid_t pid)
{
	WatchedChild ignored;

	watch_take(pid, &ignored);
}

bool
child_take_status(pid_t pid, int *ret_status)
{
	int status;

	if (waitpid(pid, &status, WNOHANG) == pid)
	{
		*ret_status = status;
		return true;
	}
	for (size_t i = 0; i < REMEMBERED; i++)
	{
		if (reaper.remembered[i].pid == pid)
		{
			*ret_status = reaper.remembered[i].status;
			reaper.remembered[i].pid = 0;
			return true;
		}
	}
	return false;
}
