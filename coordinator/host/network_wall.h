/*
 * What machines may not open: connections to the host itself, and to each other. One nftables table of the host and
 * family for all machines of a coordinator, without connection tracking: it looks at where a packet comes from, which a
 * machine cannot forge, and at whether it opens something. Clients of the machines are not touched.
 */
#ifndef HOST_NETWORK_WALL_H
#define HOST_NETWORK_WALL_H

#include "base/error.h"
#include "host/names.h"

/* Puts the wall up, in place of what an earlier run left. Takes milliseconds. Errors: -EIO with what nftables said. */
int network_wall_raise(const HostLayout *layout, Error *err) MUST_CHECK;

/* Takes it away. One that isn't there is no error. */
int network_wall_remove(const HostLayout *layout, Error *err) MUST_CHECK;

#endif
