/*
 * A program that works for the coordinator all the time and outlives it, as machines do: dnsmasq, HAProxy. Started in
 * the background, watched, started again with growing delays when it ends. What runs is on record in a file, so that
 * the next coordinator takes it over where it was started with the same arguments, and ends it first where it was not.
 */
#ifndef HOST_HELPER_H
#define HOST_HELPER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct event_base;

typedef struct Helper Helper;

typedef struct HelperSpec
{
	struct event_base *loop;
	const char *record_path; /* "<run>/dnsmasq.pid": PID and start time, then the arguments */
	const char *const *argv; /* NULL-terminated, copied; argv[0] is looked up in PATH */
	uint64_t shortest_ms;	 /* the first delay before it is started again; doubled each time */
	uint64_t longest_ms;	 /* and at most this; who has run for so long begins anew with the first */
	/* In the loop. It has ended, or could not be started: why, for people, and when it is tried again. */
	void (*ended)(void *context, const char *why, uint64_t again_ms);
	void *context;
} HelperSpec;

/* Takes over or starts the program. What goes wrong then is told by `ended`, never here. */
Helper *helper_open(const HelperSpec *spec);

/* The process; 0 while none runs. */
pid_t helper_pid(const Helper *helper);

/* Sends a signal, to make it read its files anew. Nothing when none runs: it reads them when it starts. */
void helper_signal(const Helper *helper, int number);

/* Ends the program in order (SIGTERM) and removes the record. It need not be gone at the return. NULL: nothing. */
void helper_end(Helper *helper);

/* Lets go of it and lets it run. NULL: nothing. */
void helper_leave(Helper *helper);

/* Ends a program that is on record, without having opened it: what an earlier coordinator needed. */
void helper_end_recorded(const char *record_path);

#endif
