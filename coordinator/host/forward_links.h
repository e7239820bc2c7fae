/*
 * IPv4 switches of links, /proc/sys/net/ipv4/conf/<link>/…, and the outside links that forward on our account.
 */
#ifndef HOST_FORWARD_LINKS_H
#define HOST_FORWARD_LINKS_H

#include <stdbool.h>

#include "base/error.h"
#include "host/exposure.h"

/* Writes only what is not so already. -ENOENT when there is no such link. */
int link_set_flag(const char *link, const char *flag, bool on, Error *err) MUST_CHECK;

/*
 * The links that carry an outside address that the plan binds are made to forward; the record of them is
 * <run>/forwarding, a name a line. Those on record that nothing needs any more are set back, unless the host forwards
 * by its own will meanwhile. Table <prefix>_outside drops what they would carry to others than machines.
 */
int outside_links_open(const HostLayout *layout, const ExposurePlan *plan, Error *err) MUST_CHECK;

#endif
