/* Whether machines can go to disk: CRIU is found and tried for real. */
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "host/cgroup.h"
#include "host/doctor_probes.h"
#include "host/snapshot.h"

#define CONSEQUENCE "machines that sleep stay in memory and swap: there are no snapshots on disk"

static void
free_hierarchy(CgroupHierarchy **hierarchy)
{
	cgroup_hierarchy_free(*hierarchy);
}

void
doctor_check_criu(const DoctorInput *input, DoctorCheck *check)
{
	_cleanup_(free_hierarchy) CgroupHierarchy *hierarchy = NULL;
	char program[256];
	char version[32];
	char group[64];
	Error err = {0};

	if (criu_find(input->criu, program, version, &err) < 0)
	{
		doctor_find(check, "%.190s", err.message);
		doctor_follow(check, DOCTOR_WARNING, CONSEQUENCE);
		return;
	}
	snprintf(group, sizeof(group), "%s-doctor-criu-%d", input->layout->name_prefix, (int) getpid());
	if (cgroup_hierarchy_open(input->cgroup_root, &hierarchy, &err) < 0 ||
		criu_self_test(program, hierarchy, group, &err) < 0)
	{
		doctor_find(check, "%.190s", err.message);
		doctor_follow(check, DOCTOR_WARNING,
					  CONSEQUENCE ", because %.80s, CRIU %s, can't dump and restore a process in a machine", program,
					  version);
		return;
	}
	doctor_find(check, "%.120s, version %s, dumps and restores", program, version);
}
