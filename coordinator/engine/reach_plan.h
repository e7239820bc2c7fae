/* The services in the kernel's terms; see host/exposure.h. Private to the engine's folder. */
#ifndef ENGINE_REACH_PLAN_H
#define ENGINE_REACH_PLAN_H

#include <stdbool.h>

#include "engine/engine_private.h"
#include "host/exposure.h"

/* What the engine's machines and services come to. The caller clears it. */
void reach_plan_fill(Engine *engine, ExposurePlan *ret_plan);

bool reach_plans_equal(const ExposurePlan *a, const ExposurePlan *b);

/* One service; false when its machine is not there. */
bool reach_expose(const Engine *engine, const ServiceSpec *spec, Exposure *ret_exposure);

#endif
