/*
 * How far the machines of a deploy are; see deploy_progress.h. On a terminal some rows that are drawn over again: a
 * line that counts, then those that are on their way, as many as fit; who waits for its turn comes last.
 */
#include "cli/deploy_progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/output.h"
#include "cli/terminal.h"

#define MOST_ROWS	 20
#define MOST_COLUMNS 240

void
deploy_progress_begin(DeployWatch *watch)
{
	const char *terminal = getenv("TERM");

	watch->is_display = !cli_has(watch->invocation, OPTION_JSON) && isatty(STDERR_FILENO) && terminal != NULL &&
						strcmp(terminal, "dumb") != 0;
}

void
deploy_progress_note(const DeployWatch *watch, WatchedMachine *machine)
{
	bool is_first = machine->shown[0] == '\0';

	if (cli_has(watch->invocation, OPTION_JSON) || watch->is_display || strcmp(machine->shown, machine->phase) == 0)
		return;
	text_copy(machine->shown, sizeof(machine->shown), machine->phase);
	if (is_first && machine->state == WATCH_DONE) /* as it was before */
		return;
	text_make_printable(machine->reason);
	fprintf(stderr, "%s/%s: %s, %s\n", machine->name_space, machine->name, machine->phase, machine->reason);
}

/* Cuts a line to the terminal's width, a column a character, and draws it over what stands there. */
static void
progress_draw_row(DeployWatch *watch, unsigned columns, char *row)
{
	unsigned width = 0;
	char *at = row;

	text_make_printable(row);
	for (; *at != '\0'; at++)
	{
		if (((unsigned char) *at & 0xc0) != 0x80 && ++width >= columns)
			break;
	}
	*at = '\0';
	fprintf(stderr, "\r\033[K%s\n", row);
	watch->drawn++;
}

static void
progress_draw_machine(DeployWatch *watch, unsigned columns, const WatchedMachine *machine)
{
	char age[OUTPUT_TEXT_BYTES];
	char label[64];
	char row[MOST_COLUMNS * 2];

	output_format_age((double) (clock_monotonic_ns() - machine->since_ns) / NS_PER_MS, age);
	snprintf(label, sizeof(label), "%s/%s", machine->name_space, machine->name);
	snprintf(row, sizeof(row), "  %-28s  %-13s  %6s  %s", label, machine->phase, age, machine->reason);
	progress_draw_row(watch, columns, row);
}

/* Not yet begun, because others are before it. */
static bool
progress_is_queued(const WatchedMachine *machine)
{
	return strcmp(machine->phase, "creating") == 0 || strcmp(machine->phase, "waiting") == 0;
}

void
deploy_progress_draw(DeployWatch *watch)
{
	FrameSize size = terminal_size();
	unsigned most = size.rows > 4 && size.rows - 2 < MOST_ROWS ? size.rows - 2u : MOST_ROWS;
	unsigned columns = size.columns > 20 && size.columns < MOST_COLUMNS ? size.columns : 80;
	char age[OUTPUT_TEXT_BYTES];
	char row[MOST_COLUMNS * 2];
	unsigned before = watch->drawn;

	if (!watch->is_display)
		return;
	if (before > 0)
		fprintf(stderr, "\033[%uA", before);
	watch->drawn = 0;
	output_format_age((double) (clock_monotonic_ns() - watch->begin_ns) / NS_PER_MS, age);
	snprintf(row, sizeof(row), "Deploying: %zu of %zu ready, %zu failed  %s",
			 watch->count - watch->waiting - watch->failed, watch->count, watch->failed, age);
	progress_draw_row(watch, columns, row);
	for (unsigned queued = 0; queued < 2; queued++)
	{
		for (size_t i = 0; i < watch->count && watch->drawn < most; i++)
		{
			const WatchedMachine *machine = &watch->machines[i];

			if (machine->state == WATCH_WAITING && progress_is_queued(machine) == (queued == 1))
				progress_draw_machine(watch, columns, machine);
		}
	}
	fputs("\033[J", stderr); /* rows that there were more before */
	fflush(stderr);
}

void
deploy_progress_end(DeployWatch *watch)
{
	if (watch->drawn > 0)
		fprintf(stderr, "\033[%uA\r\033[J", watch->drawn);
	watch->drawn = 0;
	watch->is_display = false;
	fflush(stderr);
}
