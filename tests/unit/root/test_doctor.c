/*
 * The doctor (needs root): every check gives a finding, what is taken away is found missing with what follows from it,
 * and the checks leave nothing behind.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "host/doctor.h"

static const HostLayout layout = {.state_directory = "/tmp", .run_directory = "/tmp", .name_prefix = "lthdoc"};
static DoctorInput input = {.cgroup_root = "/sys/fs/cgroup", .layout = &layout};

static size_t
find(const char *name)
{
	for (size_t i = 0; i < doctor_count(); i++)
		if (strcmp(doctor_name(i), name) == 0)
			return i;
	fail_msg("no check %s", name);
	return 0;
}

static void
test_every_check_answers(void **state)
{
	DoctorCheck *checks = NULL;
	size_t count = 0;
	Error err = {0};

	(void) state;
	assert_int_equal(doctor_run(&input, &checks, &count, &err), 0);
	assert_int_equal(count, doctor_count());
	for (size_t i = 0; i < count; i++)
	{
		print_message("%-18s %-8s %s%s%s\n", checks[i].name, doctor_status_name(checks[i].status), checks[i].finding,
					  checks[i].consequence[0] == '\0' ? "" : " -> ", checks[i].consequence);
		assert_string_equal(checks[i].name, doctor_name(i));
		assert_true(strlen(checks[i].finding) > 0);
		assert_int_equal(checks[i].status == DOCTOR_OK, strlen(checks[i].consequence) == 0);
		for (size_t other = 0; other < i; other++)
			assert_string_not_equal(checks[i].name, checks[other].name);
	}
	free(checks);
}

/* The other tests of this directory need these, so they must be found. */
static void
test_this_host_can_run_machines(void **state)
{
	static const char *const needed[] = {"kernel",	   "capabilities", "cgroups",	"freezer",		"limits",
										 "namespaces", "seccomp",	   "overlayfs", "loop devices", "pidfd_getfd"};

	(void) state;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
	{
		DoctorCheck check;

		doctor_run_check(find(needed[i]), &input, &check);
		if (check.status == DOCTOR_MISSING)
			fail_msg("%s: %s", check.name, check.finding);
	}
}

static void
test_no_control_groups(void **state)
{
	const DoctorInput nowhere = {.cgroup_root = "/tmp/lttle-no-such-directory", .layout = &layout};
	DoctorCheck check;

	(void) state;
	doctor_run_check(find("cgroups"), &nowhere, &check);
	assert_int_equal(check.status, DOCTOR_MISSING);
	assert_non_null(strstr(check.finding, "freezer"));
	assert_string_equal(check.consequence, "machines can be neither limited nor suspended");
	doctor_run_check(find("freezer"), &nowhere, &check);
	assert_int_equal(check.status, DOCTOR_MISSING);
	doctor_run_check(find("limits"), &nowhere, &check);
	assert_int_equal(check.status, DOCTOR_MISSING);
	doctor_run_check(find("reclaim"), &nowhere, &check);
	assert_int_equal(check.status, DOCTOR_WARNING);
}

static void
test_no_programs(void **state)
{
	_cleanup_free_ char *path = strdup(getenv("PATH"));
	DoctorCheck check;

	(void) state;
	setenv("PATH", "/tmp/lttle-no-such-directory", 1);
	doctor_run_check(find("image tools"), &input, &check);
	assert_int_equal(check.status, DOCTOR_MISSING);
	assert_string_equal(check.consequence, "no image can be fetched: install skopeo and umoci");
	assert_string_equal(check.finding, "no skopeo, no umoci, no buildah");
	doctor_run_check(find("ext4"), &input, &check);
	assert_int_equal(check.status, DOCTOR_MISSING);
	input.criu = "/tmp/lttle-no-such-directory/criu";
	doctor_run_check(find("CRIU"), &input, &check);
	assert_int_equal(check.status, DOCTOR_WARNING);
	assert_string_equal(check.finding,
						"/tmp/lttle-no-such-directory/criu: there is no such program; the settings name it as CRIU");
	assert_non_null(strstr(check.consequence, "no snapshots on disk"));
	input.criu = NULL;
	setenv("PATH", path, 1);
}

/* Runs a check in a child that has lost something. */
static void
run_without(const char *name, void (*lose)(void), DoctorCheck *ret_check)
{
	DoctorCheck *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t pid;

	assert_true(shared != MAP_FAILED);
	pid = fork();
	if (pid == 0)
	{
		lose();
		doctor_run_check(find(name), &input, shared);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	*ret_check = *shared;
	munmap(shared, sizeof(*shared));
}

static void
keep_capabilities(uint64_t mask)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	syscall(SYS_capget, &header, data);
	for (int i = 0; i < 2; i++)
	{
		data[i].effective &= (uint32_t) (mask >> (32 * i));
		data[i].permitted &= (uint32_t) (mask >> (32 * i));
	}
	if (syscall(SYS_capset, &header, data) < 0)
		_exit(1);
}

static void
lose_all_capabilities(void)
{
	keep_capabilities(0);
}

static void
lose_network_capability(void)
{
	keep_capabilities(~(UINT64_C(1) << CAP_NET_ADMIN));
}

static void
lose_open_files(void)
{
	const struct rlimit limit = {.rlim_cur = 256, .rlim_max = 256};

	setrlimit(RLIMIT_NOFILE, &limit);
}

static void
test_lost_capabilities(void **state)
{
	DoctorCheck check;

	(void) state;
	run_without("capabilities", lose_network_capability, &check);
	assert_int_equal(check.status, DOCTOR_MISSING);
	assert_string_equal(check.finding, "CAP_NET_ADMIN is missing");
	assert_string_equal(check.consequence, "no machine gets a network");
	run_without("namespaces", lose_all_capabilities, &check);
	assert_int_equal(check.status, DOCTOR_MISSING);
	assert_string_equal(check.finding, "mount namespace: Operation not permitted");
	run_without("overlayfs", lose_all_capabilities, &check);
	assert_int_equal(check.status, DOCTOR_MISSING);
}

static void
test_few_open_files(void **state)
{
	DoctorCheck check;

	(void) state;
	run_without("open files", lose_open_files, &check);
	assert_int_equal(check.status, DOCTOR_WARNING);
	assert_string_equal(check.finding, "at most 256, for about 51 sleeping machines");
}

static void
assert_no_group_in(const char *path)
{
	_cleanup_directory_ DIR *directory = opendir(path);
	struct dirent *entry;
	char name[64];

	snprintf(name, sizeof(name), "lthdoc-doctor-%d", (int) getpid());
	while (directory != NULL && (entry = readdir(directory)) != NULL)
		assert_string_not_equal(entry->d_name, name);
}

static void
test_nothing_stays(void **state)
{
	(void) state;
	for (size_t i = 0; i < doctor_count(); i++)
	{
		DoctorCheck check;

		doctor_run_check(i, &input, &check);
	}
	assert_no_group_in("/sys/fs/cgroup");
	assert_no_group_in("/sys/fs/cgroup/unified");
	assert_no_group_in("/sys/fs/cgroup/memory");
	assert_no_group_in("/sys/fs/cgroup/pids");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_check_answers), cmocka_unit_test(test_this_host_can_run_machines),
		cmocka_unit_test(test_no_control_groups),	cmocka_unit_test(test_no_programs),
		cmocka_unit_test(test_lost_capabilities),	cmocka_unit_test(test_few_open_files),
		cmocka_unit_test(test_nothing_stays),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
