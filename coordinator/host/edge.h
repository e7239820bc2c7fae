/*
 * The edge: HAProxy for services that clients tell apart by a host name, with TLS or HTTP. What is written here is its
 * configuration.
 *
 * tls: told apart by the server name of the first message. Where the edge has a certificate for the host it speaks TLS
 * itself (ALPN "postgresql" for clients of PostgreSQL that begin with TLS), and bytes to the server; else the TLS is
 * the server's own and is passed through. https: TLS is the edge's. http, https: told apart by the header Host.
 *
 * It never looks whether a server is there: no health checks, and connections to a server are made for a client alone
 * and closed after it, so that nothing keeps a machine awake or wakes it.
 */
#ifndef HOST_EDGE_H
#define HOST_EDGE_H

#include <stdbool.h>

#include "base/error.h"
#include "host/exposure.h"
#include "host/names.h"

/* Whether the plan needs the edge at all. */
bool edge_is_needed(const ExposurePlan *plan);

/* Whether the exposure is one for the edge. */
bool edge_serves(const Exposure *exposure);

/* Arguments of HAProxy, NULL-terminated, for memory_free_texts. */
char **edge_arguments(const HostLayout *layout);

/* Where what runs is on record: see helper.h. */
void edge_record_path(const HostLayout *layout, char path[320]);

/*
 * Finds the certificate for a host in a directory: <host>.pem (certificate, chain and key), or for a name below a
 * domain that of all names there, _.<domain>.pem. Returns false when there is none.
 */
bool edge_find_certificate(const char *directory, const char *host, char ret_path[512]);

/*
 * Writes the configuration, has HAProxy check it, and puts it in place of the one before. ret_changed: HAProxy
 * must read it anew. Blocks: for a job. Errors: -EIO with what HAProxy said of it; what was there before stays.
 */
int edge_write(const HostLayout *layout, const ExposurePlan *plan, const char *certificates, bool *ret_changed,
			   Error *err) MUST_CHECK;

#endif
