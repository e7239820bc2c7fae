/* Volumes that grow while machines use them. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"

#define GROW_TIMEOUT_MS (10 * 60 * 1000)

typedef struct Growth
{
	Engine *engine;
	ResourceHead head;
	HostVolume volume;
	uint64_t size_bytes;
	Job *work;
} Growth;

static int
grow_job(const void *input, void *output, Error *err)
{
	const Growth *growth = input;

	(void) output;
	return volume_grow(&growth->volume, growth->size_bytes, err);
}

static bool
mounts(const Machine *machine, const ResourceHead *head)
{
	for (size_t i = 0; i < machine->spec.volume_count; i++)
	{
		if (strcmp(machine->spec.volumes[i].name_space, head->name_space) == 0 &&
			strcmp(machine->spec.volumes[i].name, head->name) == 0)
			return true;
	}
	return false;
}

/* What cannot grow in use grows when it is mounted anew. */
static void
restart_users(const Growth *growth)
{
	for (Machine *machine = growth->engine->machines; machine != NULL; machine = machine->next)
	{
		if (!mounts(machine, &growth->head) || machine->facts.delete_wanted ||
			(!fsm_phase_is_up(machine->phase) && machine->phase != PHASE_BOOTING))
			continue;
		machine->facts.restart_wanted = true;
		machine_dispatch(machine, EVENT_STOP, "a volume of it grows");
	}
}

static void
grown(void *context, int result, const void *output, const Error *err)
{
	Growth *growth = context;

	(void) output;
	if (result < 0)
	{
		log_warning("volume does not grow in use; restarting its machines", "namespace", growth->head.name_space,
					"volume", growth->head.name, "reason", err->message);
		restart_users(growth);
	}
	else
		log_info("volume has grown", "namespace", growth->head.name_space, "volume", growth->head.name);
	free(growth);
}

void
engine_grow_volume(Engine *engine, const VolumeSpec *spec)
{
	Growth *growth = memory_allocate(sizeof(*growth));
	JobSpec job = {.name = "grow volume",
				   .function = grow_job,
				   .input = growth,
				   .timeout_ms = GROW_TIMEOUT_MS,
				   .done = grown,
				   .context = growth};
	VolumeUsage usage;
	Error error;

	growth->engine = engine;
	growth->size_bytes = spec->size_bytes;
	text_copy(growth->head.name_space, sizeof(growth->head.name_space), spec->name_space);
	text_copy(growth->head.name, sizeof(growth->head.name), spec->name);
	volume_plan(&engine->layout, spec->name_space, spec->name, &growth->volume);
	if (volume_read_usage(&growth->volume, &usage, &error) < 0 || !usage.mounted)
	{
		free(growth);
		return;
	}
	if (job_start(engine->loop, &job, &growth->work, &error) < 0)
		grown(growth, error.code, NULL, &error);
}
