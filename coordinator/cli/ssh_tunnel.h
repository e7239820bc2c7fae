/*
 * A way to a server through a jump host. OpenSSH does the work: keys, agents, passwords, host keys and what stands in
 * the user's configuration are its matter; here it is told what to forward, and when it does is known from itself.
 */
#ifndef CLI_SSH_TUNNEL_H
#define CLI_SSH_TUNNEL_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

typedef struct SshTunnelSpec
{
	const char *destination; /* user@jump, or ssh://user@jump:port */
	const char *key_file;	 /* NULL: ssh's own choice */
	const char *config_file; /* NULL: ssh's own */
	const char *host;		 /* the server, as the jump host calls it */
	const char *port;
	uint16_t local_port; /* on 127.0.0.1; 0: any that is free */
} SshTunnelSpec;

typedef struct SshTunnel
{
	pid_t pid; /* 0: none */
	uint16_t local_port;
} SshTunnel;

/*
 * Returns when the local port is there; ssh may ask the user for a password on the terminal before. ssh dies with the
 * caller. Errors: -EINVAL; -ENOENT: no ssh; -EIO: ssh has ended, and said on standard error why.
 */
int ssh_tunnel_open(const SshTunnelSpec *spec, SshTunnel *ret_tunnel, Error *err) MUST_CHECK;

/* Waits until ssh ends by itself: the connection is lost, or somebody has ended it. Returns its exit status. */
int ssh_tunnel_wait(SshTunnel *tunnel);

/* Ends it. One that is not open is left alone. */
void ssh_tunnel_close(SshTunnel *tunnel);

#endif
