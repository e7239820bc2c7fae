/* The system calls that a machine's processes may use; see seccomp.h. */
#include "host/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

/* By kind, each as it is found in the kernel's tables for x86-64 and arm64. Names that an architecture or the library
 * does not know are passed over. */
/* clang-format off */
static const char *const allowed[] = {
	/* files and directories */
	"access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
	"faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown",
	"fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat",
	"fstatfs", "fsync", "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "getxattrat",
	"inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "ioctl", "lchown", "lgetxattr",
	"link", "linkat", "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat",
	"mkdir", "mkdirat", "mknod", "mknodat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv",
	"preadv2", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
	"removexattr", "removexattrat", "rename", "renameat", "renameat2", "rmdir", "sendfile", "setxattr",
	"setxattrat", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs",
	"tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "vmsplice", "write", "writev",
	/* waiting for descriptors */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd",
	"eventfd2", "pipe", "pipe2", "poll", "ppoll", "pselect6", "select", "signalfd", "signalfd4", "timerfd_create",
	"timerfd_gettime", "timerfd_settime",
	/* asynchronous I/O of the old kind, used by nothing dangerous */
	"io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit",
	/* sockets; socket(2) itself is below */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom",
	"recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socketpair",
	/* memory */
	"brk", "cachestat", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "mincore", "mlock", "mlock2",
	"mlockall", "mmap", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap", "pkey_alloc",
	"pkey_free", "pkey_mprotect", "remap_file_pages",
	/* System V and POSIX inter-process communication */
	"mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget",
	"msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget",
	/* processes and threads; clone(2) itself is below */
	"arch_prctl", "execve", "execveat", "exit", "exit_group", "fork", "futex", "futex_requeue", "futex_wait",
	"futex_waitv", "futex_wake", "get_robust_list", "get_thread_area", "getcpu", "getpgid", "getpgrp", "getpid",
	"getppid", "getsid", "gettid", "kill", "pidfd_open", "pidfd_send_signal", "prctl", "restart_syscall", "rseq",
	"set_robust_list", "set_thread_area", "set_tid_address", "setpgid", "setsid", "tgkill", "tkill", "vfork",
	"wait4", "waitid",
	/* signals */
	"alarm", "pause", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
	"rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sigaltstack",
	/* scheduling and limits */
	"getpriority", "getrlimit", "getrusage", "ioprio_get", "ioprio_set", "prlimit64", "sched_get_priority_max",
	"sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
	"sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
	"sched_yield", "setpriority", "setrlimit",
	/* time */
	"clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday", "nanosleep", "setitimer",
	"time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_settime", "times",
	/* identity: without capabilities these only give things up; with root's few they lead to any user of the machine */
	"capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid", "getuid", "setfsgid",
	"setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid", "setuid",
	/* further restrictions that a program puts on itself */
	"landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp",
	/* asking */
	"getrandom", "lsm_get_self_attr", "lsm_list_modules", "sysinfo", "uname",
};
/* clang-format on */

/* Ways out, ways to the kernel's inside, and ways to other processes' inside. */
/* clang-format off */
static const char *const forbidden[] = {
	/* namespaces and mounts */
	"chroot", "fsconfig", "fsmount", "fsopen", "fspick", "listmount", "mount", "mount_setattr", "move_mount",
	"open_tree", "open_tree_attr", "pivot_root", "setns", "statmount", "umount", "umount2", "unshare",
	/* other processes' memory and descriptors */
	"kcmp", "pidfd_getfd", "process_madvise", "process_mrelease", "process_vm_readv", "process_vm_writev", "ptrace",
	"get_mempolicy", "mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node",
	/* the kernel itself */
	"acct", "bpf", "create_module", "delete_module", "finit_module", "get_kernel_syms", "init_module", "ioperm",
	"iopl", "kexec_file_load", "kexec_load", "lookup_dcookie", "modify_ldt", "nfsservctl", "perf_event_open",
	"query_module", "quotactl", "quotactl_fd", "reboot", "swapoff", "swapon", "sysfs", "_sysctl", "syslog",
	"uselib", "ustat", "vhangup",
	/* a large attack surface and nothing that PostgreSQL could not do without */
	"add_key", "fanotify_init", "fanotify_mark", "io_uring_enter", "io_uring_register", "io_uring_setup", "keyctl",
	"memfd_secret", "request_key", "userfaultfd",
	/* files by handle: out of any directory */
	"name_to_handle_at", "open_by_handle_at",
	/* the host's clock and names */
	"adjtimex", "clock_adjtime", "clock_settime", "setdomainname", "sethostname", "settimeofday", "stime",
};
/* clang-format on */

static const int socket_families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};

/* Programs that ask for Multipath TCP take TCP when they are told that there is none; a machine's sockets are watched,
 * taken to disk and back as what they are, and of this kind neither is possible. */
#define PROTOCOL_MPTCP 262

