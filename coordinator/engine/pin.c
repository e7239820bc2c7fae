/* Program files of servers, kept in memory once a host and image, so that a wake finds its text there. */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "host/reclaim.h"

/* A server and its libraries are about 60 MB; more than this is no server's text. */
#define PIN_MAX_BYTES (UINT64_C(256) << 20)

static void
pin_ended(void *context, pid_t pid, int status)
{
	ImagePin *pin = context;

	(void) pid;
	(void) status;
	pin->holder = 0; /* stays known, so that a holder that cannot be is not started again and again */
	log_debug("image is no longer pinned", "image", pin->image_id);
}

void
engine_pin_image(Engine *engine, const Machine *machine)
{
	char group[64];
	ImagePinSpec spec = {.cgroups = engine->cgroups,
						 .cgroup = group,
						 .image_root = machine->rootfs.lower,
						 .machine_pid = machine->process.pid,
						 .max_bytes = PIN_MAX_BYTES};
	ImagePin *pin;
	Error error;

	if (!engine->settings.pin_images || machine->process.fd < 0)
		return;
	for (pin = engine->pins; pin != NULL; pin = pin->next)
	{
		if (strcmp(pin->image_id, machine->record.image_id) == 0)
			return;
	}
	snprintf(group, sizeof(group), "%s/pinned", engine->layout.name_prefix);
	pin = memory_allocate(sizeof(*pin));
	snprintf(pin->image_id, sizeof(pin->image_id), "%s", machine->record.image_id);
	pin->next = engine->pins;
	engine->pins = pin;
	if (image_pin_start(&spec, &pin->holder, &error) < 0)
	{
		log_warning("image is not pinned", "image", pin->image_id, "reason", error.message);
		return;
	}
	child_watch(pin->holder, pin_ended, pin);
}

void
engine_unpin_images(Engine *engine)
{
	char group[64];

	snprintf(group, sizeof(group), "%s/pinned", engine->layout.name_prefix);
	while (engine->pins != NULL)
	{
		ImagePin *pin = engine->pins;

		engine->pins = pin->next;
		if (pin->holder > 0)
		{
			child_unwatch(pin->holder);
			kill(pin->holder, SIGKILL);
			while (waitpid(pin->holder, NULL, 0) < 0 && errno == EINTR)
				;
		}
		free(pin);
	}
	if (engine->cgroups != NULL && cgroup_remove(engine->cgroups, group, NULL) < 0)
		log_debug("the control group stays", "group", group);
}
