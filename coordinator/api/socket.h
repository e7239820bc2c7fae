/* The Unix socket on which the API listens. */
#ifndef API_SOCKET_H
#define API_SOCKET_H

#include "base/error.h"

/*
 * Makes a listening socket, mode 0660. group: NULL or "" leaves the process's own; one that does not exist is left
 * out, and *ret_group_missing says so. A socket that nobody listens on is replaced.
 * Errors: -EADDRINUSE somebody listens; -EEXIST something that is no socket is there; -ENAMETOOLONG.
 */
int api_socket_listen(const char *path, const char *group, int *ret_fd, int *ret_group_missing, Error *err) MUST_CHECK;

#endif
