/* Checks of the kernel's features by using them; see doctor_probes.h. */
#include "host/doctor_probes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/inet_diag.h>
#include <linux/loop.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "host/seccomp.h"

#define KERNEL_NEEDED_MAJOR 5
#define KERNEL_NEEDED_MINOR 14 /* cgroup.kill */
#define FILES_PER_MACHINE	5  /* three listeners and two cgroup files of a sleeping one */
#define FILES_LITTLE		4096
#define CHILD_EHASH_SYSCTL	"/proc/sys/net/ipv4/tcp_child_ehash_entries"

/* One sentence for what needs no more than "works or doesn't". */
static void
judge(DoctorCheck *check, int result, const Error *err, DoctorStatus status, const char *consequence)
{
	if (result == 0)
	{
		doctor_find(check, "works");
		return;
	}
	doctor_find(check, "%.180s", err->message);
	doctor_follow(check, status, "%s", consequence);
}

void
doctor_check_kernel(const DoctorInput *input, DoctorCheck *check)
{
	struct utsname names;
	int major_number = 0;
	int minor_number = 0;

	(void) input;
	if (uname(&names) < 0)
		return;
	doctor_find(check, "Linux %.60s (%.20s)", names.release, names.machine);
	if (sscanf(names.release, "%d.%d", &major_number, &minor_number) == 2 &&
		(major_number < KERNEL_NEEDED_MAJOR ||
		 (major_number == KERNEL_NEEDED_MAJOR && minor_number < KERNEL_NEEDED_MINOR)))
		doctor_follow(check, DOCTOR_MISSING, "machines can't be ended while they sleep: Linux %d.%d or later is needed",
					  KERNEL_NEEDED_MAJOR, KERNEL_NEEDED_MINOR);
}

void
doctor_check_capabilities(const DoctorInput *input, DoctorCheck *check)
{
	static const struct
	{
		unsigned number;
		DoctorStatus status;
		const char *name;
		const char *consequence;
	} wanted[] = {
		{CAP_SYS_ADMIN, DOCTOR_MISSING, "CAP_SYS_ADMIN", "no namespace and no mount can be made"},
		{CAP_NET_ADMIN, DOCTOR_MISSING, "CAP_NET_ADMIN", "no machine gets a network"},
		{CAP_SYS_PTRACE, DOCTOR_MISSING, "CAP_SYS_PTRACE", "the sockets of sleeping machines can't be watched"},
		{CAP_SETUID, DOCTOR_MISSING, "CAP_SETUID", "no machine can run as its image's user"},
		{CAP_SETGID, DOCTOR_MISSING, "CAP_SETGID", "no machine can run as its image's group"},
		{CAP_SETPCAP, DOCTOR_MISSING, "CAP_SETPCAP", "a machine's capabilities can't be taken away"},
		{CAP_SYS_CHROOT, DOCTOR_MISSING, "CAP_SYS_CHROOT", "nothing can be run inside a machine"},
		{CAP_MKNOD, DOCTOR_MISSING, "CAP_MKNOD", "a machine's /dev can't be made"},
		{CAP_CHOWN, DOCTOR_MISSING, "CAP_CHOWN", "a volume can't be given to its machine"},
		{CAP_DAC_OVERRIDE, DOCTOR_MISSING, "CAP_DAC_OVERRIDE", "a machine's files can't be reached"},
		{CAP_KILL, DOCTOR_MISSING, "CAP_KILL", "machines can't be stopped"},
		{CAP_SYS_RESOURCE, DOCTOR_WARNING, "CAP_SYS_RESOURCE",
		 "the limit of open files can't be raised, machines can't be shielded from the OOM killer, and snapshots on "
		 "disk "
		 "need a detour"},
		{CAP_SYS_NICE, DOCTOR_WARNING, "CAP_SYS_NICE",
		 "process_madvise can't reclaim, so suspending gives back less memory"},
		{CAP_CHECKPOINT_RESTORE, DOCTOR_WARNING, "CAP_CHECKPOINT_RESTORE",
		 "snapshots on disk need CAP_SYS_ADMIN in its place"},
	};
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	(void) input;
	if (syscall(SYS_capget, &header, data) < 0)
		return;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
	{
		unsigned number = wanted[i].number;

		if ((data[number / 32].effective & (1U << (number % 32))) != 0)
			continue;
		doctor_find(check, "%s is missing", wanted[i].name);
		doctor_follow(check, wanted[i].status, "%s", wanted[i].consequence);
		return; /* the table is in the order of weight */
	}
	doctor_find(check, "all that are needed");
}