#define SOCKET_FAMILIES_END 64 /* beyond what any kernel knows: those get ENOSYS as all unknown does */
#define LOW_32_BITS			UINT64_C(0xffffffff) /* arguments of type int: the kernel does not look at the upper half */

/* The ways to run on another personality that change nothing but what uname says; and the question. */
static const uint64_t personalities[] = {0x0, 0x8, 0x20000, 0x20008, 0xffffffff};

static const uint64_t namespace_flags[] = {CLONE_NEWNS,	  CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
										   CLONE_NEWUSER, CLONE_NEWPID,	   CLONE_NEWNET};

static int
add_named(scmp_filter_ctx context, uint32_t action, const char *const names[], size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		int number = seccomp_syscall_resolve_name(names[i]);
		int code;

		if (number == __NR_SCMP_ERROR)
			continue;
		code = seccomp_rule_add(context, action, number, 0);
		if (code < 0)
			return code;
	}
	return 0;
}

static bool
family_is_allowed(int family)
{
	for (size_t i = 0; i < sizeof(socket_families) / sizeof(socket_families[0]); i++)
		if (socket_families[i] == family)
			return true;
	return false;
}

/* socket, clone and personality: by argument. */
static int
add_by_argument(scmp_filter_ctx context)
{
	uint64_t all_flags = 0;
	int code = 0;

	for (int family = 0; code == 0 && family < SOCKET_FAMILIES_END; family++)
	{
		struct scmp_arg_cmp is_family = SCMP_A0(SCMP_CMP_MASKED_EQ, LOW_32_BITS, (uint64_t) family);

		if (!family_is_allowed(family))
		{
			code = seccomp_rule_add(context, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, is_family);
			continue;
		}
		code = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, is_family,
								SCMP_A2(SCMP_CMP_NE, PROTOCOL_MPTCP, 0));
		if (code == 0)
			code = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 2, is_family,
									SCMP_A2(SCMP_CMP_EQ, PROTOCOL_MPTCP, 0));
	}
	for (size_t i = 0; code == 0 && i < sizeof(personalities) / sizeof(personalities[0]); i++)
		code = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
								SCMP_A0(SCMP_CMP_MASKED_EQ, LOW_32_BITS, personalities[i]));
	for (size_t i = 0; code == 0 && i < sizeof(namespace_flags) / sizeof(namespace_flags[0]); i++)
	{
		all_flags |= namespace_flags[i];
		code = seccomp_rule_add(context, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
								SCMP_A0(SCMP_CMP_MASKED_EQ, namespace_flags[i], namespace_flags[i]));
	}
	/* clone3 takes its flags from memory, which a filter can't read: ENOSYS, and the C library uses clone. */
	if (code == 0)
		code = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, all_flags, 0));
	return code;
}

/* Reads the program back: libseccomp 2.5 writes it to a descriptor only. */
static int
export_program(scmp_filter_ctx context, struct sock_fprog *ret_program)
{
	_cleanup_fd_ int fd = memfd_create("seccomp", MFD_CLOEXEC);
	struct stat status;
	struct sock_filter *instructions;
	int code;

	if (fd < 0)
		return -errno;
	code = seccomp_export_bpf(context, fd);
	if (code < 0)
		return code;
	if (fstat(fd, &status) < 0)
		return -errno;
	instructions = memory_allocate((size_t) status.st_size);
	if (pread(fd, instructions, (size_t) status.st_size, 0) != status.st_size)
	{
		free(instructions);
		return -EIO;
	}
	ret_program->len = (unsigned short) ((size_t) status.st_size / sizeof(*instructions));
	ret_program->filter = instructions;
	return 0;
}

int
seccomp_filter_get(const struct sock_fprog **ret_program, Error *err)
{
	static struct sock_fprog program;
	scmp_filter_ctx context;
	int code;

	if (program.len > 0)
	{
		*ret_program = &program;
		return 0;
	}
	context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (context == NULL)
		return error_set_errno(err, ENOMEM, "seccomp filter");
	/* A 32-bit program's calls have other numbers. */
	code = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	if (code == 0)
		code = seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree over the numbers */
	if (code == 0)
		code = add_named(context, SCMP_ACT_ALLOW, allowed, sizeof(allowed) / sizeof(allowed[0]));
	if (code == 0)
		code = add_named(context, SCMP_ACT_ERRNO(EPERM), forbidden, sizeof(forbidden) / sizeof(forbidden[0]));
	if (code == 0)
		code = add_by_argument(context);
	if (code == 0)
		code = export_program(context, &program);
	seccomp_release(context);
	if (code < 0)
		return error_set_errno(err, -code, "seccomp filter");
	*ret_program = &program;
	return 0;
}

int
seccomp_filter_install(const struct sock_fprog *program, Error *err)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0)
		return error_set_errno(err, errno, "seccomp filter");
	return 0;
}
