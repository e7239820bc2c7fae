/*
 * Giving back the memory of a really frozen process tree, with a compressed swap device of the test's own (needs
 * root): the memory goes, it comes back unharmed whenever the work is ended, the hot set comes back before it is asked
 * for, and an image's files stay.
 */
#include "fixture_machine.h"

#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "base/text.h"
#include "host/hotset.h"
#include "host/reclaim.h"
#include "host/swap.h"

#define MIB			  (1024 * 1024)
#define PRIVATE_BYTES (24 * MIB)
#define SHARED_BYTES  (24 * MIB)
#define HOT_BYTES	  (1 * MIB)
#define HOTSET_MAX	  (64 * MIB) /* a sanitizer brings many pages of its own */
#define PAGE_BYTES	  4096

static char hotset_path[96];
static char data_directory[96];

/*
 * The machine: a process with private and shared memory, in a directory that looks like PostgreSQL's, and a child that
 * shares both. The parent obeys one-byte commands: 'h' touches the hot part of its memory and the hot file, 'v'
 * verifies everything. Each is answered by one byte.
 */
static int command_fd = -1;

static unsigned char
pattern(size_t page)
{
	return (unsigned char) (page * 37 + 11);
}

static void
fill(unsigned char *memory, size_t bytes)
{
	for (size_t page = 0; page < bytes / PAGE_BYTES; page++)
		memset(memory + page * PAGE_BYTES, pattern(page), PAGE_BYTES);
}

static bool
verify(const unsigned char *memory, size_t bytes)
{
	for (size_t page = 0; page < bytes / PAGE_BYTES; page++)
	{
		const unsigned char *at = memory + page * PAGE_BYTES;

		if (at[0] != pattern(page) || memcmp(at, at + 1, PAGE_BYTES - 1) != 0)
			return false;
	}
	return true;
}

static void
touch_hot(const unsigned char *memory)
{
	volatile unsigned char sink = 0;

	for (size_t at = 0; at < HOT_BYTES; at += PAGE_BYTES)
		sink = (unsigned char) (sink + memory[at]);
}

