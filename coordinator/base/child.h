/*
 * The coordinator's children: one place that reaps. It is a subreaper, so children of its jobs become its own; each is
 * reaped at SIGCHLD, and those that somebody asked for are reported.
 */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct event_base;

/* status: as of waitpid(2). The child is forgotten before the call. */
typedef void (*ChildEnded)(void *context, pid_t pid, int status);

/* Begins reaping and makes this process a subreaper. Once a process. */
int child_reaper_start(struct event_base *loop, Error *err) MUST_CHECK;
void child_reaper_stop(void);

/* Reports the end of `pid`, a child of this process that has not been waited for. From the thread of the loop only. */
void child_watch(pid_t pid, ChildEnded ended, void *context);
void child_unwatch(pid_t pid);

/*
 * The status of a child that ended before anybody watched it (the last 64 are remembered), or that ends right now.
 * False when nothing is known of it: it lives, or never was a child.
 */
bool child_take_status(pid_t pid, int *ret_status);

#endif
