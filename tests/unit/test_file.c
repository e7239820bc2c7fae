/* Small files, whole: contents, limits, numbers, directories, and removing a tree without leaving it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"

static char root[64];

static const char *
at(const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
	return path;
}

static void
put(const char *name, const void *bytes, size_t size)
{
	_cleanup_file_ FILE *file = fopen(at(name), "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
}

static void
put_text(const char *name, const char *text)
{
	put(name, text, strlen(text));
}

static int
make_root(void **state)
{
	(void) state;
	strcpy(root, "/tmp/lttle-test-file-XXXXXX");
	return mkdtemp(root) == NULL ? -1 : 0;
}

static int
remove_root(void **state)
{
	(void) state;
	return file_remove_tree(root, NULL);
}

static void
test_read(void **state)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ char *empty = NULL;
	size_t size = 99;

	(void) state;
	put("a", "one\0two", 7);
	assert_int_equal(file_read(at("a"), 100, &text, &size, NULL), 0);
	assert_int_equal(size, 7);
	assert_memory_equal(text, "one\0two", 8); /* and a NUL after it */
	put("empty", "", 0);
	assert_int_equal(file_read(at("empty"), 100, &empty, &size, NULL), 0);
	assert_int_equal(size, 0);
	assert_string_equal(empty, "");
}

/* The limit holds to the byte, whether or not the buffer has to grow on the way. */
static void
test_read_has_a_limit(void **state)
{
	static const size_t limits[] = {0, 1, 63, 4095, 4096, 4097, 8192, 8193, 20000, 1 << 20};
	_cleanup_free_ char *bytes = malloc((1 << 20) + 1);

	(void) state;
	for (size_t i = 0; i <= 1 << 20; i++)
		bytes[i] = (char) (i * 7 + i / 251);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
	{
		_cleanup_free_ char *text = NULL;
		char *untouched = NULL;
		size_t size;
		Error error;

		put("limit", bytes, limits[i]);
		assert_int_equal(file_read(at("limit"), limits[i], &text, &size, &error), 0);
		assert_int_equal(size, limits[i]);
		assert_memory_equal(text, bytes, limits[i]);
		assert_int_equal(text[size], '\0');
		put("limit", bytes, limits[i] + 1);
		assert_int_equal(file_read(at("limit"), limits[i], &untouched, &size, &error), -EFBIG);
		assert_null(untouched);
		assert_non_null(strstr(error.message, "is longer than"));
	}
}

static void
test_read_names_the_file(void **state)
{
	char *text = NULL;
	Error error;

	(void) state;
	assert_int_equal(file_read(at("missing"), 10, &text, NULL, &error), -ENOENT);
	assert_null(text);
	assert_non_null(strstr(error.message, "/missing: No such file or directory"));
	assert_int_equal(file_read(root, 10, &text, NULL, &error), -EISDIR);
	assert_null(text);
}

/* A file in /proc says that it has no size and is read whole all the same. */
static void
test_read_proc(void **state)
{
	_cleanup_free_ char *text = NULL;

	(void) state;
	assert_int_equal(file_read("/proc/self/status", 1 << 20, &text, NULL, NULL), 0);
	assert_non_null(strstr(text, "Pid:"));
}

static void
test_write(void **state)
{
	_cleanup_free_ char *text = NULL;
	Error error;

	(void) state;
	put_text("knob", "0\n");
	assert_int_equal(file_write(at("knob"), "1\n", NULL), 0);
	assert_int_equal(file_read(at("knob"), 10, &text, NULL, NULL), 0);
	assert_string_equal(text, "1\n");
	/* A knob that isn't there must not become a file. */
	assert_int_equal(file_write(at("missing"), "1", &error), -ENOENT);
	assert_int_equal(access(at("missing"), F_OK), -1);
	assert_int_equal(file_write("/dev/full", "1", &error), -ENOSPC);
	assert_string_equal(error.message, "/dev/full: write '1': No space left on device");
}

static void
test_numbers(void **state)
{
	static const struct
	{
		const char *text;
		int result;
		uint64_t value;
	} cases[] = {
		{"0", 0, 0},
		{"4096\n", 0, 4096},
		{"18446744073709551615\n", 0, UINT64_MAX},
		{"18446744073709551616\n", -EINVAL, 0},
		{"max\n", -EINVAL, 0},
		{"12 34\n", -EINVAL, 0},
		{"12kB", -EINVAL, 0},
		{"\n", -EINVAL, 0},
		{"", -EINVAL, 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint64_t value = 77;

		put_text("number", cases[i].text);
		assert_int_equal(file_read_number(at("number"), &value, NULL), cases[i].result);
		assert_int_equal(value, cases[i].result == 0 ? cases[i].value : 77);
	}
}

static void
test_make_directory(void **state)
{
	char longer[5000];
	struct stat status;
	Error error;

	(void) state;
	assert_int_equal(file_make_directory(at("d/e/f"), 0700, NULL), 0);
	assert_int_equal(stat(at("d/e/f"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	assert_int_equal(stat(at("d/e"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0755);
	assert_int_equal(file_make_directory(at("d/e/f"), 0755, NULL), 0); /* left as it is */
	assert_int_equal(stat(at("d/e/f"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);

	put_text("file", "");
	assert_int_equal(file_make_directory(at("file/below"), 0700, &error), -ENOTDIR);
	assert_int_equal(file_make_directory("", 0700, &error), -ENAMETOOLONG);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(file_make_directory(longer, 0700, &error), -ENAMETOOLONG);
}

/* Removing goes down, but never through a symbolic link. */
static void
test_remove_tree(void **state)
{
	(void) state;
	assert_int_equal(file_make_directory(at("tree/a/b"), 0700, NULL), 0);
	assert_int_equal(file_make_directory(at("outside"), 0700, NULL), 0);
	put_text("outside/precious", "x");
	put_text("tree/a/file", "x");
	assert_int_equal(symlink(at("outside"), at("tree/a/link")), 0);
	assert_int_equal(symlink("nowhere", at("tree/dangling")), 0);
	assert_int_equal(file_remove_tree(at("tree"), NULL), 0);
	assert_int_equal(access(at("tree"), F_OK), -1);
	assert_int_equal(access(at("outside/precious"), F_OK), 0);

	assert_int_equal(file_remove_tree(at("tree"), NULL), 0); /* gone already */
	assert_int_equal(file_remove_tree(at("outside/precious"), NULL), 0);
	assert_int_equal(access(at("outside/precious"), F_OK), -1);

	/* The tree may itself be a link: the link goes, its target stays. */
	assert_int_equal(symlink(at("outside"), at("link")), 0);
	assert_int_equal(file_remove_tree(at("link"), NULL), 0);
	assert_int_equal(access(at("outside"), F_OK), 0);
}

static void
test_remove_tree_says_what_it_cannot(void **state)
{
	Error error;

	(void) state;
	assert_int_equal(file_remove_tree("/proc/self/status", &error), -EPERM);
	assert_string_equal(error.message, "/proc/self/status: remove: Operation not permitted");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_has_a_limit),
		cmocka_unit_test(test_read_names_the_file),
		cmocka_unit_test(test_read_proc),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_make_directory),
		cmocka_unit_test(test_remove_tree),
		cmocka_unit_test(test_remove_tree_says_what_it_cannot),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}
