/*
 * Volumes that grow while machines use them. Where the kernel lets this root do it, they grow as they are. Elsewhere
 * the machine goes to disk with its sessions, the volume grows while nothing of it runs, and the machine comes back, or
 * sleeps on if it slept before. One that cannot go to disk is started again, and says why.
 *
 * A growth is one step function, which looks at the phase of the volume's machine and does what can be done; it runs
 * after every change of that phase, and by a timer between two tries to go to disk.
 */
#include <errno.h>
#include <event2/event.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "engine/engine_private.h"

#define GROW_TIMEOUT_MS (10 * 60 * 1000)
/* A machine in which something is active is asked again, less and less often. */
#define RETRY_FIRST_MS 250
#define RETRY_LAST_MS  5000
/* Longer than an open transaction of a silent client keeps a machine from its disk by default. */
#define PATIENCE_MS (2 * 60 * 1000)

struct Growth
{
	Engine *engine;
	ResourceHead head;
	HostVolume volume;
	uint64_t size_bytes;
	char what[2 * NAME_MAX_BYTES + 64]; /* for people */
	Job *work;							/* growing it in use; NULL: that is over */
	struct event *timer;
	uint64_t give_up_ns; /* then its machine is started again */
	uint64_t retry_ns;	 /* no try to go to disk before */
	uint64_t retry_ms;
	bool was_dumping; /* its machine's snapshot was written for it */
	bool was_at_rest; /* what could be done has been */
	Growth *next;
};

static bool
mounts(const Machine *machine, const char *name_space, const char *name)
{
	for (size_t i = 0; i < machine->spec.volume_count; i++)
	{
		if (strcmp(machine->spec.volumes[i].name_space, name_space) == 0 &&
			strcmp(machine->spec.volumes[i].name, name) == 0)
			return true;
	}
	return false;
}

static Machine *
only_user(const Engine *engine, const char *name_space, const char *name, unsigned *ret_count)
{
	Machine *user = NULL;

	*ret_count = 0;
	for (Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		if (!mounts(machine, name_space, name))
			continue;
		user = machine;
		++*ret_count;
	}
	return *ret_count == 1 ? user : NULL;
}

Machine *
engine_only_user(const Engine *engine, const VolumeSpec *spec)
{
	unsigned count;

	return only_user(engine, spec->name_space, spec->name, &count);
}

/* ---- while its machine is on disk ---- */

static int
machine_grow_job(const void *input, void *output, Error *err)
{
	(void) output;
	return machine_mount_volumes(input, err);
}

static bool
machine_waits_for_growth(const Machine *machine, bool (*waits)(const HostVolume *volume, uint64_t size_bytes))
{
	for (size_t i = 0; i < machine->spec.volume_count; i++)
	{
		const VolumeMount *mount = &machine->spec.volumes[i];
		const EngineVolume *volume = engine_find_volume(machine->engine, mount->name_space, mount->name);
		HostVolume host;

		volume_plan(&machine->engine->layout, mount->name_space, mount->name, &host);
		if (volume != NULL && waits(&host, volume->spec.size_bytes))
			return true;
	}
	return false;
}

static void
machine_grown(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;
	char note[sizeof(err->message) + 64];
	const char *problem = result < 0 ? err->message
						  : machine_waits_for_growth(machine, volume_needs_growth)
							  ? "it is in use elsewhere, or there is no room; it grows at a later start"
							  : NULL;

	(void) output;
	machine->work = NULL;
	/* Deployed again meanwhile, still larger. */
	if (result == 0 && machine_waits_for_growth(machine, volume_is_smaller))
	{
		machine_grow(machine);
		return;
	}
	machine->facts.grow_wanted = false;
	/* Who is there while the host is drained waits for the next coordinator. */
	if (machine->engine->drain != NULL)
		machine->facts.wake_wanted = false;
	if (problem != NULL)
	{
		log_warning("volume does not grow", "machine", machine->label, "reason", problem);
		snprintf(note, sizeof(note), "a volume of it has not grown: %s", problem);
		machine_add_note(machine, note);
	}
	else
		machine_add_note(machine, "a volume of it has grown while it was on disk");
	machine_dispatch(machine, EVENT_GROWN, problem != NULL ? "a volume has not grown" : "a volume has grown");
}

void
machine_grow(Machine *machine)
{
	JobSpec spec = {.name = "grow volumes",
					.function = machine_grow_job,
					.input = machine,
					.timeout_ms = GROW_TIMEOUT_MS,
					.done = machine_grown,
					.context = machine,
					.patient = true};
	Error error;

	if (job_start(machine->engine->loop, &spec, &machine->work, &error) < 0)
		machine_grown(machine, error.code, NULL, &error);
}

/* ---- the way there ---- */

