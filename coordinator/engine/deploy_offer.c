/*
 * What a file may say and this coordinator does not do. It is refused with a sentence before anything changes, because
 * what is taken and not done would be worse.
 */
#include <stdio.h>

#include "engine/deploy_private.h"

static void
offer_binding(Deployment *deployment, const Resource *resource, const SourceMark *mark, const char *key_path,
			  const ServiceBinding *bind)
{
	if (bind->kind == BIND_EXTERNAL)
		deploy_complain(deployment, resource, mark, key_path,
						"this lttled makes no service reachable from outside the host");
}

static void
offer_tracking(Deployment *deployment, const Resource *resource, const SourceMark *mark, const char *key_path,
			   const ServiceTracking *tracking)
{
	if (tracking->ignored_users != NULL || tracking->ignored_applications != NULL)
		deploy_complain(deployment, resource, mark, key_path, "this lttled ignores no sessions");
}

static void
offer_machine(Deployment *deployment, const Resource *resource)
{
	const AppSpec *spec = &resource->app;

	if (spec->build.kind != BUILD_NONE)
		deploy_complain(deployment, resource, NULL, "build", "this lttled builds no images");
	if (spec->dependency_count > 0)
		deploy_complain(deployment, resource, &spec->dependencies[0].mark, "depends-on",
						"this lttled starts machines in no order");
	if (spec->restart_policy != RESTART_ALWAYS)
		deploy_complain(deployment, resource, NULL, "restart-policy", "this lttled starts every machine again");
	for (size_t i = 0; i < spec->expose_count; i++)
	{
		const Expose *expose = &spec->exposes[i];
		char key_path[NAME_MAX_BYTES + 40];

		snprintf(key_path, sizeof(key_path), "expose.%s.external", expose->name);
		offer_binding(deployment, resource, &expose->mark, key_path, &expose->bind);
		snprintf(key_path, sizeof(key_path), "expose.%s.connection-tracking", expose->name);
		offer_tracking(deployment, resource, &expose->mark, key_path, &expose->tracking);
	}
}

void
deploy_check_offer(Deployment *deployment, const Resource *resource)
{
	if (resource_is_machine(resource))
		offer_machine(deployment, resource);
	if (resource->kind != RESOURCE_SERVICE)
		return;
	offer_binding(deployment, resource, NULL, "bind", &resource->service.bind);
	offer_tracking(deployment, resource, NULL, "target.connection-tracking", &resource->service.tracking);
}
