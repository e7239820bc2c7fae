/*
 * The hooks that keep the activity page.
 */
#ifndef LTTLE_ACTIVITY_HOOKS_H
#define LTTLE_ACTIVITY_HOOKS_H

#include "postgres.h"

/* Installs every hook in front of its predecessor. Only from _PG_init in the postmaster. */
extern void lttle_activity_hooks_install(void);

/* True inside a statement's planning or execution, also after a COMMIT inside a procedure. */
extern bool lttle_activity_is_inside_statement(void);

#endif
