/*
 * Work in another network namespace. A socket belongs for ever to the namespace that it was opened in, and so does what
 * is done through it; so only the opening, and /proc/sys/net, need this.
 */
#ifndef HOST_NETNS_H
#define HOST_NETNS_H

#include "base/error.h"

/*
 * Moves the calling thread into the namespace, calls `work` and moves back; returns what `work` returned. Meanwhile
 * everything the thread does happens there, so `work` must be short. A thread that cannot come back ends the process:
 * everything that would follow would happen in the wrong network. namespace_fd is borrowed.
 */
int netns_run(int namespace_fd, int (*work)(void *context, Error *err), void *context, Error *err) MUST_CHECK;

#endif
