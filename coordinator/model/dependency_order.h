/* The order in which machines can be started, by what they depend on. */
#ifndef MODEL_DEPENDENCY_ORDER_H
#define MODEL_DEPENDENCY_ORDER_H

#include "model/spec.h"

/*
 * specs: each machine once, in any order; NULLs are not allowed. ret_order: `count` indexes, whoever is depended on
 * before who depends on it, otherwise as they came. Dependencies on what is not among them are left out.
 * -ELOOP when machines wait for each other: ret_cycle, for the caller to free, says how: "n/a → n/b → n/a"; ret_at is
 * one of them.
 */
int dependency_order(const AppSpec *const *specs, size_t count, size_t *ret_order, char **ret_cycle,
					 size_t *ret_at) MUST_CHECK;

#endif
