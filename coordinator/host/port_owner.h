/* Who listens on a TCP port of the host already, for a message that says so. */
#ifndef HOST_PORT_OWNER_H
#define HOST_PORT_OWNER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define PORT_OWNER_BYTES 64

/*
 * Looks for a listener that a new one at this address (host byte order; 0: every address) and port would get in the way
 * of. Returns 1 and writes "postgres (pid 123)" for people, or 0 when nobody listens. A listener whose processes are
 * all in the family of `except` (itself or a child of it; 0: nobody) does not count.
 */
int port_find_owner(uint32_t address, uint16_t port, pid_t except, char ret_owner[PORT_OWNER_BYTES],
					Error *err) MUST_CHECK;

#endif
