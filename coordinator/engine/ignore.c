/*
 * Sessions that don't count: which they are is told to the machine by a file in its run directory, that the extension
 * reads when a session begins (extension/ignore.h), and a machine that only they have woken goes back to sleep at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"

/* How long it stays after the last of their statements: pollers tend to ask more than one thing. */
#define GRACE_MS		  100
#define SHORTEST_LOOK_MS  50
#define IGNORED_MAX_BYTES ((size_t) 65536)

static void
append_names(Text *text, const char *word, char *const names[])
{
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
	{
		/* No user or application can be told apart from the next line then, so it counts like any other. */
		if (strchr(names[i], '\n') == NULL)
			text_printf(text, "%s %s\n", word, names[i]);
	}
}

static bool
machine_ignores(const Machine *machine)
{
	const EngineService *service = NULL;

	while ((service = machine_next_service(machine, service)) != NULL)
	{
		if (service->spec.tracking.ignored_users != NULL || service->spec.tracking.ignored_applications != NULL)
			return true;
	}
	return false;
}

/* Aside and renamed, without a sync: nothing of it is to outlive the host's reboot. */
static int
write_aside(const char *path, const Text *text, Error *err)
{
	_cleanup_free_ char *next = memory_printf("%s.new", path);
	_cleanup_fd_ int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0 || fchmod(fd, 0644) < 0 || write(fd, text_string(text), text->length) != (ssize_t) text->length)
		return error_set_errno(err, errno, "%s", next);
	return rename(next, path) < 0 ? error_set_errno(err, errno, "%s", path) : 0;
}

void
machine_write_ignored(const Machine *machine)
{
	_cleanup_free_ char *path = memory_printf("%s/ignore", machine->paths.run_directory);
	_cleanup_free_ char *before = NULL;
	_cleanup_text_ Text text = {0};
	const EngineService *service = NULL;
	struct stat status;
	Error error;

	if (stat(machine->paths.run_directory, &status) < 0)
		return; /* it is written when the machine is made */
	while ((service = machine_next_service(machine, service)) != NULL)
	{
		append_names(&text, "user", service->spec.tracking.ignored_users);
		append_names(&text, "application", service->spec.tracking.ignored_applications);
	}
	if (file_read(path, IGNORED_MAX_BYTES, &before, NULL, NULL) < 0)
		before = memory_duplicate("");
	if (strcmp(before, text_string(&text)) != 0 && write_aside(path, &text, &error) < 0)
		log_warning("ignored sessions not told", "machine", machine->label, "reason", error.message);
}

/* Only those that don't count have done anything since a client has woken it. */
static bool
machine_is_awake_for_ignored(const Machine *machine, const ActivityVerdict *verdict)
{
	return machine->client_wake_ns > 0 && machine->awake_since_ns >= machine->client_wake_ns &&
		   machine->awake_since_ns == machine->client_awake_ns && verdict->idle_since_ns < machine->client_wake_ns;
}

uint64_t
machine_ignored_due_ns(const Machine *machine, const ActivityVerdict *verdict)
{
	if (!machine_is_awake_for_ignored(machine, verdict) || verdict->ignored_since_ns < machine->client_wake_ns)
		return 0;
	return verdict->ignored_since_ns + GRACE_MS * NS_PER_MS;
}

void
machine_note_client_wake(Machine *machine, uint64_t begin_ns)
{
	machine->client_wake_ns = machine_ignores(machine) ? begin_ns : 0;
	machine->client_awake_ns = machine->awake_since_ns;
	if (machine->client_wake_ns > 0)
		machine_start_timer(machine->idle_timer, SHORTEST_LOOK_MS);
}

/* A statement of theirs tells nobody when it ends. The looks become rarer the longer it takes: half as long again. */
uint64_t
machine_ignored_look_ms(const Machine *machine, const ActivityVerdict *verdict, uint64_t delay_ms)
{
	uint64_t awake_ms;
	uint64_t look_ms;

	if (!machine_is_awake_for_ignored(machine, verdict) && !verdict->only_ignored)
		return delay_ms;
	awake_ms = (clock_monotonic_ns() - machine->awake_since_ns) / NS_PER_MS;
	look_ms = awake_ms / 2 > SHORTEST_LOOK_MS ? awake_ms / 2 : SHORTEST_LOOK_MS;
	return look_ms < delay_ms ? look_ms : delay_ms;
}
