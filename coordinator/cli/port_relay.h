/*
 * A local port that leads to a server, for as long as it runs. It carries bytes and adds none, so that the server may
 * sleep whenever its clients are silent.
 */
#ifndef CLI_PORT_RELAY_H
#define CLI_PORT_RELAY_H

#include <stdint.h>

#include "base/error.h"

typedef struct PortRelay PortRelay;

/*
 * Listens on 127.0.0.1. local_port: 0: any that is free. host: an address. Errors: -EADDRINUSE and others of bind(2);
 * -EINVAL: the host is no address. The caller frees with port_relay_free.
 */
int port_relay_open(uint16_t local_port, const char *host, uint16_t port, PortRelay **ret_relay, Error *err) MUST_CHECK;
uint16_t port_relay_port(const PortRelay *relay);

/* Until SIGINT, SIGTERM or SIGHUP. */
void port_relay_run(PortRelay *relay);
void port_relay_free(PortRelay *relay);

#endif
