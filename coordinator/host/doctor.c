/* What this host has and lacks; see doctor.h. The table of checks, and those that look for programs. */
#include "host/doctor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "host/doctor_probes.h"

#define PROGRAM_TIMEOUT_MS 10000

/* In the order in which they are printed: what everything rests on first. */
static const struct
{
	const char *name;
	void (*run)(const DoctorInput *input, DoctorCheck *check);
} checks[] = {
	{"kernel", doctor_check_kernel},
	{"capabilities", doctor_check_capabilities},
	{"cgroups", doctor_check_cgroups},
	{"freezer", doctor_check_freezer},
	{"limits", doctor_check_limits},
	{"reclaim", doctor_check_reclaim},
	{"swap", doctor_check_swap},
	{"memory pressure", doctor_check_pressure},
	{"namespaces", doctor_check_namespaces},
	{"seccomp", doctor_check_seccomp},
	{"overlayfs", doctor_check_overlay},
	{"loop devices", doctor_check_loop},
	{"ext4", doctor_check_ext4},
	{"pidfd_getfd", doctor_check_pidfd},
	{"process_madvise", doctor_check_pageout},
	{"TCP_DEFER_ACCEPT", doctor_check_defer_accept},
	{"sock_diag", doctor_check_sock_diag},
	{"TCP table size", doctor_check_tcp_table},
	{"open files", doctor_check_open_files},
	{"image tools", doctor_check_images},
	{"network tools", doctor_check_network},
	{"CRIU", doctor_check_criu},
};

#define CHECK_COUNT (sizeof(checks) / sizeof(checks[0]))

void
doctor_find(DoctorCheck *check, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(check->finding, sizeof(check->finding), format, arguments);
	va_end(arguments);
}

void
doctor_follow(DoctorCheck *check, DoctorStatus status, const char *format, ...)
{
	va_list arguments;

	check->status = status;
	va_start(arguments, format);
	vsnprintf(check->consequence, sizeof(check->consequence), format, arguments);
	va_end(arguments);
}

size_t
doctor_count(void)
{
	return CHECK_COUNT;
}

const char *
doctor_name(size_t index)
{
	return checks[index].name;
}

const char *
doctor_status_name(DoctorStatus status)
{
	switch (status)
	{
		case DOCTOR_OK:
			return "ok";
		case DOCTOR_WARNING:
			return "warning";
		case DOCTOR_MISSING:
			return "missing";
	}
	return "?";
}

void
doctor_run_check(size_t index, const DoctorInput *input, DoctorCheck *ret_check)
{
	*ret_check = (DoctorCheck){.name = checks[index].name, .status = DOCTOR_OK};
	checks[index].run(input, ret_check);
}

int
doctor_run(const DoctorInput *input, DoctorCheck **ret_checks, size_t *ret_count, Error *err)
{
	DoctorCheck *results;

	if (input->cgroup_root == NULL || input->layout == NULL)
		return error_set(err, -EINVAL, "doctor: no places to look at");
	results = memory_allocate(CHECK_COUNT * sizeof(*results));
	for (size_t i = 0; i < CHECK_COUNT; i++)
		doctor_run_check(i, input, &results[i]);
	*ret_checks = results;
	*ret_count = CHECK_COUNT;
	return 0;
}

/* Runs "program --version" and gives its first line; false when it can't be run. */
static bool
program_version(const char *program, const char *option, char *line, size_t size)
{
	const char *const argv[] = {program, option, NULL};
	_cleanup_free_ char *output = NULL;

	if (process_run(argv, PROGRAM_TIMEOUT_MS, &output, NULL) < 0)
		return false;
	snprintf(line, size, "%.*s", (int) strcspn(output, "\n"), output);
	return true;
}

void
doctor_check_ext4(const DoctorInput *input, DoctorCheck *check)
{
	_cleanup_free_ char *systems = NULL;
	char line[100];
	bool has_program = program_version("mkfs.ext4", "-V", line, sizeof(line));
	bool has_system =
		file_read("/proc/filesystems", 65536, &systems, NULL, NULL) == 0 && strstr(systems, "\text4\n") != NULL;

	(void) input;
	doctor_find(check, "%s, %s", has_system ? "in the kernel" : "not in the kernel, or not loaded",
				has_program ? "mkfs.ext4 is there" : "no mkfs.ext4");
	if (!has_program)
		doctor_follow(check, DOCTOR_MISSING, "no volume can be made: install e2fsprogs");
	else if (!has_system)
		doctor_follow(check, DOCTOR_WARNING, "volumes can be mounted only if the kernel loads the module when asked");
}

void
doctor_check_network(const DoctorInput *input, DoctorCheck *check)
{
	char dnsmasq[80];
	char haproxy[80];
	bool has_dnsmasq = program_version("dnsmasq", "--version", dnsmasq, sizeof(dnsmasq));
	bool has_haproxy = program_version("haproxy", "-v", haproxy, sizeof(haproxy));

	(void) input;
	doctor_find(check, "%.40s, %.40s", has_dnsmasq ? dnsmasq : "no dnsmasq", has_haproxy ? haproxy : "no HAProxy");
	if (!has_dnsmasq)
		doctor_follow(check, DOCTOR_WARNING, "names of services are not found: install dnsmasq-base%s",
					  has_haproxy ? "" : ", and haproxy for tls, http and https");
	else if (!has_haproxy)
		doctor_follow(check, DOCTOR_WARNING, "no service with tls, http or https is reachable: install haproxy");
}

void
doctor_check_images(const DoctorInput *input, DoctorCheck *check)
{
	char skopeo[80];
	char umoci[80];
	char buildah[80];
	bool has_skopeo = program_version("skopeo", "--version", skopeo, sizeof(skopeo));
	bool has_umoci = program_version("umoci", "--version", umoci, sizeof(umoci));
	bool has_buildah = program_version("buildah", "--version", buildah, sizeof(buildah));

	(void) input;
	doctor_find(check, "%.40s, %.40s, %.40s", has_skopeo ? skopeo : "no skopeo", has_umoci ? umoci : "no umoci",
				has_buildah ? buildah : "no buildah");
	if (!has_skopeo || !has_umoci)
		doctor_follow(check, DOCTOR_MISSING, "no image can be %s: install %s%s%s", has_skopeo ? "unpacked" : "fetched",
					  has_skopeo ? "" : "skopeo", has_skopeo || has_umoci ? "" : " and ", has_umoci ? "" : "umoci");
	else if (!has_buildah)
		doctor_follow(check, DOCTOR_WARNING, "nothing can be built by a Dockerfile (key build): install buildah");
}
