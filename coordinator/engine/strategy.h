/*
 * The flash strategies that need no help from inside: what must have happened for the first snapshot-and-suspend.
 * Private to engine/.
 */
#ifndef ENGINE_STRATEGY_H
#define ENGINE_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/spec.h"

/* Pure. ports: those that were listened on since the first process began, one for each listen(2), in order. False for
 * `manual`, where the program itself says when. */
bool strategy_is_fulfilled(const AppSpec *spec, const uint16_t *ports, size_t count);

/* "listen-on-port 80", for people. */
void strategy_describe(const AppSpec *spec, char *text, size_t size);

#endif
