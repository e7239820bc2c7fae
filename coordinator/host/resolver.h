/*
 * Names of services: <service>.<namespace>.svc.lttle.local is the machine's address, told by dnsmasq at the subnet's
 * gateway address to machines and to the host. What dnsmasq knows is a file in the form of hosts(5), which it reads
 * anew at SIGHUP; other names it asks the host's own resolvers for (/etc/resolv.conf).
 */
#ifndef HOST_RESOLVER_H
#define HOST_RESOLVER_H

#include <stdbool.h>

#include "base/error.h"
#include "base/text.h"
#include "host/exposure.h"
#include "host/names.h"

#define RESOLVER_DOMAIN "svc.lttle.local"

/* Arguments of dnsmasq, NULL-terminated, for memory_free_texts. */
char **resolver_arguments(const HostLayout *layout);

/* Where what runs is on record: see helper.h. */
void resolver_record_path(const HostLayout *layout, char path[320]);

/* Writes the file of names. ret_changed: it says something else than before. */
int resolver_write_names(const HostLayout *layout, const ExposurePlan *plan, bool *ret_changed, Error *err) MUST_CHECK;

/* What stands in /etc/resolv.conf of a machine: names of its own namespace can be asked for in short. */
void resolver_print_machine_conf(const HostLayout *layout, const char *name_space, Text *out);

#endif
