/*
 * Lets the ports of a machine's server be shared with the stubs of its gate, for a server that starts anew while its
 * clients wait at the stubs. PostgreSQL binds without SO_REUSEPORT, and would be told that the address is in use.
 */
#ifndef HOST_PORT_SHARE_H
#define HOST_PORT_SHARE_H

#include "base/error.h"
#include "host/cgroup.h"

/*
 * From now on every bind(2) in the machine's control group sets SO_REUSEPORT first (cgroup_sock_addr programs in the
 * kernel's bpf documentation; needs CONFIG_CGROUP_BPF and the v2 tree). Goes away with the group; doing it again
 * changes nothing. The stubs' owner must be the server's, too: see gate_drop_sessions.
 */
int port_share_enable(const CgroupHierarchy *cgroups, const char *group, Error *err) MUST_CHECK;

#endif
