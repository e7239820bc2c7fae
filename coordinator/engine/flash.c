/* What the extension says on the flash channel, and what it is told. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/log.h"
#include "engine/engine_private.h"

#define SNAPSHOT_TIMEOUT_MAX_MS (UINT64_C(24) * 60 * 60 * 1000)
#define RETRY_MAX_MS			60000

static void
machine_reply_hello(Machine *machine)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "HELLO", "1");
	lttle_flash_writer_add(&writer, "VERSION", LTTLE_FLASH_PROTOCOL_VERSION);
	if (machine->resumed_pending)
	{
		lttle_flash_writer_add(&writer, "RESUMED", "1");
		lttle_flash_writer_add_number(&writer, "SLEPT_MS", machine->resumed_slept_ms);
		lttle_flash_writer_add(&writer, "FROM", "hibernated");
		lttle_flash_writer_add(&writer, "WOKEN_BY", machine->record.woken_by);
		machine->resumed_pending = false;
	}
	(void) flash_channel_send(machine->flash, &writer, NULL);
}

static void
machine_handle_hello(Machine *machine, const LttleFlashMessage *message)
{
	const char *version = lttle_flash_message_get(message, "VERSION");

	machine->facts.channel_open = false;
	text_copy(machine->extension_version, sizeof(machine->extension_version), version == NULL ? "" : version);
	text_make_printable(machine->extension_version);
	log_debug("the extension says hello", "machine", machine->label, "version", version, "postgresql",
			  lttle_flash_message_get(message, "PG_VERSION"));
	machine_reply_hello(machine);
}

/* A server without a listening port is one that prepares itself, like the image's during the first start. */
static void
machine_handle_ready(Machine *machine)
{
	machine->facts.channel_open = true;
	if (machine_next_service(machine, NULL) == NULL || machine_can_be_woken(machine))
		machine_dispatch(machine, EVENT_SERVER_READY, NULL);
	else
		log_debug("a server without its exposed port is ready; waiting for the next", "machine", machine->label);
}

void
machine_answer_snapshot(Machine *machine, const char *error)
{
	LttleFlashWriter writer;

	machine->snapshot_pending = false;
	lttle_flash_writer_begin(&writer);
	if (error == NULL)
		lttle_flash_writer_add(&writer, "OK", "1");
	else
		lttle_flash_writer_add(&writer, "ERROR", error);
	(void) flash_channel_send(machine->flash, &writer, NULL);
}

static void
machine_handle_snapshot(Machine *machine, const LttleFlashMessage *message)
{
	uint64_t timeout_ms = 0;
	char why[160];

	if (!lttle_flash_message_get_number(message, "TIMEOUT_MS", SNAPSHOT_TIMEOUT_MAX_MS, &timeout_ms))
	{
		machine_answer_snapshot(machine, "TIMEOUT_MS is missing or not a number of milliseconds");
		return;
	}
	if (machine->spec.mode != MODE_FLASH)
	{
		machine_answer_snapshot(machine, "the machine's mode is regular: it never suspends");
		return;
	}
	if (machine->phase != PHASE_READY)
	{
		snprintf(why, sizeof(why), "the machine is %s", phase_name(machine->phase));
		machine_answer_snapshot(machine, why);
		return;
	}
	machine->snapshot_pending = true;
	machine->snapshot_deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
	machine_check_idle(machine);
}

static void
machine_handle_decline(Machine *machine, const char *reason, const LttleFlashMessage *message)
{
	uint64_t retry_ms = 0;
	char why[201];

	/* The machine's own words go to the log, the store and terminals. */
	text_copy(why, sizeof(why), reason);
	text_make_printable(why);
	(void) lttle_flash_message_get_number(message, "RETRY_MS", RETRY_MAX_MS, &retry_ms);
	snprintf(machine->refusal, sizeof(machine->refusal), "%s", why);
	if (machine_dispatch(machine, EVENT_DECLINED, why) && retry_ms > 0)
		machine_back_off(machine, retry_ms);
}

void
machine_handle_flash(void *context, const LttleFlashMessage *message)
{
	Machine *machine = context;
	const char *reason;

	if (lttle_flash_message_get(message, "HELLO") != NULL)
		machine_handle_hello(machine, message);
	if (lttle_flash_message_get(message, "READY") != NULL)
		machine_handle_ready(machine);
	if (lttle_flash_message_get(message, "SNAPSHOT") != NULL)
		machine_handle_snapshot(machine, message);
	if (lttle_flash_message_get(message, "AGREE") != NULL)
		machine_dispatch(machine, EVENT_AGREED, NULL);
	reason = lttle_flash_message_get(message, "DECLINE");
	if (reason != NULL)
		machine_handle_decline(machine, reason, message);
	if (lttle_flash_message_get(message, "STOPPING") != NULL)
	{
		machine->facts.channel_open = false;
		machine_dispatch(machine, EVENT_CHANNEL_LOST, "PostgreSQL is shutting down");
	}
}

void
machine_handle_flash_lost(void *context, const char *problem)
{
	Machine *machine = context;

	machine->facts.channel_open = false;
	machine->snapshot_pending = false;
	if (problem != NULL)
		log_warning("flash channel closed", "machine", machine->label, "reason", problem);
	machine_dispatch(machine, EVENT_CHANNEL_LOST, problem);
}

void
machine_send_resumed(Machine *machine, uint64_t slept_ms, const char *woken_by)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, "RESUMED", "1");
	lttle_flash_writer_add_number(&writer, "SLEPT_MS", slept_ms);
	lttle_flash_writer_add(&writer, "FROM", "suspended");
	lttle_flash_writer_add(&writer, "WOKEN_BY", woken_by);
	(void) flash_channel_send(machine->flash, &writer, NULL);
}

void
machine_listen_flash(Machine *machine)
{
	Error error;

	if (machine->flash == NULL)
		return;
	if (flash_channel_refuses(machine->flash) && flash_channel_listen(machine->flash, &error) < 0)
		log_error("flash channel not opened again", "machine", machine->label, "reason", error.message);
	flash_channel_accept(machine->flash);
}
