/*
 * How services become reachable: the wall, address translation, names and the edge are brought to what the services
 * say, in the loop's next turn after a change, all of them at once. Private to the engine's folder.
 */
#ifndef ENGINE_REACH_H
#define ENGINE_REACH_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "model/spec.h"

struct json_t;

typedef struct Engine Engine;
typedef struct Machine Machine;
typedef struct Reach Reach;

/* Once what is deployed is known, and before any machine is taken over: the wall is up at the return. */
Reach *reach_start(Engine *engine);

/* Something has changed that it depends on. NULL: nothing. */
void reach_note_change(Reach *reach);

/* The same, at once. */
void reach_apply_now(Reach *reach);

/* The machine's link is there, new or anew. */
void reach_note_link(Reach *reach, const Machine *machine);

/* The coordinator ends. deserted: nothing of it is to be left on the host; else everything goes on without it. NULL:
 * nothing. */
void reach_end(Reach *reach, bool deserted);

/* Whether the host stands in the way of a service as it is written. NULL, or how, for people, in `problem`. */
const char *reach_find_problem(Engine *engine, const ServiceSpec *spec, char problem[320]);

/* Whether two services would be in each other's way. NULL, or how, in `problem`. */
const char *reach_find_conflict(const Engine *engine, const ServiceSpec *spec, const ServiceSpec *other,
								char problem[320]);

/* HAProxy's process; 0: none. NULL: none. */
pid_t reach_edge_pid(const Reach *reach);

/* What clients write as the host: a name, or an address. */
#define REACH_ADDRESS_BYTES 256
void reach_print_host(Engine *engine, const ServiceSpec *spec, char text[REACH_ADDRESS_BYTES]);

#endif
