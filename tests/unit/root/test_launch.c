/*
 * The launcher (needs root): what a machine's first process is and has, what it can't do, which limits hold, what is
 * said when it can't be started, and that nothing stays.
 */
#include "root/fixture_launch.h"

#include <linux/capability.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static void
test_identity(void **state)
{
	(void) state;
	assert_machine_prints(
		"exec grep -E '^(Pid|NSpid|Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Seccomp_filters|SigBlk|SigIgn):' "
		"/proc/1/status",
		"Pid:\t1\nUid:\t1234\t1234\t1234\t1234\nGid:\t1235\t1235\t1235\t1235\nGroups:\t \nNSpid:\t1\n"
		"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
		"CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
		"CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n"
		"NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n");
	assert_machine_prints("echo pid $$; hostname; echo $NAME; ps -o sid= -p 1 | tr -d ' '; umask; pwd",
						  "pid 1\npostgresql\nvalue\n1\n0022\n/\n");
}

/* An image whose user is root: what it needs for its own files and users, and nothing of the host to write to. */
static void
test_root_inside_has_next_to_nothing(void **state)
{
	(void) state;
	machine.spec.uid = 0;
	machine.spec.gid = 0;
	assert_machine_prints(
		"grep -E '^(Cap|NoNew)' /proc/self/status; id -u; "
		"echo x 2>/dev/null >/proc/sys/kernel/core_pattern || echo refused; "
		"echo x 2>/dev/null >/proc/sysrq-trigger || echo refused; "
		"mknod /tmp/n b 7 0 2>/dev/null || echo refused; chroot / true 2>/dev/null || echo refused; "
		"touch /run/lttle/new 2>/dev/null || echo refused; chmod 777 /run/lttle 2>/dev/null || echo refused; "
		"touch /dev/new 2>/dev/null || echo refused; echo -1000 2>/dev/null >/proc/self/oom_score_adj || echo refused; "
		"for f in kcore keys kmsg timer_list kpageflags interrupts; do [ ! -e /proc/$f ] || cat /proc/$f; "
		"done; ls -A /proc/scsi /proc/acpi 2>/dev/null | grep -v :; true",
		"CapInh:\t0000000000000000\nCapPrm:\t00000000000004fb\nCapEff:\t00000000000004fb\n"
		"CapBnd:\t00000000000004fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n"
		"0\nrefused\nrefused\nrefused\nrefused\nrefused\nrefused\nrefused\nrefused\n");
}

/* As entrypoints do: it prepares files for another user and becomes that user, from whom no way leads back. */
static void
test_root_inside_becomes_another_user(void **state)
{
	(void) state;
	machine.spec.uid = 0;
	machine.spec.gid = 0;
	assert_machine_prints(
		"install -d -m 0700 -o 4321 -g 4322 /tmp/own; touch /tmp/own/file; chown 4321:4322 /tmp/own/file; "
		"stat -c '%u %g' /tmp/own/file; cp /usr/bin/id /tmp/own/id; chmod 4755 /tmp/own/id; chmod 755 /tmp/own; "
		"sleep 1000 & setpriv --reuid=4321 --regid=4322 --clear-groups sh -c 'id -u; id -g; /tmp/own/id -u; "
		"grep -E \"^Cap(Prm|Eff)\" /proc/self/status; kill $0 2>/dev/null || echo refused; "
		"echo x 2>/dev/null >/etc/new || echo refused' $!; kill $!",
		"4321 4322\n4321\n4322\n4321\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nrefused\nrefused\n");
}

static void
test_network(void **state)
{
	(void) state;
	assert_machine_prints(
		"cat /sys/class/net/eth0/address 2>/dev/null; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | "
		"sort; cat /etc/hosts /etc/hostname /etc/resolv.conf; cat /proc/sys/net/ipv4/tcp_ehash_entries",
		"eth0\nlo\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
		"10.99.0.2\tpostgresql\npostgresql\nnameserver 10.99.0.1\n512\n");
}

static void
test_file_systems(void **state)
{
	(void) state;
	/* type, target, and the flags that matter, of every mount that is no cover or read-only repetition in /proc */
	assert_machine_prints("awk '$5 !~ \"^/proc/\" {print $5, $(NF-2)}' /proc/self/mountinfo | sort",
						  "/ overlay\n/dev overlay\n/dev/pts devpts\n/dev/shm tmpfs\n/proc proc\n/run/lttle tmpfs\n"
						  "/run/lttle.log tmpfs\n/srv/deep/data ext4\n");
}

