/*
 * The nftables table of a closed gate, in the machine's network namespace. It is pinned with the namespace, so it
 * outlives the coordinator. Only gate*.c include this.
 */
#ifndef HOST_GATE_TABLE_H
#define HOST_GATE_TABLE_H

#include "base/text.h"
#include "host/gate.h"

#define GATE_TABLE "inet lttle_gate"

/*
 * The commands that put the table in place of whatever an earlier gate left, in one transaction: packets of the plan's
 * sessions are dropped in both directions, and so are the resets by which a port without a listener refuses a SYN.
 */
void gate_table_script_close(const GatePlan *plan, Text *ret_script);

/* The commands that let the sessions' packets pass and leave the rest as it is. */
extern const char gate_table_script_drop_sessions[];

/* The commands that take the table away. One that isn't there is no error. */
extern const char gate_table_script_remove[];

#endif
