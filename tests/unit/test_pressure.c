/* What the kernel tells of memory, from files that look like its own: figures, and the trigger that is written. */
#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "fixture_data.h"
#include "host/meminfo.h"
#include "host/pressure.h"

static char *directory;
static char *path;

static int
make_directory(void **state)
{
	(void) state;
	directory = data_make_directory();
	path = memory_printf("%s/file", directory);
	return 0;
}

static int
remove_directory(void **state)
{
	(void) state;
	data_remove_directory(directory);
	free(path);
	return 0;
}

static void
write_text(const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void
test_figures(void **state)
{
	HostMemory memory;
	Error err = {0};

	(void) state;
	write_text("MemTotal:       24684084 kB\nMemFree:               1 kB\nMemAvailable:   23944896 kB\n"
			   "SwapCached:            7 kB\nSwapTotal:       4194300 kB\nSwapFree:              0 kB\n");
	assert_int_equal(meminfo_read(path, &memory, &err), 0);
	assert_int_equal(memory.total_bytes, UINT64_C(24684084) << 10);
	assert_int_equal(memory.available_bytes, UINT64_C(23944896) << 10);
	assert_int_equal(memory.swap_total_bytes, UINT64_C(4194300) << 10);
	assert_int_equal(memory.swap_free_bytes, 0);
}

static void
test_what_is_no_meminfo(void **state)
{
	static const struct
	{
		const char *text;
		const char *missing;
	} cases[] = {
		{"", "MemTotal:"},
		{"MemTotal: 1 kB\nSwapTotal: 1 kB\nSwapFree: 1 kB\n", "MemAvailable:"},
		{"MemTotal: 1 kB\nMemAvailable: 1 kB\nSwapTotal: 1 kB\nSwapFree: many kB\n", "SwapFree:"},
		{"MemTotal: 1 kB\nMemAvailable: -1 kB\nSwapTotal: 1 kB\nSwapFree: 1 kB\n", "MemAvailable:"},
		{"MemTotal: 1\nMemAvailable: 1 kB\nSwapTotal: 1 kB\nSwapFree: 1 kB\n", "MemTotal:"},
		{"NotMemTotal: 1 kB\nMemAvailable: 1 kB\nSwapTotal: 1 kB\nSwapFree: 1 kB", "MemTotal:"},
		{"MemTotal: 1 kB\nMemAvailable: 1 kB\nSwapTotal: 1 kB\nSwapFree:", "SwapFree:"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		HostMemory memory = {.total_bytes = 4711};
		Error err = {0};

		write_text(cases[i].text);
		assert_int_equal(meminfo_read(path, &memory, &err), -EBADMSG);
		assert_non_null(strstr(err.message, cases[i].missing));
		assert_int_equal(memory.total_bytes, 4711);
	}
}

static void
test_no_file(void **state)
{
	HostMemory memory;
	PressureWatch *watch = NULL;
	Error err = {0};
	int fd = -1;

	(void) state;
	unlink(path);
	assert_int_equal(meminfo_read(path, &memory, &err), -ENOENT);
	assert_int_equal(pressure_trigger_open(path, 10, &fd, &err), -ENOENT);
	assert_non_null(strstr(err.message, path));
	assert_int_equal(fd, -1);
	assert_int_equal(pressure_watch_open(NULL, path, 10, NULL, NULL, &watch, &err), -ENOENT);
	assert_null(watch);
	pressure_watch_close(watch);
}

/* The window is a multiple of two seconds: all that the kernel takes from who has no CAP_SYS_RESOURCE. */
static void
test_trigger(void **state)
{
	static const struct
	{
		unsigned percent;
		const char *trigger;
	} cases[] = {{1, "some 20000 2000000"}, {10, "some 200000 2000000"}, {99, "some 1980000 2000000"}};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		_cleanup_fd_ int fd = -1;
		_cleanup_free_ char *written = NULL;
		size_t size = 0;
		Error err = {0};

		write_text("");
		assert_int_equal(pressure_trigger_open(path, cases[i].percent, &fd, &err), 0);
		assert_int_equal(file_read(path, 100, &written, &size, &err), 0);
		assert_string_equal(written, cases[i].trigger);
		assert_int_equal(size, strlen(cases[i].trigger) + 1);
	}
}

/* A file that can't be waited for is refused, and nothing stays open. */
static void
test_what_cannot_be_watched(void **state)
{
	struct event_base *loop = event_base_new();
	PressureWatch *watch = NULL;
	Error err = {0};
	int before = dup(0);
	int after;

	(void) state;
	close(before);
	write_text("");
	assert_int_equal(pressure_watch_open(loop, path, 10, NULL, NULL, &watch, &err), -EPERM);
	assert_null(watch);
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
	event_base_free(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_figures), cmocka_unit_test(test_what_is_no_meminfo),	   cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_trigger), cmocka_unit_test(test_what_cannot_be_watched),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
