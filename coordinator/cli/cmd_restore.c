/*
 * lttle postgres restore. All of it is one transaction: what fails changes nothing. Whether a file in SQL has come to
 * its end is not left to the end of its bytes, which a client that is killed brings about as well: only what is said
 * behind it commits.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/backup_format.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/machine_program.h"
#include "cli/output.h"
#include "cli/transfer_display.h"

typedef struct Restore
{
	const CliInvocation *invocation;
	BackupSource source;
	const char *before; /* what is sent ahead of the file … */
	char behind[128];	/* … and behind it; both empty for an archive */
	char token[40];		/* what psql says when it has come so far */
	size_t before_at;
	size_t behind_at;
	uint64_t sent_bytes;
	TransferDisplay display;
	uint64_t begin_ns;
} Restore;

static int
restore_complain(const Error *error)
{
	output_complain("%s", error->message);
	return EXIT_CODE_FAILURE;
}

/* ---- the file ---- */

static int
restore_open(Restore *restore)
{
	BackupSource *source = &restore->source;
	struct stat status;
	Error error;

	source->fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (source->fd < 0 || fstat(source->fd, &status) < 0)
	{
		error_set_errno(&error, errno, "%s", source->path);
		return restore_complain(&error);
	}
	source->bytes = (uint64_t) status.st_size;
	if (!S_ISREG(status.st_mode))
		error_set(&error, -EINVAL, "%s: is no file", source->path);
	else if (status.st_size == 0)
		error_set(&error, -EINVAL, "%s: is empty", source->path);
	else if (backup_source_find_format(source, &error) == 0)
		return EXIT_CODE_OK;
	return restore_complain(&error);
}

static void
restore_plan_plain(Restore *restore)
{
	unsigned char random[16];

	if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random))
		abort();
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(restore->token + 2 * i, 3, "%02x", random[i]);
	restore->before = "BEGIN; ";
	snprintf(restore->behind, sizeof(restore->behind), "\n;COMMIT;\n\\echo %s\n", restore->token);
}

static size_t
take_text(const char *text, size_t *at, void *bytes, size_t size)
{
	size_t left = strlen(text) - *at;
	size_t taken = left < size ? left : size;

	memcpy(bytes, text + *at, taken);
	*at += taken;
	return taken;
}

static ssize_t
restore_read(void *context, void *bytes, size_t size, Error *err)
{
	Restore *restore = context;
	size_t taken = take_text(restore->before, &restore->before_at, bytes, size);
	ssize_t got;

	if (taken > 0)
		return (ssize_t) taken;
	got = read(restore->source.fd, bytes, size);
	if (got < 0)
		return error_set_errno(err, errno, "%s", restore->source.path);
	restore->sent_bytes += (uint64_t) got;
	transfer_display_note(&restore->display, restore->sent_bytes);
	if (got > 0)
		return got;
	if (restore->sent_bytes < restore->source.bytes)
		return error_set(err, -EIO, "%s: has become shorter meanwhile", restore->source.path);
	return (ssize_t) take_text(restore->behind, &restore->behind_at, bytes, size);
}

/* ---- the restore ---- */

/* Enough for every program below. */
typedef struct Arguments
{
	const char *words[12];
	size_t count;
} Arguments;

static void
add(Arguments *arguments, const char *word)
{
	arguments->words[arguments->count++] = word;
}

static void
restore_choose_program(const Restore *restore, Arguments *arguments)
{
	const CliInvocation *invocation = restore->invocation;

	if (restore->source.format == BACKUP_PLAIN)
	{
		add(arguments, "psql");
		add(arguments, "--no-psqlrc");
		add(arguments, "--quiet");
		add(arguments, "--no-password");
		add(arguments, "--set=ON_ERROR_STOP=1");
		add(arguments, "--file=-");
		return;
	}
	add(arguments, "pg_restore");
	add(arguments, "--single-transaction");
	add(arguments, "--exit-on-error");
	add(arguments, "--no-password");
	add(arguments, "--dbname="); /* as the environment says */
	if (cli_has(invocation, OPTION_CLEAN))
	{
		add(arguments, "--clean");
		add(arguments, "--if-exists");
	}
	if (cli_has(invocation, OPTION_NO_OWNER))
	{
		add(arguments, "--no-owner");
		add(arguments, "--no-privileges");
	}
}

static int
restore_put(Restore *restore, MachineProgramEnd *ret_end)
{
	Arguments arguments = {0};
	const MachineProgram program = {
		.invocation = restore->invocation,
		.machine = restore->source.cluster,
		.database = cli_has(restore->invocation, OPTION_DATABASE) ? restore->invocation->values[OPTION_DATABASE] : NULL,
		.argv = arguments.words,
		.signal_fd = restore->source.signal_fd,
		.input_fd = restore->source.fd,
		.read = restore_read,
		.context = restore};

	restore_choose_program(restore, &arguments);
	if (lseek(restore->source.fd, 0, SEEK_SET) < 0)
	{
		output_complain("%s: %s", restore->source.path, strerror(errno));
		return EXIT_CODE_FAILURE;
	}
	return machine_program_run(&program, ret_end);
}

