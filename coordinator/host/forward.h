/*
 * Ports of the host that lead to machines, and ports of machines under another number: address translation by
 * nftables, in a table of the coordinator's own. No process stands in between, and a client wakes a machine as one does
 * that has connected directly: it is the machine's own sockets that its packets reach.
 *
 * A client of a loopback port is seen by the server with the gateway's address; any other one with its own.
 * Existing connections outlive a change: the kernel's connection tracking keeps them, while any port is translated.
 */
#ifndef HOST_FORWARD_H
#define HOST_FORWARD_H

#include <stdbool.h>

#include "base/error.h"
#include "host/exposure.h"
#include "host/names.h"

/*
 * Makes the host translate what the plan says, and nothing else. With no such service the table is taken away, and
 * connections are not tracked on its account. Errors: -EIO with what nftables said.
 */
int forward_apply(const HostLayout *layout, const ExposurePlan *plan, Error *err) MUST_CHECK;

/*
 * Lets packets through that the tables allow: the links to machines forward, those to machines with a port on the
 * host's loopback also carry answers there, and the links with an outside address that is bound forward. The last are
 * remembered in the run directory and set back when nothing needs them; what they would carry otherwise than to
 * machines is dropped. Only after the wall is up. A link that isn't there is passed over.
 */
int forward_open_links(const HostLayout *layout, const ExposurePlan *plan, Error *err) MUST_CHECK;

/* The same for one machine's link, which is new. */
int forward_open_link(const char *link, uint32_t address, const ExposurePlan *plan, Error *err) MUST_CHECK;

/* Whether the host forwards by its own will (net.ipv4.ip_forward). */
bool forward_host_forwards(void);

#endif
