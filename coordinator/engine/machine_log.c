/*
 * Watching what machines write: when their logs grow, for the times, and when they are too long, for rotation. A
 * machine's processes write into the file themselves and wait for nobody; here inotify says once that a file has grown,
 * then nothing is looked at for a second. A machine that is silent, or asleep, costs nothing.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "host/log_files.h"

#define LOOK_MS			  1000
#define ROTATE_TIMEOUT_MS 60000

struct LogWatch
{
	int fd; /* inotify */
	struct event *event;
};

struct MachineLog
{
	int watch; /* inotify's, which it gives up by itself once it has told; -1: it does not wait */
	struct event *timer;
	uint64_t begin; /* offset of the first byte that is in the file now */
	uint64_t end;	/* up to where times are noted */
	Job *rotation;
};

/* ---- rotation ---- */

/* CRIU compares the log's size at the restore with that at the dump. */
static bool
machine_may_rotate(const Machine *machine)
{
	switch (machine->phase)
	{
		case PHASE_HIBERNATE_PREPARING:
		case PHASE_HIBERNATE_CLOSING:
		case PHASE_HIBERNATE_FREEZING:
		case PHASE_DUMPING:
		case PHASE_EVICTING:
		case PHASE_HIBERNATED:
		case PHASE_GROWING:
		case PHASE_RESUMING:
		case PHASE_DELETING:
			return false;
		default:
			return true;
	}
}

static int
rotate_job(const void *input, void *output, Error *err)
{
	return log_rotate_copy(input, output, err);
}

static void machine_read_log_begin(Machine *machine);

static void
machine_log_copied(void *context, int result, const void *output, const Error *err)
{
	Machine *machine = context;
	Error error = *err;
	uint64_t bytes;

	machine->log->rotation = NULL;
	if (result == 0 && !machine_may_rotate(machine))
		log_rotate_give_up(machine->paths.log); /* once more the next time it grows */
	else if (result == 0)
	{
		memcpy(&bytes, output, sizeof(bytes));
		result = log_rotate_finish(machine->paths.log, bytes, machine->engine->settings.log_files, &error);
		machine_read_log_begin(machine);
	}
	if (result < 0)
		log_warning("log not rotated", "machine", machine->label, "reason", error.message);
}

static void
machine_rotate_log(Machine *machine)
{
	JobSpec spec = {.name = "rotate log",
					.function = rotate_job,
					.input = machine->paths.log,
					.output_bytes = sizeof(uint64_t),
					.timeout_ms = ROTATE_TIMEOUT_MS,
					.done = machine_log_copied,
					.context = machine};
	Error error;

	if (machine->log->rotation != NULL || !machine_may_rotate(machine) || !log_can_rotate(machine->paths.log))
		return;
	if (job_start(machine->engine->loop, &spec, &machine->log->rotation, &error) < 0)
		log_warning("log not rotated", "machine", machine->label, "reason", error.message);
}

/* ---- times ---- */

/* The part that the machine writes, without its end. */
static void
machine_log_part(const Machine *machine, LogPart *ret_part)
{
	*ret_part = (LogPart){.begin = machine->log->begin};
	text_copy(ret_part->path, sizeof(ret_part->path), machine->paths.log);
	snprintf(ret_part->times, sizeof(ret_part->times), "%s.times", machine->paths.log);
}

static void
machine_read_log_begin(Machine *machine)
{
	LogParts parts;
	const LogPart *current;
	Error error;

	if (log_parts_read(machine->paths.log, &parts, &error) < 0)
	{
		if (error.code != -ENOENT)
			log_warning("log not found", "machine", machine->label, "reason", error.message);
		return;
	}
	current = &parts.parts[parts.count - 1];
	machine->log->begin = current->begin;
	machine->log->end = log_times_end(current);
	log_parts_clear(&parts);
}