static int
make_namespaces(void *context, Error *err)
{
	static const struct
	{
		int flag;
		const char *name;
	} kinds[] = {{CLONE_NEWNS, "mount"},
				 {CLONE_NEWPID, "PID"},
				 {CLONE_NEWIPC, "IPC"},
				 {CLONE_NEWUTS, "UTS"},
				 {CLONE_NEWNET, "network"}};

	(void) context;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (unshare(kinds[i].flag) < 0)
			return error_set_errno(err, errno, "%s namespace", kinds[i].name);
	return 0;
}

void
doctor_check_namespaces(const DoctorInput *input, DoctorCheck *check)
{
	Error err = {0};

	(void) input;
	judge(check, process_run_function(make_namespaces, NULL, &err), &err, DOCTOR_MISSING, "no machine can be started");
	if (check->status == DOCTOR_OK)
		doctor_find(check, "mount, PID, IPC, UTS and network");
}

static int
set_table_size(void *context, Error *err)
{
	(void) context;
	if (unshare(CLONE_NEWNET) < 0)
		return error_set_errno(err, errno, "network namespace");
	return file_write(CHILD_EHASH_SYSCTL, "512", err);
}

void
doctor_check_tcp_table(const DoctorInput *input, DoctorCheck *check)
{
	Error err = {0};

	(void) input;
	judge(check, process_run_function(set_table_size, NULL, &err), &err, DOCTOR_WARNING,
		  "looking at a sleeping machine's connections takes longer (Linux 6.2 or later is needed)");
}

static int
set_defer_accept(Error *err)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int seconds = 1;

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)) < 0)
		return error_set_errno(err, errno, "TCP_DEFER_ACCEPT");
	return 0;
}

void
doctor_check_defer_accept(const DoctorInput *input, DoctorCheck *check)
{
	Error err = {0};

	(void) input;
	judge(check, set_defer_accept(&err), &err, DOCTOR_WARNING, "more bare TCP probes are looked at than need be");
}

static int
ask_sock_diag(Error *err)
{
	_cleanup_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	struct
	{
		struct nlmsghdr header;
		struct inet_diag_req_v2 request;
	} message = {
		.header = {.nlmsg_len = sizeof(message),
				   .nlmsg_type = SOCK_DIAG_BY_FAMILY,
				   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.request = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1U << TCP_LISTEN},
	};
	union
	{
		struct nlmsghdr header;
		char bytes[8192];
	} answer;
	const struct timeval patience = {.tv_sec = 2};
	ssize_t got;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
		send(fd, &message, sizeof(message), 0) < 0)
		return error_set_errno(err, errno, "sock_diag");
	got = recv(fd, &answer, sizeof(answer), 0);
	if (got < (ssize_t) sizeof(answer.header))
		return error_set_errno(err, got < 0 ? errno : EIO, "sock_diag");
	if (answer.header.nlmsg_type == NLMSG_ERROR)
		return error_set_errno(err, -((struct nlmsgerr *) NLMSG_DATA(&answer.header))->error, "sock_diag for TCP");
	return 0;
}

void
doctor_check_sock_diag(const DoctorInput *input, DoctorCheck *check)
{
	Error err = {0};

	(void) input;
	judge(check, ask_sock_diag(&err), &err, DOCTOR_MISSING,
		  "connections that wait for a sleeping machine can't be told from bare probes");
}

