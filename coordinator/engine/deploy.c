/*
 * Deploying a file: all of it is checked, against itself and against what is there, before anything changes; then all
 * of it goes into the store in one transaction; then machines are started or changed.
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/cluster_check.h"
#include "engine/deploy_private.h"

#define BUILD_KEYS "build."

static int
deploy_store_app(Engine *engine, DeployStep *step, Error *err)
{
	const AppSpec *spec = &step->resource->app;
	MachineRecord record = {.since_ms = clock_realtime_ms()};
	unsigned last_index = (1u << (32 - engine->layout.subnet_bits)) - 3;
	int result = store_put_app(engine->store, spec, err);

	if (result < 0 || step->machine != NULL)
		return result;
	result = store_free_index(engine->store, last_index, &step->index, err);
	if (result < 0)
		return result;
	snprintf(record.name_space, sizeof(record.name_space), "%s", spec->name_space);
	snprintf(record.name, sizeof(record.name), "%s", spec->name);
	snprintf(record.phase, sizeof(record.phase), "%s", fsm_phase_key(PHASE_IDLE));
	record.index = step->index;
	return store_put_machine(engine->store, &record, err);
}

static int
deploy_store(Deployment *deployment, Error *err)
{
	Store *store = deployment->engine->store;
	int result = store_begin(store, err);

	if (result < 0)
		return result;
	for (size_t i = 0; result == 0 && i < deployment->set.count; i++)
	{
		DeployStep *step = &deployment->steps[i];

		if (step->resource->kind == RESOURCE_VOLUME)
			result = store_put_volume(store, &step->resource->volume, err);
		else if (step->resource->kind == RESOURCE_SERVICE)
			result = store_put_service(store, &step->resource->service, err);
		else if (step->resource->kind == RESOURCE_POSTGRES)
			result = cluster_store(deployment->engine, &step->resource->postgres, err);
		else
			result = deploy_store_app(deployment->engine, step, err);
	}
	if (result == 0)
		result = store_commit(store, err);
	if (result < 0)
		store_rollback(store);
	return result;
}

static void
deploy_start_app(Engine *engine, DeployStep *step)
{
	MachineRecord record;
	Machine *machine;
	Error error;

	if (store_get_machine(engine->store, step->resource->app.name_space, step->resource->app.name, &record, &error) < 0)
	{
		log_error("machine not started", "machine", step->resource->app.name, "reason", error.message);
		return;
	}
	machine = machine_new(engine, &step->resource->app, &record);
	engine_add_machine(engine, machine);
	engine_expose(engine, &machine->spec);
	if (network_plan(&engine->layout, machine->id, record.index, &machine->network, &error) < 0)
	{
		log_error("machine not started", "machine", machine->label, "reason", error.message);
		return;
	}
	machine_ask_for_image(machine);
	machine_dispatch(machine, EVENT_START, NULL);
}

/* Nothing but how its image is built: what runs goes on with the one that it has until the new one is there. */
static bool
deploy_only_builds(const DeployStep *step)
{
	for (size_t i = 0; i < step->changes.count; i++)
	{
		if (strncmp(step->changes.lines[i], BUILD_KEYS, strlen(BUILD_KEYS)) != 0)
			return false;
	}
	return step->changes.count > 0 && fsm_phase_is_up(step->machine->phase);
}

static void
deploy_change_app(Engine *engine, DeployStep *step)
{
	Machine *machine = step->machine;
	char image_before[MACHINE_IMAGE_BYTES];
	char image[MACHINE_IMAGE_BYTES];
	CgroupLimits limits;
	Error error;

	machine_image_name(machine, image_before);
	app_spec_clear(&machine->spec);
	app_spec_copy(&step->resource->app, &machine->spec);
	engine_expose(engine, &machine->spec);
	machine_image_name(machine, image);
	if (strcmp(image, image_before) == 0 && deploy_only_builds(step))
		step->changes.needs_restart = false;
	if (strcmp(image, image_before) != 0 || (machine->spec.image == NULL && step->changes.needs_restart))
		machine_ask_for_image(machine);
	else
		machine_look_for_moved_image(machine);
	if (step->changes.needs_restart)
	{
		machine->facts.restart_wanted = true;
		machine_dispatch(machine, EVENT_STOP, "its resource has changed");
		return;
	}
	limits = machine_limits(machine);
	if (machine->process.fd >= 0 && cgroup_set_limits(engine->cgroups, machine->group, &limits, &error) < 0)
		log_error("limits not changed", "machine", machine->label, "reason", error.message);
	if (machine->phase == PHASE_READY)
		machine_enter_ready(machine);
}