static int
restore_judge(const Restore *restore, MachineProgramEnd *end)
{
	bool is_plain = restore->source.format == BACKUP_PLAIN;

	if (end->status == 0 && (!is_plain || strstr(text_string(&end->output), restore->token) != NULL))
	{
		machine_program_print_errors(end); /* notices */
		return EXIT_CODE_OK;
	}
	output_complain("%s/%s: nothing was restored, everything is as it was: %s has failed%s",
					cli_namespace(restore->invocation), restore->source.cluster, is_plain ? "psql" : "pg_restore",
					!is_plain && !cli_has(restore->invocation, OPTION_CLEAN) &&
							strstr(text_string(&end->errors), "already exists") != NULL
						? " (--clean drops first what the backup holds)"
						: "");
	machine_program_print_errors(end);
	return EXIT_CODE_FAILURE;
}

static int
restore_all(Restore *restore, MachineProgramEnd *end)
{
	int code = machine_program_wake(restore->invocation, restore->source.cluster);

	if (code == EXIT_CODE_OK)
		code = backup_source_check(&restore->source, BACKUP_CHECK_ALL, end);
	if (code != EXIT_CODE_OK || end->signal_number != 0)
		return code;
	machine_program_end_clear(end);
	code = restore_put(restore, end);
	transfer_display_end(&restore->display);
	return code != EXIT_CODE_OK || end->signal_number != 0 ? code : restore_judge(restore, end);
}

static void
restore_tell(const Restore *restore)
{
	char size[OUTPUT_TEXT_BYTES];
	json_t *told;

	output_format_bytes((double) restore->source.bytes, size);
	if (!cli_has(restore->invocation, OPTION_JSON))
	{
		output_succeed("Restored %s/%s from %s (%s)", cli_namespace(restore->invocation), restore->source.cluster,
					   restore->source.path, size);
		return;
	}
	told = json_pack("{s:s, s:s, s:I, s:I}", "file", restore->source.path, "format",
					 backup_format_name(restore->source.format), "bytes", (json_int_t) restore->source.bytes, "took-ms",
					 (json_int_t) ((clock_monotonic_ns() - restore->begin_ns) / NS_PER_MS));
	output_json(told);
	json_decref(told);
}

static int
restore_run(Restore *restore)
{
	_cleanup_free_ char *what =
		memory_printf("Restoring %s/%s", cli_namespace(restore->invocation), restore->source.cluster);
	MachineProgramEnd end = {0};
	sigset_t before;
	int signal_number;
	int code;

	restore->begin_ns = clock_monotonic_ns();
	restore->source.signal_fd = exec_relay_open_signals(&before);
	transfer_display_begin(&restore->display, restore->invocation, what, restore->source.bytes);
	code = restore_all(restore, &end);
	transfer_display_end(&restore->display);
	signal_number = end.signal_number;
	machine_program_end_clear(&end);
	close(restore->source.signal_fd);
	if (signal_number != 0)
		return exec_relay_die_of(signal_number, &before);
	if (code == EXIT_CODE_OK)
		restore_tell(restore);
	return code;
}

/* What asks for more than there is to do with SQL, or takes something away. */
static int
restore_check_options(const Restore *restore)
{
	const CliInvocation *invocation = restore->invocation;

	if (restore->source.format == BACKUP_PLAIN &&
		(cli_has(invocation, OPTION_CLEAN) || cli_has(invocation, OPTION_NO_OWNER)))
	{
		output_complain("%s: is SQL, which is run as it is; --clean and --no-owner are for the custom format",
						restore->source.path);
		return EXIT_CODE_USAGE;
	}
	if (!cli_has(invocation, OPTION_CLEAN))
		return EXIT_CODE_OK;
	return confirm(invocation, "Drop from %s/%s what %s holds, and restore it?", cli_namespace(invocation),
				   restore->source.cluster, restore->source.path);
}

int
run_postgres_restore(const CliInvocation *invocation)
{
	Restore restore = {.invocation = invocation,
					   .source = {.invocation = invocation,
								  .cluster = invocation->arguments[0],
								  .path = invocation->arguments[1],
								  .fd = -1},
					   .before = ""};
	int code = restore_open(&restore);

	if (code == EXIT_CODE_OK && restore.source.format == BACKUP_PLAIN)
		restore_plan_plain(&restore);
	if (code == EXIT_CODE_OK)
		code = restore_check_options(&restore);
	if (code == EXIT_CODE_OK)
		code = restore_run(&restore);
	if (restore.source.fd >= 0)
		close(restore.source.fd);
	return code;
}
