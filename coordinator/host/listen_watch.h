/*
 * Notices when a machine's processes begin to listen on a TCP port, without help from inside and without looking again
 * and again: a BPF program on the machine's control group (BPF_SOCK_OPS_TCP_LISTEN_CB in linux/bpf.h) writes each
 * listen(2) into a ring, whose descriptor becomes readable.
 *
 * The ring is never emptied, and it belongs to the group, not to a process: a coordinator that comes later finds all
 * that was noticed since the machine was made. It holds the first LISTEN_WATCH_MAX; what comes after them is not
 * noticed any more. Needs CONFIG_CGROUP_BPF and the v2 tree.
 */
#ifndef HOST_LISTEN_WATCH_H
#define HOST_LISTEN_WATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "host/cgroup.h"

struct event_base;

#define LISTEN_WATCH_MAX 255

/* Begins to notice, in a group that is there; what was noticed before is forgotten. May be called in a job's child. */
int listen_watch_attach(const CgroupHierarchy *cgroups, const char *group, Error *err) MUST_CHECK;

/* Ends it. A group without a watch, or none at all, is no error. */
int listen_watch_detach(const CgroupHierarchy *cgroups, const char *group, Error *err) MUST_CHECK;

typedef struct ListenWatch ListenWatch;

/* ports: every port that was listened on so far, in order, once for each listen(2); borrowed during the call. The watch
 * may be closed in it. */
typedef void (*ListenNoticed)(void *context, const uint16_t *ports, size_t count);

/* Reports at once, from the loop, if there is something already, and whenever there is more. -ENOENT: not attached. */
int listen_watch_open(struct event_base *loop, const CgroupHierarchy *cgroups, const char *group, ListenNoticed noticed,
					  void *context, ListenWatch **ret_watch, Error *err) MUST_CHECK;

/* Stops reporting; the program stays in its place. NULL: nothing. */
void listen_watch_close(ListenWatch *watch);

#endif
