/*
 * The service manager that runs lttled: what is told to it, and the descriptors that it holds over our end. systemd's
 * protocol, by its own library (sd_notify(3), sd_listen_fds(3), and FileDescriptorStoreMax= in systemd.service(5)).
 * Where there is no service manager all of it does nothing, and descriptors end with the process.
 *
 * A descriptor is kept under a name; several may have the same. A listener that is kept goes on to accept connections,
 * so that nobody who came while there was no coordinator is refused. It is ended by shutdown(2), which ends the
 * duplicates, too, and the service manager then lets go of it by itself.
 */
#ifndef BASE_SERVICE_H
#define BASE_SERVICE_H

#include <stdbool.h>

/* Such as "READY=1"; see sd_notify(3). */
void service_notify(const char *state);

/* True when there is a service manager, which can keep descriptors. */
bool service_is_managed(void);

/* Has a duplicate of fd kept under the name: at most 255 printable ASCII characters without ':'. */
void service_keep_fd(const char *name, int fd);

/* Nothing is kept under the name any more. */
void service_forget_fds(const char *name);

/* Takes over what an earlier lttled had kept. Once, at the start. */
void service_receive_fds(void);

typedef bool (*ServiceFdTest)(const void *context, int fd);

/* One of those that were taken over under this name and pass the test, from now on the caller's; -1 when there is none.
 */
int service_take_fd(const char *name, ServiceFdTest test, const void *context);

/* Nobody wants the rest: they are shut down, and what waits at a listener goes to another one of the same port. */
void service_end_unclaimed(void);

#endif
