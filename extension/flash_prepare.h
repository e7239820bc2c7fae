/*
 * The extension's part in a suspend: whether the server may be suspended now, and the last steps before it.
 */
#ifndef LTTLE_FLASH_PREPARE_H
#define LTTLE_FLASH_PREPARE_H

#include "postgres.h"

#include "access/xlogdefs.h"

#define FLASH_REASON_BYTES 256

typedef enum FlashVerdict
{
	FLASH_VERDICT_PENDING, /* ask again, at the latest at next_look_ns */
	FLASH_VERDICT_AGREE,
	FLASH_VERDICT_DECLINE
} FlashVerdict;

/* One PREPARE on its way. */
typedef struct FlashPrepare
{
	bool is_open;
	bool hibernate;
	uint64 settle_until_ns; /* until then a command that has just begun or ended is waited for */
	uint64 deadline_ns;
	uint64 next_look_ns;
	bool checkpoint_is_requested;
	XLogRecPtr checkpoint_before;	 /* the last checkpoint when ours was requested */
	char reason[FLASH_REASON_BYTES]; /* of DECLINE */
	uint64 retry_ms;				 /* of DECLINE */
} FlashPrepare;

/* Begins. deadline_ms: how long the coordinator waits for the answer. */
extern void lttle_flash_prepare_begin(FlashPrepare *prepare, bool hibernate, uint64 deadline_ms);

/* Goes on, without waiting. AGREE and DECLINE end it. */
extern FlashVerdict lttle_flash_prepare_continue(FlashPrepare *prepare);

#endif