/* Nothing gains privilege, nothing but /dev and the covers made of /dev/null is a device, /proc can't be written to. */
static void
test_mount_flags(void **state)
{
	(void) state;
	assert_machine_prints(
		"awk '$6 !~ /nosuid/' /proc/self/mountinfo; "
		"awk '$6 !~ /nodev/ && $5 !~ \"^/dev\" {print $5}' /proc/self/mountinfo | while read f; do "
		"[ -c $f ] || echo $f; done; "
		"awk '$5 ~ \"^/proc/\" && $6 !~ /^ro,/' /proc/self/mountinfo; "
		"awk '$5 == \"/dev\" || $5 == \"/run/lttle\" {print $5, substr($6, 1, 2)}' /proc/self/mountinfo | sort",
		"/dev ro\n/run/lttle ro\n");
}

static void
test_devices(void **state)
{
	(void) state;
	assert_machine_prints(
		"ls /dev | tr '\\n' ' '; echo; stat -c '%n %F %t:%T %a %u' /dev/null /dev/tty; "
		"echo x >/dev/null && head -c 3 /dev/zero | od -An -tx1; head -c 4 /dev/urandom | wc -c; "
		"echo x 2>/dev/null >/dev/full || echo full; echo to-stderr >>/dev/stderr; echo x 2>/dev/null >/dev/new || "
		"echo refused; readlink /dev/ptmx; stat -c '%a' /dev/pts/ptmx; stat -f -c '%b*%S' /dev/shm; "
		"python3 -c 'import pty; pty.openpty(); print(\"pty\")'",
		"fd full null ptmx pts random shm stderr stdin stdout tty urandom zero \n"
		"/dev/null character special file 1:3 666 0\n/dev/tty character special file 5:0 666 0\n"
		" 00 00 00\n4\nfull\nto-stderr\nrefused\npts/ptmx\n666\n2048*4096\npty\n");
}

/* What an image brings as a device of the host is gone, and its root can't hold one either. */
static void
test_devices_of_the_image_are_removed(void **state)
{
	char path[500];

	(void) state;
	snprintf(path, sizeof(path), "%s/dev", machine.root.merged);
	assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/dev/disk", machine.root.merged);
	assert_int_equal(mknod(path, S_IFBLK | 0666, makedev(7, 0)), 0);
	snprintf(path, sizeof(path), "%s/dev/zero", machine.root.merged);
	unlink(path);
	assert_int_equal(mknod(path, S_IFBLK | 0666, makedev(7, 0)), 0);
	snprintf(path, sizeof(path), "%s/tmp", machine.root.merged);
	assert_true(mkdir(path, 0777) == 0 || errno == EEXIST);
	snprintf(path, sizeof(path), "%s/tmp/kmem", machine.root.merged);
	assert_int_equal(mknod(path, S_IFCHR | 0666, makedev(1, 3)), 0);
	assert_int_equal(chmod(path, 0666), 0);
	assert_machine_prints(
		"ls /dev/disk 2>/dev/null; stat -c '%F %t:%T' /dev/zero; cat /tmp/kmem 2>/dev/null || echo nodev",
		"character special file 1:5\nnodev\n");
}

/* Links in an image lead into the machine, not to the host. */
static void
test_links_stay_inside(void **state)
{
	char path[500];
	struct stat status;

	(void) state;
	snprintf(path, sizeof(path), "%s/srv/deep", machine.root.merged);
	assert_int_equal(symlink("/var/../../../../../opt/lttle-inside", path), 0);
	snprintf(path, sizeof(path), "%s/opt/lttle-inside", machine.root.merged);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/etc/hosts", machine.root.merged);
	assert_true(unlink(path) == 0 || errno == ENOENT);
	assert_int_equal(symlink("/srv/deep/hosts", path), 0);
	assert_machine_prints("cat /opt/lttle-inside/data/kept 2>/dev/null; echo x >/opt/lttle-inside/data/kept; "
						  "stat -c %F /etc/hosts",
						  "regular file\n");
	assert_int_equal(stat("/opt/lttle-inside", &status), -1);
	snprintf(path, sizeof(path), "%s/kept", machine.volume.data_path);
	assert_int_equal(stat(path, &status), 0);
}