/* A child that waits, and dies with the caller. */
static pid_t
start_sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void
end_sleeper(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int
duplicate_descriptor(int pidfd, void *context, Error *err)
{
	_cleanup_fd_ int fd = (int) syscall(SYS_pidfd_getfd, pidfd, *(int *) context, 0);

	return fd < 0 ? error_set_errno(err, errno, "pidfd_getfd") : 0;
}

static int
page_out(int pidfd, void *context, Error *err)
{
	struct iovec page = {.iov_base = context, .iov_len = (size_t) sysconf(_SC_PAGESIZE)};

	if (syscall(SYS_process_madvise, pidfd, &page, 1, MADV_PAGEOUT, 0) < 0)
		return error_set_errno(err, errno, "process_madvise(MADV_PAGEOUT)");
	return 0;
}

/* Runs a function on another process. */
static int
try_on_sleeper(int (*function)(int pidfd, void *context, Error *err), void *context, Error *err)
{
	_cleanup_fd_ int pidfd = -1;
	pid_t pid = start_sleeper();
	int result;

	if (pid < 0)
		return error_set_errno(err, errno, "fork");
	pidfd = (int) syscall(SYS_pidfd_open, pid, 0);
	result = pidfd < 0 ? error_set_errno(err, errno, "pidfd_open") : function(pidfd, context, err);
	end_sleeper(pid);
	return result;
}

void
doctor_check_pidfd(const DoctorInput *input, DoctorCheck *check)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	Error err = {0};

	(void) input;
	judge(check, try_on_sleeper(duplicate_descriptor, &fd, &err), &err, DOCTOR_MISSING,
		  "the sockets of sleeping machines can't be watched, so nothing would wake them");
}

void
doctor_check_pageout(const DoctorInput *input, DoctorCheck *check)
{
	size_t size = (size_t) sysconf(_SC_PAGESIZE);
	char *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	Error err = {0};

	(void) input;
	if (page == MAP_FAILED)
		return;
	memset(page, 1, size);
	judge(check, try_on_sleeper(page_out, page, &err), &err, DOCTOR_WARNING,
		  "suspended machines give back their memory more slowly, or only in part");
	munmap(page, size);
}

static int
install_filter(void *context, Error *err)
{
	const struct sock_fprog *program;
	int result = seccomp_filter_get(&program, err);

	(void) context;
	if (result < 0)
		return result;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, errno, "no_new_privs");
	return seccomp_filter_install(program, err);
}

void
doctor_check_seccomp(const DoctorInput *input, DoctorCheck *check)
{
	Error err = {0};

	(void) input;
	judge(check, process_run_function(install_filter, NULL, &err), &err, DOCTOR_MISSING,
		  "no machine is started without its filter of system calls");
}

/* In a mount namespace of its own, on a tmpfs of its own: both go with the child. */
static int
mount_overlay(void *context, Error *err)
{
	const char *base = context;
	static const char *const names[] = {"lower", "upper", "work", "root"};

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", base, "tmpfs", 0, "size=64k") < 0 || chdir(base) < 0)
		return error_set_errno(err, errno, "%s", base);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (mkdir(names[i], 0755) < 0)
			return error_set_errno(err, errno, "%s/%s", base, names[i]);
	if (mount("overlay", "root", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work") < 0)
		return error_set_errno(err, errno, "overlayfs");
	return 0;
}

void
doctor_check_overlay(const DoctorInput *input, DoctorCheck *check)
{
	Error err = {0};

	(void) input;
	judge(check, process_run_function(mount_overlay, (char[]){"/tmp"}, &err), &err, DOCTOR_MISSING,
		  "no machine gets a root file system");
}

static int
find_free_loop(Error *err)
{
	_cleanup_fd_ int fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(err, errno, "/dev/loop-control");
	return ioctl(fd, LOOP_CTL_GET_FREE) < 0 ? error_set_errno(err, errno, "find a free loop device") : 0;
}

void
doctor_check_loop(const DoctorInput *input, DoctorCheck *check)
{
	Error err = {0};

	(void) input;
	judge(check, find_free_loop(&err), &err, DOCTOR_MISSING, "no volume can be mounted");
}

void
doctor_check_open_files(const DoctorInput *input, DoctorCheck *check)
{
	struct rlimit limit;

	(void) input;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	doctor_find(check, "at most %llu, for about %llu sleeping machines", (unsigned long long) limit.rlim_max,
				(unsigned long long) limit.rlim_max / FILES_PER_MACHINE);
	if (limit.rlim_max < FILES_LITTLE)
		doctor_follow(check, DOCTOR_WARNING, "raise the hard limit (systemd: LimitNOFILE=) to run more machines");
}
