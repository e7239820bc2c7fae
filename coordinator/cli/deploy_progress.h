/* How far the machines of a deploy are, on standard error; and the state of deploy_watch.c that it shows. */
#ifndef CLI_DEPLOY_PROGRESS_H
#define CLI_DEPLOY_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/command.h"

struct json_t;

typedef enum WatchState
{
	WATCH_WAITING,
	WATCH_DONE, /* ready, asleep, or ended well */
	WATCH_FAILED
} WatchState;

typedef struct WatchedMachine
{
	struct json_t *result; /* borrowed, as are the names */
	const char *name_space;
	const char *name;
	WatchState state;
	char phase[24]; /* empty: not known yet */
	char reason[160];
	char shown[24];		/* the phase that was shown last */
	uint64_t since_ns;	/* of the phase, as we have heard */
	uint64_t booted_ms; /* when its first process began, milliseconds of the epoch; 0: not known */
	uint64_t steady_ms; /* it is ready, and counts as that from then on; 0: it is not */
	unsigned restarts;
} WatchedMachine;

typedef struct DeployWatch
{
	const CliInvocation *invocation;
	WatchedMachine *machines;
	size_t count;
	size_t waiting;
	size_t failed;
	uint64_t begin_ns;
	bool is_display;
	unsigned drawn; /* rows of the display that stand on the terminal */
} DeployWatch;

void deploy_progress_begin(DeployWatch *watch);
/* The machine is in another phase: a line, where there is no display. */
void deploy_progress_note(const DeployWatch *watch, WatchedMachine *machine);
void deploy_progress_draw(DeployWatch *watch);
/* Takes the display away. */
void deploy_progress_end(DeployWatch *watch);

#endif
