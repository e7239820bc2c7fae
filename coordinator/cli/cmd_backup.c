/* lttle postgres backup */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/backup_file.h"
#include "cli/backup_format.h"
#include "cli/backup_keep.h"
#include "cli/backup_schedule.h"
#include "cli/commands.h"
#include "cli/machine_program.h"
#include "cli/output.h"
#include "cli/transfer_display.h"

/* Where it goes, and what is known of it. */
typedef struct Backup
{
	const CliInvocation *invocation;
	const char *cluster;
	char series[BACKUP_NAME_BYTES];
	BackupFormat format;
	char *path;
	BackupKeep keep; /* of the files in a directory; nothing: all of them */
	BackupFile file;
	int signal_fd;
	TransferDisplay display;
	uint64_t begin_ns;
} Backup;

static const char *
option_text(const CliInvocation *invocation, OptionId option)
{
	return cli_has(invocation, option) ? invocation->values[option] : NULL;
}

/* ---- what was asked for ---- */

/* A file, or in a directory one whose name tells of what and when it is. The caller frees. */
static char *
backup_choose_path(const Backup *backup)
{
	const char *output = option_text(backup->invocation, OPTION_OUTPUT);
	char name[BACKUP_NAME_BYTES];
	struct stat status;

	if (output != NULL && (stat(output, &status) < 0 || !S_ISDIR(status.st_mode)))
		return memory_duplicate(output);
	backup_name_make(backup->series, backup->format, clock_realtime_ms(), name);
	return output == NULL ? memory_duplicate(name) : memory_printf("%s/%s", output, name);
}

static int
backup_read_options(Backup *backup)
{
	const char *output = option_text(backup->invocation, OPTION_OUTPUT);
	struct stat status;
	bool in_directory = output == NULL || (stat(output, &status) == 0 && S_ISDIR(status.st_mode));
	int code = backup_format_read(backup->invocation, &backup->format);

	backup_series_make(backup->invocation, backup->cluster, backup->series);
	if (code == EXIT_CODE_OK)
		code = backup_keep_read(backup->invocation, &backup->keep);
	if (code == EXIT_CODE_OK && backup_keep_is_set(&backup->keep) && !in_directory)
	{
		output_complain("--keep and --keep-for count the backups of a directory: --output must be one");
		return EXIT_CODE_USAGE;
	}
	if (code == EXIT_CODE_OK)
		backup->path = backup_choose_path(backup);
	return code;
}

/* ---- taking it ---- */

static int
backup_write(void *context, const void *bytes, size_t size, Error *err)
{
	Backup *backup = context;
	int result = backup_file_write(&backup->file, bytes, size, err);

	transfer_display_note(&backup->display, backup->file.bytes);
	return result;
}

static int
backup_dump(Backup *backup, MachineProgramEnd *ret_end)
{
	const char *const argv[] = {"pg_dump", backup->format == BACKUP_CUSTOM ? "--format=custom" : "--format=plain",
								"--no-password", NULL};
	const MachineProgram program = {.invocation = backup->invocation,
									.machine = backup->cluster,
									.database = option_text(backup->invocation, OPTION_DATABASE),
									.argv = argv,
									.signal_fd = backup->signal_fd,
									.input_fd = -1,
									.write = backup_write,
									.context = backup};

	return machine_program_run(&program, ret_end);
}

/* What was written is whole: the disk has it, and PostgreSQL finds in it what belongs there. */
static int
backup_check(Backup *backup, MachineProgramEnd *end)
{
	const BackupSource source = {.invocation = backup->invocation,
								 .cluster = backup->cluster,
								 .path = backup->path,
								 .fd = backup->file.fd,
								 .bytes = backup->file.bytes,
								 .format = backup->format,
								 .signal_fd = backup->signal_fd};
	Error error;

	if (backup_file_sync(&backup->file, &error) < 0)
	{
		output_complain("%s", error.message);
		return EXIT_CODE_FAILURE;
	}
	return backup_source_check(&source, BACKUP_CHECK_LIST, end);
}

