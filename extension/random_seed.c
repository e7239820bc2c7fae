/*
 * Seeds a process's random state anew after its snapshot was restored from disk, or might have been.
 *
 * There are four: PostgreSQL's own (pg_global_prng_state), that of the SQL function random(), which is private to its
 * file and reached through setseed() only, libc's random(3), and OpenSSL's, from which pg_strong_random and with it
 * gen_random_uuid() are served in builds with OpenSSL. The first bytes must come from the kernel itself: what OpenSSL
 * gives would be the same in every copy, and so would what getrandom(3) gives, which since glibc 2.41 keeps a key of
 * its own in the process (vgetrandom). Hence the system call.
 */
#include "postgres.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/pg_prng.h"
#include "fmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

#include "random_seed.h"

#define SETSEED_BITS 53

typedef struct RandomSeed
{
	unsigned char openssl[48];
	pg_prng_state postgres;
	uint64 sql;
	unsigned int libc;
} RandomSeed;

uint64 lttle_random_generation = 0;

static bool setseed_was_called = false;

void
lttle_random_note_setseed(void)
{
	setseed_was_called = true;
}

/* SET seed and set_config('seed', ...) call setseed where no hook sees it; a setting of the connection does not. */
static bool
seed_is_set_as_option(void)
{
	const struct config_generic *option = NULL;
#if PG_VERSION_NUM >= 160000
	option = find_option("seed", false, true, DEBUG1);
#else
	for (int i = 0; i < GetNumConfigOptions() && option == NULL; i++)
	{
		if (strcmp(get_guc_variables()[i]->name, "seed") == 0)
			option = get_guc_variables()[i];
	}
#endif
	return option != NULL && option->source >= PGC_S_INTERACTIVE;
}

/* Whoever chose a seed wants the numbers that follow from it, and gets them. */
static void
reseed_sql_random(uint64 bits)
{
	double seed = (double) (bits >> (64 - SETSEED_BITS)) / (double) (UINT64CONST(1) << (SETSEED_BITS - 1)) - 1.0;

	if (!setseed_was_called && !seed_is_set_as_option())
		DirectFunctionCall1(setseed, Float8GetDatum(seed));
}

/*
 * The library is there when PostgreSQL itself was built with it. Seeding its first generator, which takes bytes from
 * the kernel as well, makes those below it fetch new ones before they give out anything.
 */
static void
reseed_openssl(const void *bytes, int size)
{
	void (*rand_seed)(const void *, int);

	*(void **) &rand_seed = dlsym(RTLD_DEFAULT, "RAND_seed");
	if (rand_seed != NULL)
		rand_seed(bytes, size);
}

void
lttle_random_reseed(uint64 generation)
{
	RandomSeed seed;

	lttle_random_generation = generation;
	if (syscall(SYS_getrandom, &seed, sizeof(seed), 0) != (long) sizeof(seed))
	{
		ereport(WARNING,
				(errmsg("lttle_pg: the random state can't be seeded anew: %m"),
				 errdetail("Another server restored from the same snapshot may get the same random numbers.")));
		return;
	}
	reseed_openssl(seed.openssl, sizeof(seed.openssl));
	pg_global_prng_state = seed.postgres;
	pg_prng_seed_check(&pg_global_prng_state);
	srandom(seed.libc);
	reseed_sql_random(seed.sql);
	explicit_bzero(&seed, sizeof(seed));
}