static void
read_hot_file(void)
{
	char bytes[PAGE_BYTES];
	int fd = open("base/5/pg_internal.init", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		_exit(80);
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	close(fd);
}

static void
machine_run(int fd)
{
	unsigned char *private_memory =
		mmap(NULL, PRIVATE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *shared_memory = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char command;

	if (chdir(data_directory) < 0 || cgroup_attach(fixture.cgroups, fixture.group, getpid(), NULL) < 0)
		_exit(81);
	fill(private_memory, PRIVATE_BYTES);
	fill(shared_memory, SHARED_BYTES);
	if (fork() == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		touch_hot(shared_memory);
		for (;;)
			pause();
	}
	for (command = 'r';;)
	{
		if (write(fd, &command, 1) != 1 || read(fd, &command, 1) != 1)
			_exit(0);
		if (command == 'h')
		{
			touch_hot(private_memory);
			touch_hot(shared_memory);
			read_hot_file();
		}
		else if (!verify(private_memory, PRIVATE_BYTES) || !verify(shared_memory, SHARED_BYTES))
			command = '!';
	}
}

static void
expect_answer(char expected)
{
	char answer;

	assert_int_equal(client_receive(command_fd, &answer, 1), 1);
	assert_int_equal(answer, expected);
}

static void
order(char command)
{
	assert_int_equal(write(command_fd, &command, 1), 1);
	expect_answer(command);
}

static int
setup(void **state)
{
	int pair[2];

	(void) state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fixture.server = fork();
	if (fixture.server == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		machine_run(pair[1]);
	}
	close(pair[1]);
	command_fd = pair[0];
	expect_answer('r');
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	fixture_server_stop();
	close(command_fd);
	hotset_forget(hotset_path);
	return 0;
}

static ReclaimResult
reclaim(const char *hotset, uint64_t max_bytes)
{
	ReclaimSpec spec = {
		.cgroups = fixture.cgroups,
		.cgroup = fixture.group,
		.hotset_path = hotset,
		.hotset_max_bytes = max_bytes,
	};
	ReclaimResult result;
	Error err = {0};

	fixture_check(reclaim_run(&spec, &result, &err), &err);
	return result;
}

static void
record(uint64_t max_bytes)
{
	Error err = {0};

	fixture_check(hotset_record(fixture.cgroups, fixture.group, hotset_path, max_bytes, &err), &err);
}

static uint64_t
swapped_bytes(void)
{
	CgroupMemory memory;
	Error err = {0};

	fixture_check(cgroup_read_memory(fixture.cgroups, fixture.group, &memory, &err), &err);
	return memory.swapped_bytes;
}

static void
test_memory_goes_and_comes_back(void **state)
{
	ReclaimResult result;

	(void) state;
	fixture_freeze();
	result = reclaim(NULL, 0);
	print_message("reclaimed %llu -> %llu KiB in %.1f ms\n", (unsigned long long) result.before_bytes / 1024,
				  (unsigned long long) result.after_bytes / 1024, (double) result.took_us / 1000);
	assert_true(result.before_bytes >= PRIVATE_BYTES + SHARED_BYTES);
	assert_true(result.after_bytes < result.before_bytes / 20);
	assert_int_equal(result.hot_bytes, 0);
	assert_true(swapped_bytes() > (PRIVATE_BYTES + SHARED_BYTES) / 10 * 9);
	assert_true(fixture_is_frozen());
	fixture_thaw();
	order('v');
}

static bool
has_file(const Hotset *hotset, const char *path)
{
	for (size_t i = 0; i < hotset->file_count; i++)
	{
		if (strcmp(hotset->files[i].path, path) == 0)
			return true;
	}
	return false;
}

/* Sleep, wake and use a part, record, sleep again: that part is in memory before anybody asks for it. */
static void
test_hot_set_comes_back(void **state)
{
	ReclaimResult result;
	Hotset hotset;
	Error err = {0};

	(void) state;
	fixture_freeze();
	reclaim(hotset_path, HOTSET_MAX); /* there is none yet */
	fixture_thaw();
	order('h');
	record(HOTSET_MAX);
	fixture_check(hotset_read(hotset_path, &hotset, &err), &err);
	assert_int_equal(hotset.processes[0].pid, fixture.server);
	assert_true(has_file(&hotset, "base/5/pg_internal.init"));
	hotset_clear(&hotset);
	fixture_freeze();
	result = reclaim(hotset_path, HOTSET_MAX);
	print_message("hot set: %llu KiB\n", (unsigned long long) result.hot_bytes / 1024);
	assert_true(result.hot_bytes >= 2 * HOT_BYTES);
	assert_true(result.hot_bytes <= HOTSET_MAX);
	assert_true(result.after_bytes < result.before_bytes / 2);
	assert_true(swapped_bytes() < PRIVATE_BYTES + SHARED_BYTES - HOT_BYTES);
	fixture_thaw();
	order('v');
}

static void
test_hot_set_has_a_limit(void **state)
{
	(void) state;
	record(256 * 1024);
	fixture_freeze();
	assert_true(reclaim(hotset_path, 8 * MIB).hot_bytes <= 256 * 1024);
	assert_true(reclaim(hotset_path, 64 * 1024).hot_bytes <= 64 * 1024);
	assert_int_equal(reclaim(hotset_path, 0).hot_bytes, 0);
	fixture_thaw();
	order('v');
}

static void
test_damaged_hot_set_is_ignored(void **state)
{
	char *bytes = NULL;
	size_t size = 0;
	Error err = {0};
	int fd;

	(void) state;
	record(8 * MIB);
	fixture_check(file_read(hotset_path, MIB, &bytes, &size, &err), &err);
	free(bytes);
	fixture_freeze();
	assert_int_equal(truncate(hotset_path, (off_t) size / 2), 0);
	assert_int_equal(reclaim(hotset_path, 8 * MIB).hot_bytes, 0);
	fd = open(hotset_path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "LHOTSET1 and then nothing of use", 32), 32);
	close(fd);
	assert_int_equal(reclaim(hotset_path, 8 * MIB).hot_bytes, 0);
	fixture_thaw();
	order('v');
}

/* The number is the same, the process another: its pages mean nothing. */
static void
test_hot_set_of_another_process_is_ignored(void **state)
{
	Hotset hotset;
	Error err = {0};

	(void) state;
	record(8 * MIB);
	fixture_check(hotset_read(hotset_path, &hotset, &err), &err);
	for (size_t i = 0; i < hotset.process_count; i++)
		hotset.processes[i].start_time--;
	fixture_check(hotset_write(hotset_path, &hotset, &err), &err);
	hotset_clear(&hotset);
	fixture_freeze();
	assert_int_equal(reclaim(hotset_path, 8 * MIB).hot_bytes, 0);
	fixture_thaw();
	order('v');
}

/* Addresses that the process doesn't have any more are passed over, the others still come. */
static void
test_hot_set_with_lost_mappings(void **state)
{
	Hotset hotset;
	uint64_t came;
	Error err = {0};

	(void) state;
	record(HOTSET_MAX);
	fixture_check(hotset_read(hotset_path, &hotset, &err), &err);
	{
		/* A hole at the very beginning of the address space, before all that is there. */
		HotRanges with_hole = {0};

		for (uint64_t page = 16; page < 1024; page++)
			hot_ranges_add(&with_hole, page * PAGE_BYTES);
		for (size_t i = 0; i < hotset.processes[0].ranges.count; i++)
		{
			HotRange range = hotset.processes[0].ranges.items[i];

			for (uint64_t page = 0; page < range.pages; page++)
				hot_ranges_add(&with_hole, range.address + page * PAGE_BYTES);
		}
		free(hotset.processes[0].ranges.items);
		hotset.processes[0].ranges = with_hole;
	}
	fixture_check(hotset_write(hotset_path, &hotset, &err), &err);
	hotset_clear(&hotset);
	fixture_freeze();
	came = reclaim(hotset_path, HOTSET_MAX).hot_bytes;
	assert_true(came >= 2 * MIB);
	fixture_thaw();
	order('v');
}

/* Links and pipes in the data directory lead nowhere and stop nobody. */
static void
test_hostile_data_directory(void **state)
{
	char *pipe_path = memory_printf("%s/base/pipe", data_directory);
	char *link_path = memory_printf("%s/base/link", data_directory);
	char *loop_path = memory_printf("%s/base/loop", data_directory);
	Hotset hotset;
	Error err = {0};

	(void) state;
	assert_int_equal(mkfifo(pipe_path, 0600), 0);
	assert_int_equal(symlink("/etc/passwd", link_path), 0);
	assert_int_equal(symlink("..", loop_path), 0);
	order('h');
	record(HOTSET_MAX);
	unlink(pipe_path);
	unlink(link_path);
	unlink(loop_path);
	fixture_check(hotset_read(hotset_path, &hotset, &err), &err);
	for (size_t i = 0; i < hotset.file_count; i++)
	{
		assert_null(strstr(hotset.files[i].path, "link"));
		assert_null(strstr(hotset.files[i].path, "loop"));
	}
	/* A record that leads outside is not followed either. */
	for (size_t i = 0; i < hotset.file_count; i++)
	{
		free(hotset.files[i].path);
		hotset.files[i].path = memory_duplicate("../../etc/passwd");
	}
	assert_true(hotset.file_count > 0);
	assert_int_equal(hotset_restore_files(&hotset, fixture.server, 1000), 0);
	hotset_clear(&hotset);
	free(pipe_path);
	free(link_path);
	free(loop_path);
}

/* A wake kills the work wherever it is; nothing may be lost by that. */
static void
test_killed_in_the_middle(void **state)
{
	(void) state;
	record(8 * MIB);
	for (int round = 0; round < 25; round++)
	{
		struct timespec pause_time = {.tv_nsec = round * 2000000L};
		pid_t child;

		fixture_freeze();
		child = fork();
		if (child == 0)
		{
			ReclaimSpec spec = {.cgroups = fixture.cgroups,
								.cgroup = fixture.group,
								.hotset_path = hotset_path,
								.hotset_max_bytes = 8 * MIB};
			ReclaimResult result;

			_exit(reclaim_run(&spec, &result, NULL) < 0);
		}
		nanosleep(&pause_time, NULL);
		kill(child, SIGKILL);
		fixture_thaw();
		order('v');
		assert_int_equal(waitpid(child, NULL, 0), child);
	}
}

/* A machine that is gone, or that ends while it is reclaimed. */
static void
test_processes_that_end(void **state)
{
	ReclaimSpec spec = {.cgroups = fixture.cgroups, .cgroup = fixture.group};
	ReclaimResult result;
	Error err = {0};

	(void) state;
	fixture_server_stop();
	fixture_check(reclaim_run(&spec, &result, &err), &err);
	assert_true(result.after_bytes < MIB);
	spec.cgroup = "ltw-nowhere/nothing";
	assert_true(reclaim_run(&spec, &result, &err) < 0);
	assert_true(err.message[0] != '\0');
}

/* ---- the image's files ---- */

static pid_t holder;

/* AddressSanitizer replaces mlock(2) by nothing. */
static void
skip_without_mlock(void)
{
#ifdef __SANITIZE_ADDRESS__
	print_message("AddressSanitizer locks no memory: SKIPPED\n");
	skip();
#endif
}

static uint64_t
holder_locked_bytes(void)
{
	char path[64];
	char *text = NULL;
	char *line;
	unsigned long long locked_kib = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int) holder);
	if (file_read(path, 65536, &text, NULL, NULL) < 0)
		return 0;
	line = strstr(text, "\nVmLck:");
	if (line != NULL)
		sscanf(line + 7, "%llu", &locked_kib);
	free(text);
	return locked_kib * 1024;
}

