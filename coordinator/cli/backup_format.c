/* Formats of backups; see backup_format.h. */
#include "cli/backup_format.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/output.h"
#include "model/spec.h"

#define ARCHIVE_MAGIC "PGDMP"
#define DUMP_BEGIN	  "-- PostgreSQL database dump"
#define DUMP_END	  "-- PostgreSQL database dump complete"

/* The last lines of a dump in SQL; behind DUMP_END newer ones have a line \unrestrict with a random word. */
#define END_BYTES 1024

static const char *const format_names[] = {[BACKUP_CUSTOM] = "custom", [BACKUP_PLAIN] = "plain"};
static const char *const endings[] = {[BACKUP_CUSTOM] = ".dump", [BACKUP_PLAIN] = ".sql"};

int
backup_format_read(const CliInvocation *invocation, BackupFormat *ret_format)
{
	const char *word = cli_has(invocation, OPTION_FORMAT) ? invocation->values[OPTION_FORMAT] : "custom";

	for (size_t i = 0; i < sizeof(format_names) / sizeof(format_names[0]); i++)
	{
		if (strcmp(word, format_names[i]) != 0)
			continue;
		*ret_format = (BackupFormat) i;
		return EXIT_CODE_OK;
	}
	output_complain("--format %s: must be custom or plain", word);
	return EXIT_CODE_USAGE;
}

const char *
backup_format_name(BackupFormat format)
{
	return format_names[format];
}

/* ---- names ---- */

void
backup_series_make(const CliInvocation *invocation, const char *cluster, char ret_series[BACKUP_NAME_BYTES])
{
	const char *database = cli_has(invocation, OPTION_DATABASE) ? invocation->values[OPTION_DATABASE] : NULL;
	char safe[NAME_MAX_BYTES + 2] = "";

	/* A database may be called anything; a file may not. */
	for (size_t i = 0; database != NULL && database[i] != '\0' && i < NAME_MAX_BYTES; i++)
	{
		safe[0] = '.';
		safe[i + 1] = '_';
		if (isalnum((unsigned char) database[i]) || database[i] == '-')
			safe[i + 1] = database[i];
	}
	snprintf(ret_series, BACKUP_NAME_BYTES, "%.63s.%.63s%s", cli_namespace(invocation), cluster, safe);
}

void
backup_name_make(const char *series, BackupFormat format, uint64_t epoch_ms, char ret_name[BACKUP_NAME_BYTES])
{
	time_t seconds = (time_t) (epoch_ms / 1000);
	struct tm when;
	char stamp[32];

	gmtime_r(&seconds, &when);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &when);
	snprintf(ret_name, BACKUP_NAME_BYTES, "%.220s-%s%s", series, stamp, endings[format]);
}

bool
backup_name_read(const char *name, const char *series, uint64_t *ret_epoch_ms)
{
	size_t length = strlen(series);
	struct tm when = {0};
	const char *rest;

	if (strncmp(name, series, length) != 0)
		return false;
	rest = strptime(name + length, "-%Y%m%dT%H%M%SZ", &when);
	if (rest == NULL || (strcmp(rest, endings[BACKUP_CUSTOM]) != 0 && strcmp(rest, endings[BACKUP_PLAIN]) != 0))
		return false;
	*ret_epoch_ms = (uint64_t) timegm(&when) * 1000;
	return true;
}

/* ---- whether one is whole ---- */

int
backup_source_find_format(BackupSource *source, Error *err)
{
	static const struct
	{
		const char *magic;
		size_t bytes;
		const char *program;
	} packed[] = {{"\x1f\x8b", 2, "gzip -d"},
				  {"\x28\xb5\x2f\xfd", 4, "zstd -d"},
				  {"\xfd"
				   "7zXZ",
				   5, "xz -d"}};
	char begin[8] = "";

	if (pread(source->fd, begin, sizeof(begin) - 1, 0) < 0)
		return error_set_errno(err, errno, "%s", source->path);
	for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++)
	{
		if (memcmp(begin, packed[i].magic, packed[i].bytes) == 0)
			return error_set(err, -EINVAL, "%s: is packed; unpack it first: %s", source->path, packed[i].program);
	}
	source->format = strncmp(begin, ARCHIVE_MAGIC, strlen(ARCHIVE_MAGIC)) == 0 ? BACKUP_CUSTOM : BACKUP_PLAIN;
	return 0;
}

/* Of SQL that pg_dump has not written nothing can be said. */
static int
check_plain(const BackupSource *source)
{
	char begin[64] = "";
	char end[END_BYTES + 1] = "";
	off_t at = source->bytes > END_BYTES ? (off_t) (source->bytes - END_BYTES) : 0;
	ssize_t got = pread(source->fd, begin, sizeof(begin) - 1, 0);
	ssize_t got_end = pread(source->fd, end, END_BYTES, at);

	if (got < 0 || got_end < 0)
	{
		output_complain("%s: %s", source->path, strerror(errno));
		return EXIT_CODE_FAILURE;
	}
	if (memmem(begin, (size_t) got, DUMP_BEGIN, strlen(DUMP_BEGIN)) == NULL ||
		memmem(end, (size_t) got_end, DUMP_END, strlen(DUMP_END)) != NULL)
		return EXIT_CODE_OK;
	output_complain("%s: is damaged: its end is missing (\"%s\")", source->path, DUMP_END);
	return EXIT_CODE_FAILURE;
}

static ssize_t
source_read(void *context, void *bytes, size_t size, Error *err)
{
	const BackupSource *source = context;
	ssize_t got = read(source->fd, bytes, size);

	return got < 0 ? error_set_errno(err, errno, "%s", source->path) : got;
}

int
backup_source_check(const BackupSource *source, BackupCheck check, MachineProgramEnd *ret_end)
{
	/* To nowhere: it reads and unpacks everything. */
	static const char *const all[] = {"pg_restore", "--file=/dev/null", NULL};
	static const char *const list[] = {"pg_restore", "--list", NULL};
	const MachineProgram program = {.invocation = source->invocation,
									.machine = source->cluster,
									.argv = check == BACKUP_CHECK_ALL ? all : list,
									.signal_fd = source->signal_fd,
									.input_fd = source->fd,
									.read = source_read,
									.context = (void *) source};
	int code;

	*ret_end = (MachineProgramEnd){0};
	if (source->format == BACKUP_PLAIN)
		return check_plain(source);
	if (lseek(source->fd, 0, SEEK_SET) < 0)
	{
		output_complain("%s: %s", source->path, strerror(errno));
		return EXIT_CODE_FAILURE;
	}
	code = machine_program_run(&program, ret_end);
	if (code != EXIT_CODE_OK || ret_end->signal_number != 0 || ret_end->status == 0)
		return code;
	output_complain("%s: is damaged, or no backup: pg_restore cannot read it", source->path);
	machine_program_print_errors(ret_end);
	return EXIT_CODE_FAILURE;
}