static bool
deploy_changes_volume_of(const Deployment *deployment, const AppSpec *spec)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		const DeployStep *step = &deployment->steps[i];

		if (step->resource->kind != RESOURCE_VOLUME || step->volume == NULL || !step->changes.needs_restart)
			continue;
		for (size_t k = 0; k < spec->volume_count; k++)
		{
			if (strcmp(spec->volumes[k].name_space, step->resource->volume.name_space) == 0 &&
				strcmp(spec->volumes[k].name, step->resource->volume.name) == 0)
				return true;
		}
	}
	return false;
}

static void
deploy_apply_machine(const Deployment *deployment, DeployStep *step)
{
	Engine *engine = deployment->engine;

	if (step->machine == NULL)
	{
		deploy_start_app(engine, step);
		return;
	}
	/* One that had failed tries again with whatever has changed. */
	step->changes.needs_restart = step->changes.needs_restart ||
								  deploy_changes_volume_of(deployment, &step->resource->app) ||
								  (step->changes.count > 0 && step->machine->phase == PHASE_ERROR);
	if (step->changes.count > 0 || step->changes.needs_restart)
		deploy_change_app(engine, step);
	else if (step->machine->phase == PHASE_ERROR)
		machine_dispatch(step->machine, EVENT_START, "deployed again");
	else
		machine_look_for_moved_image(step->machine);
}

/* Those of clusters, or the others, in the order in which they depend on each other. */
static void
deploy_apply_machines(const Deployment *deployment, bool of_clusters)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		DeployStep *step = &deployment->steps[deployment->order[i]];

		if (resource_is_machine(step->resource) && step->resource->of_cluster == of_clusters)
			deploy_apply_machine(deployment, step);
	}
}

static void
deploy_apply(Deployment *deployment)
{
	Engine *engine = deployment->engine;

	for (size_t i = 0; i < deployment->set.count; i++)
	{
		if (deployment->steps[i].resource->kind == RESOURCE_VOLUME)
		{
			engine_add_volume(engine, &deployment->steps[i].resource->volume);
			if (deployment->steps[i].changes.count > 0)
				engine_grow_volume(engine, &deployment->steps[i].resource->volume);
		}
		else if (deployment->steps[i].resource->kind == RESOURCE_SERVICE)
			engine_put_service(engine, &deployment->steps[i].resource->service);
		else if (deployment->steps[i].resource->kind == RESOURCE_POSTGRES)
			engine_put_cluster(engine, &deployment->steps[i].resource->postgres, clock_realtime_ms());
	}
	/* A cluster's secrets and values have to be there when the machines that name them start. */
	deploy_apply_machines(deployment, true);
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		if (deployment->steps[i].resource->kind == RESOURCE_POSTGRES)
			cluster_deployed(engine, &deployment->steps[i].resource->postgres, &deployment->options);
	}
	deploy_apply_machines(deployment, false);
	/* What of its secrets only they have used can go now. */
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		const Resource *resource = deployment->steps[i].resource;

		if (resource->kind == RESOURCE_POSTGRES)
			cluster_tidy_credentials(engine_find_cluster(engine, resource->head.name_space, resource->head.name));
	}
}

/* How a change comes about, and what the answer cannot tell, because a registry or a build says it later. */
static json_t *
deploy_notes_to_json(const Deployment *deployment, const DeployStep *step)
{
	json_t *notes = json_array();
	char growth[GROWTH_TEXT_BYTES] = "";

	if (step->volume != NULL && step->resource->volume.size_bytes > step->volume->spec.size_bytes)
		engine_describe_growth(deployment->engine, &step->resource->volume, growth);
	if (growth[0] != '\0')
		json_array_append_new(notes, json_string(growth));
	if (step->machine == NULL || !fsm_phase_is_up(step->machine->phase) ||
		(step->changes.needs_restart && !deploy_only_builds(step)) ||
		!engine_image_can_move(deployment->engine, &step->resource->app))
		return notes;
	if (step->resource->app.image == NULL)
		json_array_append_new(notes, json_string("build: is built beside what runs, which starts again if that is "
												 "another image"));
	else
		json_array_append_new(notes, json_sprintf("image: its registry is asked; the machine starts again if %s has "
												  "moved",
												  step->resource->app.image));
	return notes;
}