static size_t
holder_descriptors(void)
{
	char path[64];
	size_t count = 0;
	struct dirent *entry;
	DIR *opened;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int) holder);
	opened = opendir(path);
	while (opened != NULL && (entry = readdir(opened)) != NULL)
		count += entry->d_name[0] != '.';
	if (opened != NULL)
		closedir(opened);
	return count;
}

static ImagePinSpec
pin_spec(const char *root, char group[64])
{
	snprintf(group, 64, "%s/pinned", fixture.prefix);
	return (ImagePinSpec){
		.cgroups = fixture.cgroups,
		.cgroup = group,
		.image_root = root,
		.machine_pid = fixture.server,
		.max_bytes = 256 * MIB,
	};
}

static void
test_image_files_are_locked(void **state)
{
	char group[64];
	ImagePinSpec spec = pin_spec("/", group);
	char path[64];
	char *name = NULL;
	pid_t *pids = NULL;
	size_t count = 0;
	Error err = {0};

	(void) state;
	skip_without_mlock();
	fixture_check(image_pin_start(&spec, &holder, &err), &err);
	/* Everything is locked when the holder has let go of its last descriptor. */
	fixture_await(holder_locked_bytes() > 0 && holder_descriptors() == 0);
	assert_true(holder_locked_bytes() > MIB);
	snprintf(path, sizeof(path), "/proc/%d/comm", (int) holder);
	fixture_check(file_read(path, 64, &name, NULL, &err), &err);
	assert_string_equal(name, "lttle-pin\n");
	free(name);
	fixture_check(cgroup_list_processes(fixture.cgroups, group, &pids, &count, &err), &err);
	assert_int_equal(count, 1);
	assert_int_equal(pids[0], holder);
	free(pids);
	kill(holder, SIGKILL);
	waitpid(holder, NULL, 0);
	fixture_remove_group(group);
}

