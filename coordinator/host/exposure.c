/* What machines offer; see exposure.h. */
#include "host/exposure.h"

#include <stdlib.h>

void
exposure_plan_clear(ExposurePlan *plan)
{
	free(plan->machines);
	free(plan->exposures);
	*plan = (ExposurePlan){0};
}
