/*
 * Tells the peers of sessions whose machine is gone for good that they are over, each by a reset that its kernel takes
 * for the machine's. Only gate*.c include this.
 */
#ifndef HOST_GATE_RESET_H
#define HOST_GATE_RESET_H

#include "base/error.h"
#include "host/gate.h"

/*
 * No socket of the sessions may be left in the namespace, and no table may drop their packets. Best effort: one whose
 * sequence numbers the plan does not have, or whose address the namespace no longer has, is left out. namespace_fd is
 * borrowed. Fails only when the namespace cannot be entered.
 */
int gate_reset_sessions(int namespace_fd, const GatePlan *plan, Error *err) MUST_CHECK;

#endif
