/* How far a backup or a restore is: one line on a terminal's standard error, drawn over again. */
#ifndef CLI_TRANSFER_DISPLAY_H
#define CLI_TRANSFER_DISPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/command.h"

typedef struct TransferDisplay
{
	bool is_shown;
	const char *what;	  /* "Backing up samples/db" */
	uint64_t total_bytes; /* 0: not known */
	uint64_t begin_ns;
	uint64_t next_ns; /* drawn again then */
} TransferDisplay;

/* what: lives as long as the display. Nothing is shown when standard error is no terminal, and with --json. */
void transfer_display_begin(TransferDisplay *display, const CliInvocation *invocation, const char *what,
							uint64_t total_bytes);
void transfer_display_note(TransferDisplay *display, uint64_t bytes);
void transfer_display_end(TransferDisplay *display); /* the line goes */

#endif