static json_t *
deploy_to_json(const Deployment *deployment)
{
	json_t *results = json_array();

	for (size_t i = 0; i < deployment->set.count; i++)
	{
		const DeployStep *step = &deployment->steps[i];
		bool is_new = step->volume == NULL && step->service == NULL && step->machine == NULL && step->cluster == NULL;
		json_t *changes = json_array();

		for (size_t k = 0; k < step->changes.count; k++)
			json_array_append_new(changes, json_string(step->changes.lines[k]));
		json_array_append_new(results,
							  json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "kind",
										resource_kind_name(step->resource->kind), "namespace",
										step->resource->head.name_space, "name", step->resource->head.name, "action",
										is_new					  ? "created"
										: step->changes.count > 0 ? "changed"
																  : "unchanged",
										"changes", changes, "notes", deploy_notes_to_json(deployment, step)));
	}
	return json_pack("{s:o}", "results", results);
}

/* Of what is new everything is a change. */
static void
deploy_describe_new(Deployment *deployment)
{
	for (size_t i = 0; i < deployment->set.count; i++)
	{
		DeployStep *step = &deployment->steps[i];
		const Resource *resource = step->resource;

		if (step->volume != NULL || step->service != NULL || step->machine != NULL || step->cluster != NULL)
			continue;
		if (resource->kind == RESOURCE_VOLUME)
			volume_spec_compare(NULL, &resource->volume, &step->changes);
		else if (resource->kind == RESOURCE_SERVICE)
			service_spec_compare(NULL, &resource->service, &step->changes);
		else if (resource->kind == RESOURCE_POSTGRES)
			postgres_spec_compare(NULL, &resource->postgres, &step->changes);
		else
			app_spec_compare(NULL, &resource->app, &step->changes);
	}
}

static void
deployment_clear(Deployment *deployment)
{
	for (size_t i = 0; deployment->steps != NULL && i < deployment->set.count; i++)
		spec_changes_clear(&deployment->steps[i].changes);
	free(deployment->steps);
	free(deployment->order);
	resource_set_clear(&deployment->set);
	diagnostic_list_clear(&deployment->diagnostics);
}

/* False: there is nothing to ask any more. */
static bool
ask(const Deployment *deployment, DeployStage stage, const DeployRequest *request, EngineDeployed done, void *context)
{
	if (stage <= DEPLOY_ASK_PARAMETERS && clusters_need_check(deployment))
		clusters_check(deployment, request, done, context);
	else if (stage <= DEPLOY_ASK_SERVERS && clusters_need_look(deployment))
		clusters_look(deployment, request, done, context);
	else
		return false;
	return true;
}

void
engine_deploy_from(Engine *engine, DeployStage stage, const DeployRequest *request, EngineDeployed done, void *context)
{
	Deployment deployment = {.engine = engine, .options = request->options};
	Error error = {0};
	json_t *body = NULL;
	int result = engine_check_open(engine, &error);

	if (result == 0)
		result = deploy_check(&deployment, request);
	if (result == 0 && ask(&deployment, stage, request, done, context))
	{
		deployment_clear(&deployment);
		return;
	}
	if (result == 0 && request->dry_run)
	{
		deploy_describe_new(&deployment);
		body = deploy_to_json(&deployment);
	}
	else if (result == 0)
		result = deploy_store(&deployment, &error);
	if (result == 0 && !request->dry_run)
	{
		body = deploy_to_json(&deployment);
		deploy_apply(&deployment);
	}
	else if (deployment.diagnostics.count > 0)
		error_set(&error, -EINVAL, "nothing was deployed: %zu %s to mend", deployment.diagnostics.count,
				  deployment.diagnostics.count == 1 ? "thing is" : "things are");
	done(context, result, body, &deployment.diagnostics, &error);
	if (body != NULL)
		json_decref(body);
	deployment_clear(&deployment);
}

void
engine_deploy(Engine *engine, const DeployRequest *request, EngineDeployed done, void *context)
{
	engine_deploy_from(engine, DEPLOY_ASK_PARAMETERS, request, done, context);
}