/* Notes that the log has grown. False when it has not. */
static bool
machine_note_log(Machine *machine)
{
	MachineLog *log = machine->log;
	struct stat status;
	LogPart part;
	LogTime time;
	Error error;

	if (stat(machine->paths.log, &status) < 0)
		return false;
	machine_log_part(machine, &part);
	time = (LogTime){.end = log->begin + (uint64_t) status.st_size,
					 .time_ms = (uint64_t) status.st_mtim.tv_sec * 1000 + (uint64_t) status.st_mtim.tv_nsec / 1000000};
	if (time.end == log->end)
		return false;
	if (time.end < log->end) /* the machine has emptied it */
		log_times_forget(&part);
	log->end = time.end;
	if (status.st_size > 0 && log_times_append(&part, &time, &error) < 0)
		log_debug("time of the log not noted", "machine", machine->label, "reason", error.message);
	if ((uint64_t) status.st_size > machine->engine->settings.log_size_bytes)
		machine_rotate_log(machine);
	return true;
}

/* Notes what there is; then waits until there is more, but at least a second if there was something. */
static void
machine_look_at_log(Machine *machine)
{
	MachineLog *log = machine->log;
	int fd = machine->engine->log_watch->fd;

	if (!machine_note_log(machine))
	{
		log->watch = inotify_add_watch(fd, machine->paths.log, IN_MODIFY | IN_ONESHOT);
		if (log->watch < 0 && errno != ENOENT)
			log_warning("log not watched", "machine", machine->label, "reason", strerror(errno));
		/* What came in between has told nobody. */
		if (!machine_note_log(machine))
			return;
	}
	machine_start_timer(log->timer, LOOK_MS);
}

static void
machine_handle_log_timer(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	machine_look_at_log(context);
}

static void
log_watch_handle(evutil_socket_t fd, short what, void *context)
{
	Engine *engine = context;
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t got;

	(void) what;
	while ((got = read(fd, buffer, sizeof(buffer))) > 0)
	{
		const struct inotify_event *event;

		for (const char *at = buffer; at < buffer + got; at += sizeof(*event) + event->len)
		{
			event = (const struct inotify_event *) at;
			for (Machine *machine = engine->machines; (event->mask & IN_MODIFY) != 0 && machine != NULL;
				 machine = machine->next)
			{
				if (machine->log == NULL || machine->log->watch != event->wd)
					continue;
				machine->log->watch = -1;
				machine_note_log(machine);
				machine_start_timer(machine->log->timer, LOOK_MS);
				break;
			}
		}
	}
}

/* ---- begin and end ---- */

static bool
engine_watch_logs(Engine *engine)
{
	int fd;

	if (engine->log_watch != NULL)
		return true;
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd < 0)
	{
		log_warning("logs not watched: they get no times, and are not rotated", "reason", strerror(errno));
		return false;
	}
	engine->log_watch = memory_allocate(sizeof(*engine->log_watch));
	engine->log_watch->fd = fd;
	engine->log_watch->event = event_new(engine->loop, fd, EV_READ | EV_PERSIST, log_watch_handle, engine);
	event_add(engine->log_watch->event, NULL);
	return true;
}

void
engine_unwatch_logs(Engine *engine)
{
	if (engine->log_watch == NULL)
		return;
	event_free(engine->log_watch->event);
	close(engine->log_watch->fd);
	free(engine->log_watch);
	engine->log_watch = NULL;
}

void
machine_watch_log(Machine *machine)
{
	Error error;

	if (!engine_watch_logs(machine->engine))
		return;
	if (machine->log == NULL)
	{
		machine->log = memory_allocate(sizeof(*machine->log));
		*machine->log = (MachineLog){.watch = -1};
		machine->log->timer = evtimer_new(machine->engine->loop, machine_handle_log_timer, machine);
		if (log_rotate_recover(machine->paths.log, &error) < 0)
			log_warning("log not rotated", "machine", machine->label, "reason", error.message);
		machine_read_log_begin(machine);
	}
	if (machine->log->watch < 0 && !evtimer_pending(machine->log->timer, NULL))
		machine_look_at_log(machine);
}

void
machine_unwatch_log(Machine *machine)
{
	MachineLog *log = machine->log;

	if (log == NULL)
		return;
	if (log->watch >= 0 && machine->engine->log_watch != NULL)
		inotify_rm_watch(machine->engine->log_watch->fd, log->watch);
	job_cancel(log->rotation);
	event_free(log->timer);
	free(log);
	machine->log = NULL;
}