static void
growth_end(Growth *growth)
{
	Growth **place = &growth->engine->growths;

	for (Machine *machine = growth->engine->machines; machine != NULL; machine = machine->next)
	{
		if (mounts(machine, growth->head.name_space, growth->head.name))
			machine->facts.grow_wanted = false;
	}
	while (*place != growth)
		place = &(*place)->next;
	*place = growth->next;
	job_cancel(growth->work);
	event_free(growth->timer);
	free(growth);
}

/* What cannot grow in use grows when it is mounted anew. */
static void
growth_restart_users(Growth *growth, const char *why)
{
	char reason[sizeof(growth->what) + 256];

	snprintf(reason, sizeof(reason), "%s, and the machine cannot go to disk: %s", growth->what, why);
	log_warning("volume does not grow in use; restarting its machines", "namespace", growth->head.name_space, "volume",
				growth->head.name, "reason", why);
	for (Machine *machine = growth->engine->machines; machine != NULL; machine = machine->next)
	{
		if (!mounts(machine, growth->head.name_space, growth->head.name) || machine->facts.delete_wanted ||
			(!fsm_phase_is_up(machine->phase) && machine->phase != PHASE_BOOTING))
			continue;
		machine->facts.restart_wanted = true;
		machine_dispatch(machine, EVENT_STOP, reason);
	}
	growth_end(growth);
}

/* Its machine is awake, or asleep in memory. */
static void
growth_go_to_disk(Growth *growth, Machine *machine)
{
	uint64_t now_ns = clock_monotonic_ns();
	bool runs = machine->phase == PHASE_READY;

	if (growth->was_dumping)
		growth_restart_users(growth, machine->snapshot_problem);
	else if (now_ns < growth->retry_ns)
		machine_start_timer(growth->timer, (growth->retry_ns - now_ns) / NS_PER_MS + 1);
	else if (now_ns >= growth->give_up_ns)
		growth_restart_users(growth, machine->refusal);
	else
	{
		growth->retry_ns = now_ns + growth->retry_ms * NS_PER_MS;
		growth->retry_ms = growth->retry_ms * 2 < RETRY_LAST_MS ? growth->retry_ms * 2 : RETRY_LAST_MS;
		if (machine_hibernate(machine, growth->what))
			machine->facts.wake_wanted = runs;
		else
			growth_restart_users(growth, machine->refusal);
	}
}

static void
growth_look_at(Growth *growth, Machine *machine)
{
	machine->facts.grow_wanted = true;
	switch (machine->phase)
	{
		case PHASE_READY:
		case PHASE_SUSPENDED:
			growth_go_to_disk(growth, machine);
			break;
		case PHASE_HIBERNATED:
			growth->was_at_rest = true;
			machine_dispatch(machine, EVENT_GROW, growth->what);
			break;
		case PHASE_DUMPING:
			growth->was_dumping = true;
			break;
		case PHASE_GROWING:
			growth->was_at_rest = true;
			break;
		case PHASE_CREATING:
		case PHASE_BOOTING:
		case PHASE_PREPARING:
		case PHASE_FREEZING:
		case PHASE_HIBERNATE_PREPARING:
		case PHASE_HIBERNATE_CLOSING:
		case PHASE_HIBERNATE_FREEZING:
		case PHASE_EVICTING:
		case PHASE_RESUMING:
			break; /* its next phase says more */
		case PHASE_IDLE:
		case PHASE_PULLING_IMAGE:
		case PHASE_WAITING:
		case PHASE_STOPPING:
		case PHASE_STOPPED:
		case PHASE_RESTARTING:
		case PHASE_DELETING:
		case PHASE_ERROR:
		case PHASE_COUNT:
			growth_end(growth); /* it grows at the next start */
			break;
	}
}

static void
growth_step(evutil_socket_t fd, short what, void *context)
{
	Growth *growth = context;
	unsigned users;
	Machine *machine = only_user(growth->engine, growth->head.name_space, growth->head.name, &users);

	(void) fd;
	(void) what;
	if (growth->work != NULL)
		return;
	if (users == 0 || growth->engine->drain != NULL || !volume_needs_growth(&growth->volume, growth->size_bytes))
		growth_end(growth);
	else if (machine == NULL)
		growth_restart_users(growth, "the volume has several machines");
	else if (growth->was_at_rest && machine->phase != PHASE_GROWING)
		growth_end(growth);
	else
		growth_look_at(growth, machine);
}

void
engine_note_growth(const Machine *machine)
{
	for (Growth *growth = machine->engine->growths; growth != NULL; growth = growth->next)
	{
		if (mounts(machine, growth->head.name_space, growth->head.name))
			event_active(growth->timer, EV_TIMEOUT, 0);
	}
}

/* ---- in use ---- */

static int
grow_job(const void *input, void *output, Error *err)
{
	const Growth *growth = input;

	(void) output;
	return volume_grow(&growth->volume, growth->size_bytes, err);
}

