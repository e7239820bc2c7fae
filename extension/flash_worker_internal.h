/*
 * The flash worker's own state, shared by the files that it is made of and by nobody else: flash_worker.c (the loop and
 * what is due when), flash_worker_link.c (the connection), flash_worker_talk.c (what is said on it),
 * flash_worker_clock.c (clocks that go back).
 */
#ifndef LTTLE_FLASH_WORKER_INTERNAL_H
#define LTTLE_FLASH_WORKER_INTERNAL_H

#include "postgres.h"

#include "flash_channel.h"
#include "flash_prepare.h"
#include "flash_state.h"

#define RECONNECT_MIN_MS	  100
#define SNAPSHOT_RETRY_MIN_MS 1000

/* Why the coordinator can't be reached; one line in the log for each, not one for each try. */
typedef enum FlashTrouble
{
	FLASH_TROUBLE_NONE = 0,
	FLASH_TROUBLE_ABSENT,
	FLASH_TROUBLE_LOST,
	FLASH_TROUBLE_GARBAGE,
	FLASH_TROUBLE_SILENT,
	FLASH_TROUBLE_FULL
} FlashTrouble;

typedef struct FlashWorker
{
	FlashChannel channel;
	FlashPrepare prepare;
	FlashStatus status;
	FlashStatus published;
	MemoryContext round_context;
	uint64 round_at_ns;	   /* when the last round began */
	TimestampTz agreed_at; /* to the suspend under way; 0: to none */
	char *connected_path;  /* the setting's value when the connection was tried */

	bool was_ever_greeted;
	FlashTrouble logged_trouble;
	uint64 reconnect_ms;	  /* the next interval */
	uint64 reconnect_at_ns;	  /* while closed */
	uint64 refused_until_ns;  /* the coordinator refuses while it makes a snapshot on disk: no trouble until then */
	uint64 greeting_until_ns; /* 0: not waited for */
	uint64 greeted_at_ns;
	uint64 unsent_until_ns; /* 0: nothing is unsent */

	/* The snapshot at the start: tried until it is answered OK, given up after some attempts. */
	uint64 start_snapshot_at_ns;
	uint64 start_snapshot_ms;
	int start_snapshot_attempts;
	/* The one that is asked for in SQL, when it has to wait for the one under way. */
	bool request_is_waiting;
	uint32 request_timeout_ms;
	/* The one under way. */
	bool snapshot_is_for_start;
	uint64 snapshot_until_ns; /* 0: none */
} FlashWorker;

/*
 * The connection
 */

/* Opens or closes it as settings and time demand. */
extern void lttle_worker_keep_connection(FlashWorker *worker);

/* The next try is now, and the intervals begin anew. */
extern void lttle_worker_hasten_reconnect(FlashWorker *worker);

/* Closes it and forgets what was under way on it. Does nothing when closed. */
extern void lttle_worker_close(FlashWorker *worker);

/* Closes it because of some trouble, logs that once, and plans the next try. */
extern void lttle_worker_drop(FlashWorker *worker, FlashTrouble trouble, const char *detail);

/* Take the result of a send or flush. All three return false when the connection had to be dropped. */
extern bool lttle_worker_check_sent(FlashWorker *worker, int error);
extern bool lttle_worker_send(FlashWorker *worker, const LttleFlashWriter *writer);
extern bool lttle_worker_send_flag(FlashWorker *worker, const char *key);

/*
 * What is said on it
 */

/* Takes in what has come. Returns true when there may be more to read. */
extern bool lttle_worker_receive(FlashWorker *worker);

/* Asks for the snapshot that is due, one at a time. */
extern void lttle_worker_start_snapshot(FlashWorker *worker);

/* Ends the snapshot under way, with the reason why there is none. */
extern void lttle_worker_fail_snapshot(FlashWorker *worker, const char *error);

/* Answers PREPARE when the answer is known. */
extern void lttle_worker_continue_prepare(FlashWorker *worker);

/* Notes in the status why a snapshot failed; "" for none. */
extern void lttle_worker_record_error(FlashWorker *worker, const char *error);

/*
 * Clocks
 */

/* After a wake: warns when the wall clock is behind where it was when the worker agreed to the suspend. */
extern void lttle_worker_check_wall_clock(FlashWorker *worker);

/* In each round: begins everything anew that waits by a CLOCK_MONOTONIC that is not the host's any more. */
extern void lttle_worker_check_monotonic_clock(FlashWorker *worker);

/* Ends the worker's wait after so many milliseconds, whatever becomes of CLOCK_MONOTONIC. */
extern void lttle_worker_set_alarm(uint64 ms);

#endif
