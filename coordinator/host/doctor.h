/*
 * What this host has and lacks, and what follows from it. Each check tries the thing itself where that can be undone
 * (a namespace in a child, a control group of its own that is removed again), so that what a container forbids is
 * found too. Pure data: the caller prints it.
 *
 * Checks block (they fork and run programs, at most seconds): for a job's child. A single check's result is small
 * enough for a job's output.
 */
#ifndef HOST_DOCTOR_H
#define HOST_DOCTOR_H

#include <stddef.h>

#include "base/error.h"
#include "host/names.h"

typedef enum DoctorStatus
{
	DOCTOR_OK,
	DOCTOR_WARNING, /* works, with less */
	DOCTOR_MISSING	/* machines can't run */
} DoctorStatus;

typedef struct DoctorCheck
{
	const char *name; /* "cgroups", "swap", …: a constant, also the key in JSON */
	DoctorStatus status;
	char finding[200];	   /* what is there: "hybrid: v1 controllers, freezer in the v2 tree" */
	char consequence[300]; /* what follows when status isn't DOCTOR_OK; otherwise "" */
} DoctorCheck;

typedef struct DoctorInput
{
	const char *cgroup_root;  /* "/sys/fs/cgroup" */
	const HostLayout *layout; /* its name prefix and directories are used for what the checks make */
	const char *criu;		  /* the program that the settings name; NULL: look for it */
} DoctorInput;

/* How many checks there are, and the name of one (index below the count). */
size_t doctor_count(void);
const char *doctor_name(size_t index);

/* "ok", "warning", "missing". */
const char *doctor_status_name(DoctorStatus status);

/* Runs one check. Always gives a result. */
void doctor_run_check(size_t index, const DoctorInput *input, DoctorCheck *ret_check);

/* Runs all. The caller frees the array. */
int doctor_run(const DoctorInput *input, DoctorCheck **ret_checks, size_t *ret_count, Error *err) MUST_CHECK;

#endif
