/*
 * What machines may reach, and who may reach them. One nftables table of the host and family for all machines of a
 * coordinator. It looks at where a packet comes from, which a machine cannot forge, and at whether it opens something.
 *
 * A machine reaches nothing of the host but the resolver, and other machines only at ports that a service opens to its
 * namespace (IPv4). From outside nobody reaches a machine except by a port of the host that is translated to it.
 * The host itself, and with it its own programs, reaches every port of every machine.
 */
#ifndef HOST_NETWORK_WALL_H
#define HOST_NETWORK_WALL_H

#include "base/error.h"
#include "host/exposure.h"
#include "host/names.h"
#include "base/text.h"

/*
 * Puts the wall up, in place of what is there, as one transaction. Takes milliseconds.
 * host_forwards: the host forwards by its own will, and so what machines open to elsewhere.
 * Errors: -EIO with what nftables said.
 */
int network_wall_raise(const HostLayout *layout, const ExposurePlan *plan, bool host_forwards, Error *err) MUST_CHECK;

/* Takes it away. One that isn't there is no error. */
int network_wall_remove(const HostLayout *layout, Error *err) MUST_CHECK;

#endif
