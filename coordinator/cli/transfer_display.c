/* The progress of a backup or a restore; see transfer_display.h. */
#include "cli/transfer_display.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/output.h"

#define DRAW_INTERVAL_MS 200

void
transfer_display_begin(TransferDisplay *display, const CliInvocation *invocation, const char *what,
					   uint64_t total_bytes)
{
	const char *terminal = getenv("TERM");

	*display = (TransferDisplay){.is_shown = !cli_has(invocation, OPTION_JSON) && isatty(STDERR_FILENO) &&
											 terminal != NULL && strcmp(terminal, "dumb") != 0,
								 .what = what,
								 .total_bytes = total_bytes,
								 .begin_ns = clock_monotonic_ns()};
	if (display->is_shown)
		fprintf(stderr, "\r\033[K%s …", what);
}

void
transfer_display_note(TransferDisplay *display, uint64_t bytes)
{
	uint64_t now_ns = clock_monotonic_ns();
	double seconds = (double) (now_ns - display->begin_ns) / 1e9;
	char done[OUTPUT_TEXT_BYTES];
	char speed[OUTPUT_TEXT_BYTES];

	if (!display->is_shown || now_ns < display->next_ns)
		return;
	display->next_ns = now_ns + DRAW_INTERVAL_MS * NS_PER_MS;
	output_format_bytes((double) bytes, done);
	output_format_bytes(seconds > 0 ? (double) bytes / seconds : 0, speed);
	fprintf(stderr, "\r\033[K%s: %s", display->what, done);
	if (display->total_bytes > 0)
		fprintf(stderr, ", %.0f %%", 100.0 * (double) bytes / (double) display->total_bytes);
	fprintf(stderr, ", %s/s", speed);
}

void
transfer_display_end(TransferDisplay *display)
{
	if (display->is_shown)
		fprintf(stderr, "\r\033[K");
	display->is_shown = false;
}
