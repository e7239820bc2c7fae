/*
 * A packet socket on the host's end of a machine's link that reports TCP segments with data on their way to the
 * machine. The door needs it for one case only: a connection that was silent when the kernel put it into the accept
 * queue gives the listener no event when it speaks at last.
 */
#ifndef HOST_DOOR_TAP_H
#define HOST_DOOR_TAP_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/error.h"

struct sock_fprog;

/* Opens a tap on a link of the caller's network namespace. door_tap_close closes it. -ENODEV when there is no such
 * link. */
int door_tap_open(const char *host_link, int *ret_fd, Error *err) MUST_CHECK;

/*
 * A packet socket on a link of the caller's network namespace that hears what the filter accepts. type: SOCK_RAW (with
 * the link's header) or SOCK_DGRAM. Close-on-exec and non-blocking; door_tap_close closes it.
 */
int door_tap_open_socket(const char *link, int type, const struct sock_fprog *filter, int receive_bytes, int *ret_fd,
						 Error *err) MUST_CHECK;

/* Closes a tap, in the background: the kernel waits until no processor handles a packet for it (synchronize_net). */
void door_tap_close(int fd);

/*
 * Takes one segment and tells who sent it. 1: ret_sender was written; 0: nothing there; negative errno: the tap is
 * broken (-ENETDOWN when the link went down).
 */
int door_tap_read(int tap_fd, struct sockaddr_storage *ret_sender) MUST_CHECK;

#endif
