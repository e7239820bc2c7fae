/*
 * The first start of a machine that was given init scripts: they are put into its root, and one that fails ends the
 * deployment, because trying the same again and again would fail the same way. Whether a machine has ever been ready is
 * a file in its directory.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "engine/script_error.h"
#include "host/init_scripts.h"

#define LAST_BYTES 8192

static void
first_start_path(const Machine *machine, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/started-once", machine->paths.directory);
}

bool
machine_has_started_once(const Machine *machine)
{
	char path[PATH_MAX];

	first_start_path(machine, path);
	return machine->started_once || access(path, F_OK) == 0;
}

void
machine_note_started_once(Machine *machine)
{
	_cleanup_fd_ int fd = -1;
	char path[PATH_MAX];

	if (machine->started_once)
		return;
	machine->started_once = true;
	first_start_path(machine, path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		log_warning("its first start was not noted", "machine", machine->label, "path", path);
}

int
machine_install_init_scripts(const Machine *machine, Error *err)
{
	_cleanup_free_ char *kept = memory_printf("%s/init-scripts", machine->paths.directory);
	const InitScripts scripts = {.sources = (const char *const *) machine->spec.init_scripts,
								 .kept = kept,
								 .root = machine->rootfs.merged,
								 .may_be_gone = machine_has_started_once(machine)};

	return machine->spec.init_scripts == NULL ? 0 : init_scripts_install(&scripts, err);
}

/* The end of the log; it has the starts before this one, too. */
static void
find_script_error(const Machine *machine, char *message, size_t size)
{
	_cleanup_fd_ int fd = open(machine->paths.log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	char text[LAST_BYTES + 1];
	struct stat status;
	ssize_t got = 0;

	if (fd >= 0 && fstat(fd, &status) == 0)
		got = pread(fd, text, LAST_BYTES, status.st_size > LAST_BYTES ? status.st_size - LAST_BYTES : 0);
	text[got > 0 ? got : 0] = '\0';
	script_error_find(text, WEXITSTATUS(machine->exit_status), message, size);
}

void
machine_settle_first_start(Machine *machine)
{
	char message[400];

	machine->facts.first_start_failed = machine->phase == PHASE_BOOTING && machine->spec.init_scripts != NULL &&
										machine->exit_status > 0 && WIFEXITED(machine->exit_status) &&
										!machine_has_started_once(machine);
	if (!machine->facts.first_start_failed)
		return;
	find_script_error(machine, message, sizeof(message));
	snprintf(machine->last_error, sizeof(machine->last_error), "its first start has failed: %s", message);
}