static void
test_image_without_the_files(void **state)
{
	char group[64];
	ImagePinSpec spec = pin_spec(janitor_directory, group);
	int status = 0;
	Error err = {0};

	(void) state;
	fixture_check(image_pin_start(&spec, &holder, &err), &err);
	assert_int_equal(waitpid(holder, &status, 0), holder);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	fixture_remove_group(group);
}

static void
test_holder_ends_with_its_parent(void **state)
{
	char group[64];
	ImagePinSpec spec = pin_spec("/", group);
	int report[2];
	pid_t parent;

	(void) state;
	skip_without_mlock();
	assert_int_equal(pipe(report), 0);
	parent = fork();
	if (parent == 0)
	{
		pid_t started = 0;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (image_pin_start(&spec, &started, NULL) < 0 || write(report[1], &started, sizeof(started)) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(report[1]);
	assert_int_equal(read(report[0], &holder, sizeof(holder)), (ssize_t) sizeof(holder));
	close(report[0]);
	fixture_await(holder_locked_bytes() > 0);
	kill(parent, SIGKILL);
	waitpid(parent, NULL, 0);
	fixture_await(holder_locked_bytes() == 0);
	fixture_remove_group(group);
}

static int
group_setup(void **state)
{
	Error err = {0};
	unsigned number;
	char command[512];

	(void) state;
	snprintf(hotset_path, sizeof(hotset_path), "%s/hotset", janitor_directory);
	snprintf(data_directory, sizeof(data_directory), "%s/data", janitor_directory);
	snprintf(command, sizeof(command),
			 "mkdir -p %s/base/5 && cd %s && echo 17 >PG_VERSION && "
			 "dd if=/dev/urandom of=base/5/pg_internal.init bs=64k count=2 status=none",
			 data_directory, data_directory);
	if (system(command) != 0 || fixture_group_start() < 0)
		return -1;
	if (swap_zram_create(512 * MIB, janitor_swap_record, &number, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return 0;
}

static int
group_teardown(void **state)
{
	Error err = {0};
	int result = fixture_stop();

	(void) state;
	if (swap_zram_remove(janitor_swap_record, &err) < 0)
	{
		print_error("%s\n", err.message);
		return -1;
	}
	return result;
}

#define reclaim_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		reclaim_test(test_memory_goes_and_comes_back),
		reclaim_test(test_hot_set_comes_back),
		reclaim_test(test_hot_set_has_a_limit),
		reclaim_test(test_damaged_hot_set_is_ignored),
		reclaim_test(test_hot_set_of_another_process_is_ignored),
		reclaim_test(test_hot_set_with_lost_mappings),
		reclaim_test(test_hostile_data_directory),
		reclaim_test(test_killed_in_the_middle),
		reclaim_test(test_processes_that_end),
		reclaim_test(test_image_files_are_locked),
		reclaim_test(test_image_without_the_files),
		reclaim_test(test_holder_ends_with_its_parent),
	};

	alarm(300);
	if (janitor_start("reclaim") < 0)
		return 1;
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
