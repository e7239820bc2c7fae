/*
 * Pressure stall information (PSI): the kernel tells by itself when processes had to wait for memory, so that nobody
 * needs to look. See the kernel's accounting/psi.rst.
 */
#ifndef HOST_PRESSURE_H
#define HOST_PRESSURE_H

#include "base/error.h"

#define PRESSURE_PATH "/proc/pressure/memory"

/*
 * The time over which waiting is added up. Without CAP_SYS_RESOURCE the kernel (from Linux 6.5 on) takes multiples of
 * two seconds only.
 */
#define PRESSURE_WINDOW_MS 2000

struct event_base;

/*
 * Opens the kernel's file with a trigger: it reports EPOLLPRI, at most once in a window, when some process waited for
 * memory for `percent` (1 to 99) of a window. The caller closes the descriptor.
 * -ENOENT, -EOPNOTSUPP: the kernel has no PSI, or it is switched off. -EPERM, -EACCES, -EINVAL: not for us.
 */
int pressure_trigger_open(const char *path, unsigned percent, int *ret_fd, Error *err) MUST_CHECK;

typedef void (*PressureStalled)(void *context);

/* The same in the event loop: `stalled` is called for every report. Errors as above. */
typedef struct PressureWatch PressureWatch;
int pressure_watch_open(struct event_base *loop, const char *path, unsigned percent, PressureStalled stalled,
						void *context, PressureWatch **ret_watch, Error *err) MUST_CHECK;

/* Takes NULL. */
void pressure_watch_close(PressureWatch *watch);

#endif
