/*
 * What a file may say and this coordinator does not do. It is refused with a sentence before anything changes, because
 * what is taken and not done would be worse.
 */
#include "engine/deploy_private.h"

static void
offer_machine(Deployment *deployment, const Resource *resource)
{
	const AppSpec *spec = &resource->app;

	if (spec->build.kind != BUILD_NONE)
		deploy_complain(deployment, resource, NULL, "build", "this lttled builds no images");
}

void
deploy_check_offer(Deployment *deployment, const Resource *resource)
{
	if (resource_is_machine(resource))
		offer_machine(deployment, resource);
}