static void
grown_in_use(void *context, int result, const void *output, const Error *err)
{
	Growth *growth = context;
	char note[sizeof(growth->what) + 32];

	(void) output;
	growth->work = NULL;
	if (result == -EBUSY)
	{
		log_info("volume does not grow in use; its machine goes to disk for it", "namespace", growth->head.name_space,
				 "volume", growth->head.name, "reason", err->message);
		growth_step(-1, 0, growth);
		return;
	}
	if (result < 0)
	{
		log_error("volume does not grow", "namespace", growth->head.name_space, "volume", growth->head.name, "reason",
				  err->message);
		growth_end(growth);
		return;
	}
	snprintf(note, sizeof(note), "%s: it has, in use", growth->what);
	for (Machine *machine = growth->engine->machines; machine != NULL; machine = machine->next)
	{
		if (mounts(machine, growth->head.name_space, growth->head.name))
			machine_add_note(machine, note);
	}
	growth_end(growth);
}

/* An earlier growth of the same volume is done with: this one goes as far, and further. */
static Growth *
growth_new(Engine *engine, const VolumeSpec *spec)
{
	Growth *growth = memory_allocate(sizeof(*growth));
	char size[32];

	for (Growth *earlier = engine->growths; earlier != NULL; earlier = earlier->next)
	{
		if (strcmp(earlier->head.name_space, spec->name_space) == 0 && strcmp(earlier->head.name, spec->name) == 0)
		{
			growth_end(earlier);
			break;
		}
	}
	*growth = (Growth){.engine = engine,
					   .size_bytes = spec->size_bytes,
					   .give_up_ns = clock_monotonic_ns() + PATIENCE_MS * NS_PER_MS,
					   .retry_ms = RETRY_FIRST_MS,
					   .next = engine->growths};
	text_copy(growth->head.name_space, sizeof(growth->head.name_space), spec->name_space);
	text_copy(growth->head.name, sizeof(growth->head.name), spec->name);
	size_format(spec->size_bytes, size);
	snprintf(growth->what, sizeof(growth->what), "volume %s/%s grows to %s", spec->name_space, spec->name, size);
	growth->timer = evtimer_new(engine->loop, growth_step, growth);
	volume_plan(&engine->layout, spec->name_space, spec->name, &growth->volume);
	engine->growths = growth;
	return growth;
}

void
engine_grow_volume(Engine *engine, const VolumeSpec *spec)
{
	JobSpec job = {.name = "grow volume", .function = grow_job, .timeout_ms = GROW_TIMEOUT_MS, .done = grown_in_use};
	HostVolume volume;
	VolumeUsage usage;
	Growth *growth;
	Error error;

	volume_plan(&engine->layout, spec->name_space, spec->name, &volume);
	if (volume_read_usage(&volume, &usage, NULL) < 0 || !usage.mounted ||
		!volume_needs_growth(&volume, spec->size_bytes))
		return;
	growth = growth_new(engine, spec);
	job.input = growth;
	job.context = growth;
	if (job_start(engine->loop, &job, &growth->work, &error) < 0)
		grown_in_use(growth, error.code, NULL, &error);
}

void
engine_describe_growth(const Engine *engine, const VolumeSpec *spec, char ret_text[GROWTH_TEXT_BYTES])
{
	unsigned users;
	Machine *machine = only_user(engine, spec->name_space, spec->name, &users);
	char refusal[sizeof(machine->refusal)];

	ret_text[0] = '\0';
	if (users == 0 || (machine != NULL && !fsm_phase_is_up(machine->phase)))
		return;
	if (process_has_capability(CAP_SYS_RESOURCE))
		text_copy(ret_text, GROWTH_TEXT_BYTES, "size: it grows in use");
	else if (machine == NULL)
		text_copy(ret_text, GROWTH_TEXT_BYTES, "size: its machines start again for it");
	else if (machine->phase == PHASE_HIBERNATED || machine->phase == PHASE_GROWING)
		snprintf(ret_text, GROWTH_TEXT_BYTES, "size: it grows while %s is on disk", machine->label);
	else
	{
		text_copy(refusal, sizeof(refusal), machine->refusal);
		if (machine_can_hibernate(machine))
			snprintf(ret_text, GROWTH_TEXT_BYTES, "size: %s goes to disk for it, with its sessions", machine->label);
		else
			snprintf(ret_text, GROWTH_TEXT_BYTES, "size: %s starts again for it: %s", machine->label, machine->refusal);
		text_copy(machine->refusal, sizeof(machine->refusal), refusal);
	}
}

void
engine_go_on_growing(Engine *engine)
{
	for (const EngineVolume *volume = engine->volumes; volume != NULL; volume = volume->next)
		engine_grow_volume(engine, &volume->spec);
}

void
engine_end_growths(Engine *engine)
{
	while (engine->growths != NULL)
		growth_end(engine->growths);
}
