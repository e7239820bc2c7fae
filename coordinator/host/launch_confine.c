/* Gives up everything that a machine's process must not have; see launch_confine.h. */
#include "host/launch_confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "host/seccomp.h"

#define OPEN_FILES_WANTED 65536
#define OOM_SCORE_PATH	  "/proc/self/oom_score_adj"
#define FIRST_OTHER_FD	  3

/*
 * What an image whose user is root keeps: enough to own and read its own files and to become the user that its server
 * runs as. Nothing here reaches past the machine's mounts, processes and network. docs/security.md goes through what
 * is not on the list, and why.
 */
static const unsigned root_keeps[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_NET_BIND_SERVICE,
};

int
launch_set_limits(Error *err)
{
	_cleanup_free_ char *score = NULL;
	struct rlimit open_files;
	const struct rlimit no_core = {0};
	int result;

	if (getrlimit(RLIMIT_NOFILE, &open_files) < 0)
		return error_set_errno(err, errno, "limit of open files");
	open_files.rlim_cur = open_files.rlim_max < OPEN_FILES_WANTED ? open_files.rlim_max : OPEN_FILES_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &open_files) < 0)
		return error_set_errno(err, errno, "limit of open files");
	if (setrlimit(RLIMIT_CORE, &no_core) < 0)
		return error_set_errno(err, errno, "limit of core dumps");
	result = file_read(OOM_SCORE_PATH, 32, &score, NULL, err);
	if (result == 0 && atoi(score) < 0)
		result = file_write(OOM_SCORE_PATH, "0", err);
	return result;
}

static bool
is_kept(const Confinement *confinement, unsigned long capability)
{
	if (confinement->uid != 0)
		return false;
	for (size_t i = 0; i < sizeof(root_keeps) / sizeof(root_keeps[0]); i++)
		if (root_keeps[i] == capability)
			return true;
	return false;
}

/* Also what the headers do not know yet: the kernel ends the list with EINVAL. */
static int
drop_bounding_set(const Confinement *confinement, Error *err)
{
	for (unsigned long capability = 0; capability < 64; capability++)
		if (!is_kept(confinement, capability) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
		{
			if (errno == EINVAL)
				break;
			return error_set_errno(err, errno, "drop capability %lu", capability);
		}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "drop ambient capabilities");
	return 0;
}

/* Nothing is inheritable. With no_new_privs an exec gives root what is permitted and bounded, and nobody else anything.
 */
static int
drop_capabilities(const Confinement *confinement, Error *err)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct kept[_LINUX_CAPABILITY_U32S_3] = {0};

	for (unsigned capability = 0; capability <= CAP_LAST_CAP; capability++)
		if (is_kept(confinement, capability))
			kept[capability / 32].permitted |= 1U << (capability % 32);
	for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		kept[i].effective = kept[i].permitted;
	if (syscall(SYS_capset, &header, kept) < 0)
		return error_set_errno(err, errno, "drop capabilities");
	return 0;
}

int
launch_confine(const Confinement *confinement, Error *err)
{
	int result = drop_bounding_set(confinement, err);

	if (result < 0)
		return result;
	if (setgroups(0, NULL) < 0 || setresgid(confinement->gid, confinement->gid, confinement->gid) < 0)
		return error_set_errno(err, errno, "become group %u", (unsigned) confinement->gid);
	if (setresuid(confinement->uid, confinement->uid, confinement->uid) < 0)
		return error_set_errno(err, errno, "become user %u", (unsigned) confinement->uid);
	/* Leaving uid 0 has dropped them; an image whose user is root comes here with all of them. */
	result = drop_capabilities(confinement, err);
	if (result < 0)
		return result;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "no_new_privs");
	umask(022);
	return seccomp_filter_install(confinement->filter, err);
}

int
launch_exec_program(const char *const argv[], const char *const environment[], const char *working_directory,
					Error *err)
{
	if (chdir(working_directory == NULL ? "/" : working_directory) < 0)
		return error_set_errno(err, errno, "working directory %s", working_directory);
	if (close_range(FIRST_OTHER_FD, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return error_set_errno(err, errno, "close descriptors");
	return error_set_errno(err, -process_exec(argv, environment), "exec %s", argv[0]);
}