/* Dumps, checks and gives the file its name. */
static int
backup_take(Backup *backup, MachineProgramEnd *end)
{
	Error error;
	int code = backup_dump(backup, end);

	transfer_display_end(&backup->display);
	if (code != EXIT_CODE_OK || end->signal_number != 0)
		return code;
	if (end->status != 0)
	{
		output_complain("%s/%s: nothing was written: pg_dump has failed (exit status %d)",
						cli_namespace(backup->invocation), backup->cluster, end->status);
		machine_program_print_errors(end);
		return EXIT_CODE_FAILURE;
	}
	machine_program_print_errors(end); /* warnings */
	machine_program_end_clear(end);
	code = backup_check(backup, end);
	if (code != EXIT_CODE_OK || end->signal_number != 0)
		return code;
	if (backup_file_commit(&backup->file, &error) == 0)
		return EXIT_CODE_OK;
	output_complain("%s", error.message);
	return EXIT_CODE_FAILURE;
}

static void
backup_tell(const Backup *backup)
{
	char size[OUTPUT_TEXT_BYTES];
	json_t *told;

	output_format_bytes((double) backup->file.bytes, size);
	if (!cli_has(backup->invocation, OPTION_JSON))
	{
		output_succeed("Backed up %s/%s: %s (%s)", cli_namespace(backup->invocation), backup->cluster, backup->path,
					   size);
		return;
	}
	told = json_pack("{s:s, s:s, s:I, s:I}", "file", backup->path, "format", backup_format_name(backup->format),
					 "bytes", (json_int_t) backup->file.bytes, "took-ms",
					 (json_int_t) ((clock_monotonic_ns() - backup->begin_ns) / NS_PER_MS));
	output_json(told);
	json_decref(told);
}

/* The file open, which can fail without waking anybody, and the machine awake. */
static int
backup_prepare(Backup *backup)
{
	Error error;

	if (backup_file_open(backup->path, &backup->file, &error) == 0)
		return machine_program_wake(backup->invocation, backup->cluster);
	output_complain("%s", error.message);
	return EXIT_CODE_FAILURE;
}

static int
backup_keep(const Backup *backup)
{
	Error error;

	if (backup_keep_apply(&backup->keep, backup->path, backup->series, &error) == 0)
		return EXIT_CODE_OK;
	output_complain("an old backup was not removed: %s", error.message);
	return EXIT_CODE_FAILURE;
}

static int
backup_run(Backup *backup)
{
	_cleanup_free_ char *what = memory_printf("Backing up %s/%s", cli_namespace(backup->invocation), backup->cluster);
	MachineProgramEnd end = {0};
	sigset_t before;
	int signal_number;
	int code;

	backup->begin_ns = clock_monotonic_ns();
	backup->signal_fd = exec_relay_open_signals(&before);
	code = backup_prepare(backup);
	if (code == EXIT_CODE_OK)
	{
		transfer_display_begin(&backup->display, backup->invocation, what, 0);
		code = backup_take(backup, &end);
		transfer_display_end(&backup->display);
	}
	signal_number = end.signal_number;
	machine_program_end_clear(&end);
	if (code == EXIT_CODE_OK && signal_number == 0)
	{
		backup_tell(backup);
		code = backup_keep(backup);
	}
	backup_file_clear(&backup->file);
	close(backup->signal_fd);
	return signal_number == 0 ? code : exec_relay_die_of(signal_number, &before);
}

int
run_postgres_backup(const CliInvocation *invocation)
{
	Backup backup = {.invocation = invocation, .cluster = invocation->arguments[0], .file = BACKUP_FILE_NONE};
	int code;

	if (cli_has(invocation, OPTION_SCHEDULE))
		return backup_schedule_set(invocation);
	code = backup_read_options(&backup);
	if (code == EXIT_CODE_OK)
		code = backup_run(&backup);
	free(backup.path);
	return code;
}
