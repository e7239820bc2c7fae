/*
 * Random numbers after a restore from disk: what a process keeps in its own memory is there again in every copy of the
 * snapshot, and would go on alike in each of them.
 */
#ifndef LTTLE_RANDOM_SEED_H
#define LTTLE_RANDOM_SEED_H

#include "postgres.h"

#include "flash_state.h"

/*
 * The generation that this process's random state belongs to; only for lttle_random_check. It begins with 0: a process
 * that was started later seeds once more than it must, for which it need not know whether it was restored itself.
 */
extern uint64 lttle_random_generation;

/* Seeds everything anew that can be reached. Only through lttle_random_check. */
extern void lttle_random_reseed(uint64 generation);

/* The session has called setseed: the sequence of random() is the user's from now on. */
extern void lttle_random_note_setseed(void);

/* Before each outermost statement. While nothing was restored it costs one load of shared memory. */
static inline void
lttle_random_check(void)
{
	uint64 generation = lttle_flash_state_generation();

	if (unlikely(generation != lttle_random_generation))
		lttle_random_reseed(generation);
}

#endif
