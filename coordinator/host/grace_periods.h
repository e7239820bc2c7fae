/*
 * The kernel's grace periods (RCU), which a restore waits for several times: for its control group, its namespaces and
 * its mounts. Each takes some milliseconds, or less than one when the kernel hurries, which costs every processor an
 * interrupt: /sys/kernel/rcu_expedited, a setting of the whole host.
 */
#ifndef HOST_GRACE_PERIODS_H
#define HOST_GRACE_PERIODS_H

#include <stdbool.h>

#define GRACE_PERIODS_SETTING "/sys/kernel/rcu_expedited"

/*
 * Lets the kernel hurry, or as before. Who has set it for good keeps that: then nothing is done. A host without the
 * setting, or one that may not be written, is as it is; nothing here is an error.
 * mark: a file that is there meanwhile, in a directory that a reboot empties, by which the next coordinator undoes
 * what a killed one has left: call it with false at the beginning. Microseconds; may be called from the loop.
 */
void grace_periods_hurry(const char *setting, const char *mark, bool hurry);

#endif
