/* Why a machine does not run, for people: its last words, from the end of its log. */
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "engine/engine_private.h"

#define LAST_LINES 10
#define LAST_BYTES 8192

bool
machine_has_failed(const Machine *machine)
{
	bool badly_ended = machine->exit_status > 0;

	switch (machine->phase)
	{
		case PHASE_ERROR:
		case PHASE_RESTARTING:
			return true;
		case PHASE_CREATING:
		case PHASE_BOOTING:
		case PHASE_STOPPED:
			return badly_ended;
		default:
			return false;
	}
}

/* The end of the log, NUL-terminated; empty when there is none. */
static void
log_read_end(const char *path, char text[LAST_BYTES + 1])
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat status;
	ssize_t got = 0;

	if (fd >= 0 && fstat(fd, &status) == 0)
		got = pread(fd, text, LAST_BYTES, status.st_size > LAST_BYTES ? status.st_size - LAST_BYTES : 0);
	text[got > 0 ? got : 0] = '\0';
}

json_t *
machine_last_words_to_json(const Machine *machine)
{
	json_t *lines = json_array();
	char text[LAST_BYTES + 1];
	char *end;
	char *rest = text;
	char *line;

	log_read_end(machine->paths.log, text);
	end = text + strlen(text);
	if (end > text && end[-1] == '\n')
		*--end = '\0';
	for (unsigned found = 0; end > text && found < LAST_LINES; found++)
	{
		rest = memrchr(text, '\n', (size_t) (end - text));
		if (rest == NULL)
			rest = text;
		end = rest;
	}
	rest += rest > text ? 1 : 0;
	while ((line = strsep(&rest, "\n")) != NULL && (*line != '\0' || rest != NULL))
	{
		text_make_printable(line);
		json_array_append_new(lines, json_string(line));
	}
	return lines;
}
