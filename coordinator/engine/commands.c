/* What users ask of single machines, volumes and images. */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "engine/clusters.h"
#include "engine/engine_private.h"

#define DELETE_TIMEOUT_MS	 (5 * 60 * 1000)
#define RUN_TIMEOUT_MS		 (10 * 60 * 1000)
#define SUSPEND_TIMEOUT_MS	 (60 * 1000)
#define HIBERNATE_TIMEOUT_MS (5 * 60 * 1000)
#define VOLUME_TIMEOUT_MS	 (2 * 60 * 1000)

/* Finds the machine, or answers that there is none. */
static Machine *
command_find(Engine *engine, const char *kind, const char *name_space, const char *name, EngineDone done, void *context)
{
	Machine *machine = engine_find_machine(engine, name_space, name);
	Error error;

	if (machine != NULL && !machine->facts.delete_wanted)
		return machine;
	error_set(&error, -ENOENT, "%s %s/%s: %s", kind, name_space, name,
			  machine == NULL ? "not found" : "is being deleted");
	done(context, -ENOENT, NULL, &error);
	return NULL;
}

/* An app and its machine go together, and are called by the name of what was deployed. */
static void
command_delete(Engine *engine, ResourceKind kind, const char *name_space, const char *name, EngineDone done,
			   void *context)
{
	Machine *machine = command_find(engine, resource_kind_name(kind), name_space, name, done, context);
	Error error;

	if (machine == NULL)
		return;
	if (machine->spec.kind != kind)
	{
		int result =
			kind == RESOURCE_APP
				? error_set(&error, -ENOENT, "app %s: not found; there is a machine of this name", machine->label)
				: error_set(&error, -EBUSY, "machine %s: belongs to an app; delete the app", machine->label);

		done(context, result, NULL, &error);
		return;
	}
	if (engine_find_cluster(engine, name_space, name) != NULL)
	{
		error_set(&error, -EBUSY, "app %s: belongs to postgres/%s; lttle postgres delete takes both", machine->label,
				  name);
		done(context, -EBUSY, NULL, &error);
		return;
	}
	machine_delete(machine, done, context);
}

void
machine_delete(Machine *machine, EngineDone done, void *context)
{
	bool begun = machine->facts.delete_wanted;

	machine->facts.delete_wanted = true;
	machine->facts.restart_wanted = false;
	machine->record.delete_wanted = true;
	machine_save(machine);
	(void) machine_wait(machine, WAIT_GONE, NULL, DELETE_TIMEOUT_MS, done, context);
	if (!begun)
		machine_dispatch(machine, EVENT_STOP, "deleted");
}

void
engine_delete_app(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	command_delete(engine, RESOURCE_APP, name_space, name, done, context);
}

void
engine_delete_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	command_delete(engine, RESOURCE_MACHINE, name_space, name, done, context);
}

/* As command_find, for what starts a machine. */
static Machine *
command_find_to_start(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	Error error;
	int result = engine_check_open(engine, &error);

	if (result == 0)
		return command_find(engine, "machine", name_space, name, done, context);
	done(context, result, NULL, &error);
	return NULL;
}

void
engine_restart_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	Machine *machine = command_find_to_start(engine, name_space, name, done, context);

	if (machine == NULL)
		return;
	machine->facts.restart_wanted = true;
	machine_dispatch(machine, EVENT_STOP, "restart");
	(void) machine_wait(machine, WAIT_RUNNING, NULL, RUN_TIMEOUT_MS, done, context);
}

void
engine_suspend_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	Machine *machine = command_find(engine, "machine", name_space, name, done, context);
	Error error;

	if (machine == NULL)
		return;
	if (machine->phase == PHASE_READY && machine->holds > 0)
	{
		error_set(&error, -EBUSY, "machine %s: was not suspended: a program runs inside (exec)", machine->label);
		done(context, -EBUSY, NULL, &error);
		return;
	}
	if (machine->phase == PHASE_READY)
	{
		machine->suspend_forced = true;
		machine->refusal[0] = '\0';
		machine_dispatch(machine, EVENT_SUSPEND, "API");
	}
	(void) machine_wait(machine, WAIT_ASLEEP, NULL, SUSPEND_TIMEOUT_MS, done, context);
}

void
engine_hibernate_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	Machine *machine = command_find(engine, "machine", name_space, name, done, context);

	if (machine == NULL)
		return;
	if (machine->holds > 0)
		text_copy(machine->refusal, sizeof(machine->refusal), "a program runs inside (exec)");
	else
		(void) machine_hibernate(machine, "API");
	(void) machine_wait(machine, WAIT_ON_DISK, NULL, HIBERNATE_TIMEOUT_MS, done, context);
}