static void
test_the_host_is_out_of_reach(void **state)
{
	char script[600];

	(void) state;
	/* The test's own directory, other processes, the host's mounts; and /proc/sys can be read but not written. */
	snprintf(script, sizeof(script),
			 "ls %s 2>/dev/null; ls /proc | grep -c '^[0-9]' | awk '{print ($1 < 5)}'; ls -A /sys; ls /proc/1/root/ "
			 ">/dev/null && "
			 "readlink /proc/1/root; cat /proc/sys/kernel/ostype; [ -w /proc/sys/kernel/hostname ] || echo ro; "
			 "ls /sys/fs/cgroup 2>/dev/null; ipcs -q | grep -c 0x || true",
			 machine.layout.state_directory);
	assert_machine_prints(script, "1\n/\nLinux\nro\n0\n");
}

static void
test_volume_and_run_directory(void **state)
{
	char path[500];
	char *text = NULL;
	FILE *file;
	Error err = {0};

	(void) state;
	snprintf(path, sizeof(path), "%s/note", machine.run_directory);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs("from the host\n", file);
	fclose(file);
	assert_machine_prints(
		"cat /run/lttle/note; echo x 2>/dev/null >/run/lttle/new || echo ro; echo inside >/srv/deep/data/f; "
		"stat -c '%u:%g %a' /srv/deep/data /srv/deep/data/f",
		"from the host\nro\n1234:1235 700\n1234:1235 644\n");
	snprintf(path, sizeof(path), "%s/f", machine.volume.data_path);
	check(file_read(path, 100, &text, NULL, &err), &err);
	assert_string_equal(text, "inside\n");
	free(text);
}

static void
test_volume_is_a_limit(void **state)
{
	(void) state;
	assert_machine_prints(
		"dd if=/dev/zero of=/srv/deep/data/big bs=1M count=64 2>&1 | grep -o 'No space left on device'; "
		"rm /srv/deep/data/big; echo fits >/srv/deep/data/small && cat /srv/deep/data/small",
		"No space left on device\nfits\n");
}

static void
test_shared_memory_is_a_limit(void **state)
{
	(void) state;
	assert_machine_prints("dd if=/dev/zero of=/dev/shm/big bs=1M count=16 2>&1 | grep -o 'No space left on device'",
						  "No space left on device\n");
}

static void
test_root_is_the_machines_own(void **state)
{
	char path[500];
	struct stat status;

	(void) state;
	assert_machine_prints("echo mine >/tmp/lttle-own && cat /tmp/lttle-own", "mine\n");
	assert_machine_prints("cat /tmp/lttle-own", "mine\n"); /* and stays over a restart */
	assert_int_equal(stat("/tmp/lttle-own", &status), -1);
	snprintf(path, sizeof(path), "%s/tmp/lttle-own", machine.root.upper);
	assert_int_equal(stat(path, &status), 0);
}

static void
test_log_is_appended(void **state)
{
	const char *const argv[] = {"sh", "-c", "echo out; echo err >&2", NULL};
	struct stat status;
	char *log;
	Error err = {0};

	(void) state;
	check(machine_start(argv, &err), &err);
	assert_int_equal(machine_wait(), 0);
	check(machine_start(argv, &err), &err);
	assert_int_equal(machine_wait(), 0);
	log = machine_log();
	assert_string_equal(log, "out\nerr\nout\nerr\n");
	free(log);
	assert_int_equal(stat(machine.log_path, &status), 0);
	assert_int_equal(status.st_uid, MACHINE_UID);
	assert_int_equal(status.st_mode & 07777, 0640);
}

static void
test_memory_limit(void **state)
{
	const char *const argv[] = {"python3", "-c", "x = bytearray(b'x') * (400 << 20); print('got it')", NULL};
	CgroupLimits limits = {.memory_bytes = 64 * MIB};
	char *log;
	Error err = {0};
	int status;

	(void) state;
	check(cgroup_set_limits(machine.cgroups, machine.group, &limits, &err), &err);
	check(machine_start(argv, &err), &err);
	status = machine_wait();
	log = machine_log();
	assert_true(status != 0);
	assert_null(strstr(log, "got it"));
	free(log);
}

static void
test_open_files_and_core(void **state)
{
	(void) state;
	assert_machine_prints("[ $(ulimit -n) -ge 1024 ] && echo enough; ulimit -c; cat /proc/self/oom_score_adj",
						  "enough\n0\n0\n");
}

/* Everything that the first process sees in its descriptors. */
static void
test_no_descriptor_leaks(void **state)
{
	int leak = open("/etc/passwd", O_RDONLY); /* without close-on-exec, on purpose */

	(void) state;
	assert_true(leak >= 0);
	assert_machine_prints("ls /proc/1/fd; readlink /proc/1/fd/0; readlink /proc/1/fd/1; readlink /proc/1/fd/2",
						  "0\n1\n2\n/dev/null\n/run/lttle.log\n/run/lttle.log\n");
	close(leak);
}