void
engine_wake_machine(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	Machine *machine = command_find_to_start(engine, name_space, name, done, context);

	if (machine == NULL)
		return;
	machine->snapshot_promised = false;
	machine->strategy_until_ns = 0;
	machine_dispatch(machine, EVENT_WAKE, "API");
	(void) machine_wait(machine, WAIT_RUNNING, NULL, RUN_TIMEOUT_MS, done, context);
}

EngineWait *
engine_wait_phase(Engine *engine, const char *name_space, const char *name, const char *phase, uint64_t timeout_ms,
				  EngineDone done, void *context)
{
	Machine *machine = engine_find_machine(engine, name_space, name);
	Error error;

	for (Phase known = 0; known < PHASE_COUNT; known++)
	{
		if (strcmp(phase_name(known), phase) == 0 && machine != NULL)
			return machine_wait(machine, WAIT_PHASE, phase, timeout_ms, done, context);
	}
	if (machine == NULL)
		error_set(&error, -ENOENT, "machine %s/%s: not found", name_space, name);
	else
		error_set(&error, -EINVAL, "phase '%s': there is no such phase", phase);
	done(context, error.code, NULL, &error);
	return NULL;
}

int
engine_log_path(Engine *engine, const char *name_space, const char *name, char ret_path[512], Error *err)
{
	Machine *machine = engine_find_machine(engine, name_space, name);

	if (machine == NULL)
		return error_set(err, -ENOENT, "machine %s/%s: not found", name_space, name);
	snprintf(ret_path, 512, "%s", machine->paths.log);
	return 0;
}

/* ---- slow work without a machine ---- */

typedef struct Command
{
	Engine *engine;
	Job *work;
	EngineDone done;
	void *context;
	char *name;
	HostVolume volume;
	ResourceHead volume_head;
} Command;

static void
command_free(Command *command)
{
	free(command->name);
	free(command);
}

static void
command_finish(Command *command, int result, json_t *body, const Error *err)
{
	command->done(command->context, result, body, err);
	if (body != NULL)
		json_decref(body);
	command_free(command);
}

static void
command_start(Command *command, const char *name, JobFunction function, size_t output_bytes, uint64_t timeout_ms,
			  JobDone done)
{
	JobSpec spec = {.name = name,
					.function = function,
					.input = command,
					.output_bytes = output_bytes,
					.timeout_ms = timeout_ms,
					.done = done,
					.context = command};
	Error error;
	int result = job_start(command->engine->loop, &spec, &command->work, &error);

	if (result < 0)
		command_finish(command, result, NULL, &error);
}

static int
remove_volume_job(const void *input, void *output, Error *err)
{
	const Command *command = input;

	(void) output;
	return volume_remove(&command->volume, err);
}

static void
volume_removed(void *context, int result, const void *output, const Error *err)
{
	Command *command = context;
	const ResourceHead *head = &command->volume_head;
	Engine *engine = command->engine;
	Error error = *err;

	(void) output;
	if (result == 0)
		result = store_delete_volume(engine->store, head->name_space, head->name, &error);
	for (EngineVolume **place = &engine->volumes; result == 0 && *place != NULL; place = &(*place)->next)
	{
		EngineVolume *volume = *place;

		if (strcmp(volume->spec.name_space, head->name_space) == 0 && strcmp(volume->spec.name, head->name) == 0)
		{
			*place = volume->next;
			volume_spec_clear(&volume->spec);
			free(volume);
			break;
		}
	}
	if (result == 0)
		engine_forget_cluster_data(engine, head->name_space, head->name);
	command_finish(command, result, NULL, &error);
}

void
engine_delete_volume(Engine *engine, const char *name_space, const char *name, EngineDone done, void *context)
{
	EngineVolume *volume = engine_find_volume(engine, name_space, name);
	Command *command;
	Error error = {0};
	int result = 0;

	if (volume == NULL)
		result = error_set(&error, -ENOENT, "volume %s/%s: not found", name_space, name);
	for (Machine *machine = engine->machines; result == 0 && machine != NULL; machine = machine->next)
	{
		for (size_t i = 0; i < machine->spec.volume_count; i++)
		{
			if (strcmp(machine->spec.volumes[i].name_space, name_space) == 0 &&
				strcmp(machine->spec.volumes[i].name, name) == 0)
				result =
					error_set(&error, -EBUSY, "volume %s/%s: is in use by app %s", name_space, name, machine->label);
		}
	}
	if (result < 0)
	{
		done(context, result, NULL, &error);
		return;
	}
	command = memory_allocate(sizeof(*command));
	*command = (Command){.engine = engine, .done = done, .context = context};
	text_copy(command->volume_head.name_space, sizeof(command->volume_head.name_space), name_space);
	text_copy(command->volume_head.name, sizeof(command->volume_head.name), name);
	volume_plan(&engine->layout, name_space, name, &command->volume);
	command_start(command, "remove volume", remove_volume_job, 0, VOLUME_TIMEOUT_MS, volume_removed);
}