static void
assert_start_fails(const char *const argv[], int code, const char *message)
{
	pid_t *pids = NULL;
	size_t count = 1;
	Error err = {0};

	assert_int_equal(machine_start(argv, &err), code);
	assert_string_equal(err.message, message);
	check(cgroup_list_processes(machine.cgroups, machine.group, &pids, &count, &err), &err);
	free(pids);
	assert_int_equal(count, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void
test_errors_name_the_step(void **state)
{
	const char *const missing[] = {"lttle-no-such-program", NULL};
	const char *const missing_path[] = {"/usr/bin/lttle-no-such-program", NULL};
	const char *const no_program[] = {"/etc/hostname", NULL};
	const char *const works[] = {"true", NULL};

	(void) state;
	assert_start_fails(missing, -ENOENT, "exec lttle-no-such-program: No such file or directory");
	assert_start_fails(missing_path, -ENOENT, "exec /usr/bin/lttle-no-such-program: No such file or directory");
	assert_start_fails(no_program, -EACCES, "exec /etc/hostname: Permission denied");
	machine.spec.working_directory = "/etc/hostname/nowhere";
	assert_start_fails(works, -ENOTDIR, "/etc/hostname/nowhere: mkdir: Not a directory");
	machine.spec.working_directory = "/srv";
	machine.mounts[0].source = "/tmp/lttle-not-there";
	assert_start_fails(works, -ENOENT, "mount /tmp/lttle-not-there: No such file or directory");
	machine.mounts[0].source = machine.volume.data_path;
	machine.spec.network_path = "/tmp/lttle-not-there";
	assert_start_fails(works, -ENOENT, "/tmp/lttle-not-there: No such file or directory");
	machine.spec.network_path = machine.network.pin_path;
	assert_machine_prints("pwd", "/srv\n");
	/* One that the image has not made is made, for the server's user. */
	machine.spec.working_directory = "/nowhere/yet";
	assert_machine_prints("pwd; touch file && echo mine", "/nowhere/yet\nmine\n");
}

/* A launcher that is killed in the middle leaves no half-made machine; one that has done its work may go. */
static void
test_machine_outlives_its_launcher(void **state)
{
	const char *const argv[] = {"sh", "-c", "exec sleep 1000", NULL};
	pid_t launcher = fork();
	pid_t *pids = NULL;
	size_t count = 0;
	int status = 0;
	Error err = {0};

	(void) state;
	if (launcher == 0)
		_exit(machine_start(argv, NULL) == 0 ? 0 : 1);
	assert_int_equal(waitpid(launcher, &status, 0), launcher);
	assert_int_equal(status, 0);
	check(cgroup_list_processes(machine.cgroups, machine.group, &pids, &count, &err), &err);
	assert_int_equal(count, 1);
	assert_int_equal(kill(pids[0], 0), 0);
	free(pids);
}

/* With its first process the whole machine ends. */
static void
test_first_process_takes_all_along(void **state)
{
	const char *const argv[] = {"sh", "-c", "sleep 1000 & setsid sleep 1000 & echo up; exec sleep 1000", NULL};
	Error err = {0};
	int status;

	(void) state;
	check(machine_start(argv, &err), &err);
	assert_int_equal(kill(machine.pid, SIGKILL), 0);
	status = machine_wait();
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_true(machine_wait_empty());
}

/* ---- system calls, tried from inside by this program itself ---- */

static void
probe(const char *name, long result)
{
	printf("%s %s\n", name, result >= 0 ? "ok" : strerrorname_np(errno));
}

static int
probe_main(void)
{
	struct io_uring_params ring = {0};
	char stack[16] = {0};

	setvbuf(stdout, NULL, _IONBF, 0);
	probe("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
	probe("umount", umount2("/proc", MNT_DETACH));
	probe("unshare-user", unshare(CLONE_NEWUSER));
	probe("unshare-net", unshare(CLONE_NEWNET));
	probe("setns", setns(0, 0));
	probe("pivot_root", syscall(SYS_pivot_root, ".", "."));
	probe("open_tree", open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE));
	probe("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	probe("process_vm_readv", syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0));
	probe("bpf", syscall(SYS_bpf, 0, NULL, 0));
	probe("keyctl", syscall(SYS_keyctl, 0, 0, 0, 0, 0));
	probe("add_key", syscall(SYS_add_key, "user", "x", "x", 1, -1));
	probe("io_uring", syscall(SYS_io_uring_setup, 1, &ring));
	probe("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	probe("userfaultfd", syscall(SYS_userfaultfd, 0));
	probe("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
	probe("sethostname", sethostname("x", 1));
	probe("chroot", chroot("/"));
	probe("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, stack, 0));
	probe("clone-user", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, 0));
	probe("clone3", syscall(SYS_clone3, NULL, 0));
	probe("unknown", syscall(1999));
	probe("personality", syscall(SYS_personality, 0x0040000)); /* ADDR_NO_RANDOMIZE */
	probe("socket-unix", socket(AF_UNIX, SOCK_STREAM, 0));
	probe("socket-inet6", socket(AF_INET6, SOCK_STREAM, 0));
	probe("socket-netlink", socket(AF_NETLINK, SOCK_RAW, 0));
	probe("socket-vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
	probe("socket-raw", socket(AF_INET, SOCK_RAW, 1 /* IPPROTO_ICMP */));
	probe("socket-packet", socket(AF_PACKET, SOCK_RAW, 0));
	probe("socket-alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
	/* the upper half of the argument is not what the kernel looks at */
	probe("socket-vsock-high", syscall(SYS_socket, (UINT64_C(1) << 32) | AF_VSOCK, SOCK_STREAM, 0));
	probe("socket-mptcp", socket(AF_INET, SOCK_STREAM, 262 /* IPPROTO_MPTCP */));
	probe("fork", fork());
	return 0;
}

static void
assert_system_calls(void)
{
	const char *const argv[] = {"/probe", "--probe", NULL};
	char *log;
	Error err = {0};
	int status;

	machine.mount_count = 3;
	check(machine_start(argv, &err), &err);
	status = machine_wait();
	log = machine_log();
	assert_int_equal(status, 0);
	/* the child of the last one prints it a second time */
	if (strlen(log) > 8 && strcmp(log + strlen(log) - 16, "fork ok\nfork ok\n") == 0)
		log[strlen(log) - 8] = '\0';
	assert_string_equal(
		log, "mount EPERM\numount EPERM\nunshare-user EPERM\nunshare-net EPERM\nsetns EPERM\n"
			 "pivot_root EPERM\nopen_tree EPERM\nptrace EPERM\nprocess_vm_readv EPERM\nbpf EPERM\n"
			 "keyctl EPERM\nadd_key EPERM\nio_uring EPERM\nperf_event_open EPERM\nuserfaultfd EPERM\n"
			 "reboot EPERM\nsethostname EPERM\nchroot EPERM\nopen_by_handle_at EPERM\nclone-user EPERM\n"
			 "clone3 ENOSYS\nunknown ENOSYS\npersonality ENOSYS\nsocket-unix ok\nsocket-inet6 ok\n"
			 "socket-netlink ok\nsocket-vsock EAFNOSUPPORT\nsocket-raw EPERM\nsocket-packet EAFNOSUPPORT\n"
			 "socket-alg EAFNOSUPPORT\nsocket-vsock-high EAFNOSUPPORT\nsocket-mptcp EPROTONOSUPPORT\nfork ok\n");
	free(log);
}

static void
test_system_calls(void **state)
{
	(void) state;
	assert_system_calls();
}

static void
test_system_calls_of_root(void **state)
{
	(void) state;
	machine.spec.uid = 0;
	machine.spec.gid = 0;
	assert_system_calls();
}

#define with_machine(test) cmocka_unit_test_setup_teardown(test, machine_set_up, machine_tear_down)

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		with_machine(test_identity),
		with_machine(test_root_inside_has_next_to_nothing),
		with_machine(test_root_inside_becomes_another_user),
		with_machine(test_network),
		with_machine(test_file_systems),
		with_machine(test_mount_flags),
		with_machine(test_devices),
		with_machine(test_devices_of_the_image_are_removed),
		with_machine(test_links_stay_inside),
		with_machine(test_the_host_is_out_of_reach),
		with_machine(test_volume_and_run_directory),
		with_machine(test_volume_is_a_limit),
		with_machine(test_shared_memory_is_a_limit),
		with_machine(test_root_is_the_machines_own),
		with_machine(test_log_is_appended),
		with_machine(test_memory_limit),
		with_machine(test_open_files_and_core),
		with_machine(test_no_descriptor_leaks),
		with_machine(test_errors_name_the_step),
		with_machine(test_machine_outlives_its_launcher),
		with_machine(test_first_process_takes_all_along),
		with_machine(test_system_calls),
		with_machine(test_system_calls_of_root),
	};

	if (argc > 1 && strcmp(argv[1], "--probe") == 0)
		return probe_main();
	if (fixture_enter_namespaces() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
