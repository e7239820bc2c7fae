/*
 * A machine's log: its parts, their times, rotation that loses nothing and can be cut off at any point, and reading
 * over all of it. On a file system that can cut a file's front off, and on one (tmpfs) that cannot.
 */
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
#include "base/text.h"
#include "engine/log_reader.h"
#include "host/log_files.h"

#define LINE_BYTES 64
#define LINES	   1000

typedef struct Fixture
{
	char root[64];
	char path[128];
	int fd; /* the machine's own */
	unsigned lines;
	Text written;
} Fixture;

#define ASSERT_DONE(call)                                                                                              \
	do                                                                                                                 \
	{                                                                                                                  \
		Error error_ = {0};                                                                                            \
		if ((call) < 0)                                                                                                \
			fail_msg("%s: %s", #call, error_.message);                                                                 \
	} while (0)

static void
write_lines(Fixture *fixture, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
	{
		char line[LINE_BYTES + 1];

		snprintf(line, sizeof(line), "%-*u\n", LINE_BYTES - 1, ++fixture->lines);
		assert_int_equal(write(fixture->fd, line, LINE_BYTES), LINE_BYTES);
		text_append(&fixture->written, line);
	}
}

static int
fixture_make(void **state, const char *below)
{
	Fixture *fixture = memory_allocate(sizeof(*fixture));

	snprintf(fixture->root, sizeof(fixture->root), "%s/lttle-test-log-XXXXXX", below);
	if (mkdtemp(fixture->root) == NULL)
		return -1;
	snprintf(fixture->path, sizeof(fixture->path), "%s/machine.log", fixture->root);
	fixture->fd = open(fixture->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	*state = fixture;
	return fixture->fd < 0 ? -1 : 0;
}

static int
make_on_disk(void **state)
{
	return fixture_make(state, "/var/tmp");
}

static int
make_in_memory(void **state)
{
	return fixture_make(state, "/dev/shm");
}

static int
remove_fixture(void **state)
{
	Fixture *fixture = *state;
	int result = file_remove_tree(fixture->root, NULL);

	close(fixture->fd);
	text_clear(&fixture->written);
	free(fixture);
	return result;
}

static void
rotate(Fixture *fixture, unsigned files)
{
	uint64_t bytes;

	ASSERT_DONE(log_rotate_copy(fixture->path, &bytes, &error_));
	ASSERT_DONE(log_rotate_finish(fixture->path, bytes, files, &error_));
}

static void
assert_reads(const Fixture *fixture, LogReaderSpec spec, const char *wanted)
{
	_cleanup_text_ Text text = {0};
	LogReader *reader;

	spec.path = fixture->path;
	ASSERT_DONE(log_reader_open(&spec, &reader, &error_));
	while (log_reader_next(reader, &text))
		;
	assert_true(log_reader_is_alive(reader));
	log_reader_free(reader);
	assert_string_equal(text_string(&text), wanted);
}

static void
assert_reads_all(const Fixture *fixture)
{
	assert_reads(fixture, (LogReaderSpec){.tail_lines = LOG_READER_ALL_LINES}, text_string(&fixture->written));
}

static off_t
size_of(const Fixture *fixture)
{
	struct stat status;

	assert_int_equal(stat(fixture->path, &status), 0);
	return status.st_size;
}

static size_t
count_parts(const Fixture *fixture)
{
	LogParts parts;
	size_t count;

	ASSERT_DONE(log_parts_read(fixture->path, &parts, &error_));
	count = parts.count;
	log_parts_clear(&parts);
	return count;
}

static LogPart
current_part(const Fixture *fixture)
{
	LogParts parts;
	LogPart current;

	ASSERT_DONE(log_parts_read(fixture->path, &parts, &error_));
	current = parts.parts[parts.count - 1];
	log_parts_clear(&parts);
	return current;
}

/* What a coordinator notes when it sees the log as long as it is now. */
static void
note_time(const Fixture *fixture, uint64_t time_ms)
{
	LogPart current = current_part(fixture);
	LogTime time = {.end = current.end, .time_ms = time_ms};

	ASSERT_DONE(log_times_append(&current, &time, &error_));
}

/* ---- rotation ---- */

static void
test_rotation_loses_nothing(void **state)
{
	Fixture *fixture = *state;
	uint64_t bytes;

	for (unsigned turn = 0; turn < 3; turn++)
	{
		write_lines(fixture, LINES);
		ASSERT_DONE(log_rotate_copy(fixture->path, &bytes, &error_));
		write_lines(fixture, 10); /* between the copy and the cut */
		ASSERT_DONE(log_rotate_finish(fixture->path, bytes, 5, &error_));
		assert_true(size_of(fixture) < LINES * LINE_BYTES / 2);
		assert_int_equal(count_parts(fixture), turn + 2);
		assert_reads_all(fixture);
	}
	write_lines(fixture, 1);
	assert_reads_all(fixture);
}

static void
test_old_parts_go(void **state)
{
	Fixture *fixture = *state;
	LogParts parts;

	for (unsigned turn = 0; turn < 5; turn++)
	{
		write_lines(fixture, LINES);
		note_time(fixture, turn + 1);
		rotate(fixture, 2);
	}
	ASSERT_DONE(log_parts_read(fixture->path, &parts, &error_));
	assert_int_equal(parts.count, 3);
	assert_true(parts.parts[0].begin > 0);
	for (size_t i = 1; i < parts.count; i++)
		assert_int_equal(parts.parts[i].begin, parts.parts[i - 1].end);
	assert_reads(fixture, (LogReaderSpec){.tail_lines = LOG_READER_ALL_LINES},
				 text_string(&fixture->written) + parts.parts[0].begin);
	log_parts_clear(&parts);
	write_lines(fixture, LINES);
	rotate(fixture, 0);
	assert_int_equal(count_parts(fixture), 1);
}

static void
test_a_copy_alone_is_given_up(void **state)
{
	Fixture *fixture = *state;
	uint64_t bytes;

	write_lines(fixture, LINES);
	ASSERT_DONE(log_rotate_copy(fixture->path, &bytes, &error_));
	ASSERT_DONE(log_rotate_recover(fixture->path, &error_));
	assert_int_equal(count_parts(fixture), 1);
	assert_reads_all(fixture);
	ASSERT_DONE(log_rotate_recover(fixture->path, &error_));
}

static void
test_a_copy_of_what_was_cut_off_counts(void **state)
{
	Fixture *fixture = *state;
	uint64_t bytes;

	write_lines(fixture, LINES);
	ASSERT_DONE(log_rotate_copy(fixture->path, &bytes, &error_));
	/* As after the cut: only what is behind the copy is in the log. */
	assert_int_equal(ftruncate(fixture->fd, 0), 0);
	assert_int_equal(write(fixture->fd, text_string(&fixture->written) + bytes, fixture->written.length - bytes),
					 fixture->written.length - bytes);
	ASSERT_DONE(log_rotate_recover(fixture->path, &error_));
	assert_int_equal(count_parts(fixture), 2);
	assert_reads_all(fixture);
}

static void
test_a_log_that_was_emptied_is_not_cut(void **state)
{
	Fixture *fixture = *state;
	uint64_t bytes;

	write_lines(fixture, LINES);
	ASSERT_DONE(log_rotate_copy(fixture->path, &bytes, &error_));
	assert_int_equal(ftruncate(fixture->fd, 0), 0);
	assert_int_equal(log_rotate_finish(fixture->path, bytes, 5, NULL), -EAGAIN);
	assert_int_equal(log_rotate_copy(fixture->path, &bytes, NULL), -EAGAIN);
	assert_int_equal(count_parts(fixture), 1);
	assert_int_equal(size_of(fixture), 0);
}

static void
test_a_log_that_is_a_hole_is_left_alone(void **state)
{
	Fixture *fixture = *state;

	write_lines(fixture, LINES);
	assert_true(log_can_rotate(fixture->path));
	assert_int_equal(ftruncate(fixture->fd, 100 << 20), 0);
	assert_false(log_can_rotate(fixture->path));
}

/* ---- times ---- */

static void
test_times(void **state)
{
	Fixture *fixture = *state;
	LogPart part;
	LogTime time;
	uint64_t offset;

	part = current_part(fixture);
	assert_false(log_times_find(&part, 0, &time));
	assert_int_equal(log_times_end(&part), 0);
	for (unsigned i = 1; i <= 5; i++)
	{
		write_lines(fixture, 10);
		note_time(fixture, i * 1000);
	}
	part = current_part(fixture);
	for (unsigned i = 0; i < 50; i++)
	{
		assert_true(log_times_find(&part, (uint64_t) i * LINE_BYTES, &time));
		assert_int_equal(time.time_ms, (i / 10 + 1) * 1000);
	}
	assert_false(log_times_find(&part, 50 * LINE_BYTES, &time));
	assert_int_equal(log_times_end(&part), 50 * LINE_BYTES);
	assert_true(log_times_find_since(&part, 0, &offset));
	assert_int_equal(offset, 0);
	assert_true(log_times_find_since(&part, 2001, &offset));
	assert_int_equal(offset, 20 * LINE_BYTES);
	assert_true(log_times_find_since(&part, 5000, &offset));
	assert_int_equal(offset, 40 * LINE_BYTES);
	assert_false(log_times_find_since(&part, 5001, &offset));
}

static void
test_since_over_parts(void **state)
{
	Fixture *fixture = *state;
	const char *written;

	for (unsigned i = 1; i <= 4; i++)
	{
		write_lines(fixture, LINES);
		note_time(fixture, i * 1000);
		rotate(fixture, 5);
	}
	written = text_string(&fixture->written);
	for (unsigned i = 1; i <= 4; i++)
	{
		LogReaderSpec spec = {.since_ms = i * 1000, .tail_lines = LOG_READER_ALL_LINES};

		assert_reads(fixture, spec, written + (size_t) (i - 1) * LINES * LINE_BYTES);
	}
	assert_reads(fixture, (LogReaderSpec){.since_ms = 4001, .tail_lines = LOG_READER_ALL_LINES}, "");
	write_lines(fixture, 2); /* a moment ago: nobody has noted it yet */
	written = text_string(&fixture->written);
	assert_reads(fixture, (LogReaderSpec){.since_ms = 4001, .tail_lines = LOG_READER_ALL_LINES},
				 written + (size_t) 4 * LINES * LINE_BYTES);
	/* Both at once: the later beginning. */
	assert_reads(fixture, (LogReaderSpec){.since_ms = 4001, .tail_lines = 1},
				 written + (size_t) (4 * LINES + 1) * LINE_BYTES);
	assert_reads(fixture, (LogReaderSpec){.since_ms = 4001, .tail_lines = 100},
				 written + (size_t) 4 * LINES * LINE_BYTES);
}

static void
test_tail_over_parts(void **state)
{
	static const unsigned tails[] = {0, 1, 10, LINES - 1, LINES, LINES + 1, 2 * LINES + 7, 3 * LINES, 4 * LINES};
	Fixture *fixture = *state;

	for (unsigned i = 0; i < 3; i++)
	{
		write_lines(fixture, LINES);
		rotate(fixture, 5);
	}
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++)
	{
		unsigned lines = tails[i] < 3 * LINES ? tails[i] : 3 * LINES;

		assert_reads(fixture, (LogReaderSpec){.tail_lines = tails[i]},
					 text_string(&fixture->written) + (size_t) (3 * LINES - lines) * LINE_BYTES);
	}
}

static void
test_each_line_has_its_time(void **state)
{
	Fixture *fixture = *state;
	_cleanup_text_ Text wanted = {0};

	for (unsigned i = 0; i < 2; i++)
	{
		for (unsigned k = 0; k < LINES; k++)
			text_printf(&wanted, "2025-10-11T19:14:4%u.12%uZ %-*u\n", i, i, LINE_BYTES - 1, i * LINES + k + 1);
		write_lines(fixture, LINES);
		note_time(fixture, UINT64_C(1760210080120) + i * 1001);
		rotate(fixture, 5);
	}
	assert_reads(fixture, (LogReaderSpec){.tail_lines = LOG_READER_ALL_LINES, .times = true}, text_string(&wanted));
}

/* A reader that is in the middle while the log is rotated below it. */
static void
test_reading_goes_on_over_a_rotation(void **state)
{
	Fixture *fixture = *state;
	LogReaderSpec spec = {.path = fixture->path, .tail_lines = LOG_READER_ALL_LINES};
	_cleanup_text_ Text text = {0};
	LogReader *reader;

	write_lines(fixture, LINES);
	ASSERT_DONE(log_reader_open(&spec, &reader, &error_));
	assert_true(log_reader_next(reader, &text));
	assert_true(text.length < fixture->written.length);
	rotate(fixture, 5);
	write_lines(fixture, LINES);
	while (log_reader_next(reader, &text))
		;
	assert_string_equal(text_string(&text), text_string(&fixture->written));
	/* Emptied by the machine itself: from its beginning again. */
	assert_int_equal(ftruncate(fixture->fd, 0), 0);
	assert_false(log_reader_next(reader, &text));
	assert_int_equal(write(fixture->fd, "new\n", 4), 4);
	text_clear(&text);
	assert_true(log_reader_next(reader, &text));
	assert_string_equal(text_string(&text), "new\n");
	assert_int_equal(unlink(fixture->path), 0);
	assert_false(log_reader_is_alive(reader));
	assert_false(log_reader_next(reader, &text));
	log_reader_free(reader);
}

#define BOTH(test)                                                                                                     \
	cmocka_unit_test_setup_teardown(test, make_on_disk, remove_fixture),                                               \
		cmocka_unit_test_setup_teardown(test, make_in_memory, remove_fixture)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_rotation_loses_nothing),
		BOTH(test_old_parts_go),
		BOTH(test_a_copy_alone_is_given_up),
		BOTH(test_a_copy_of_what_was_cut_off_counts),
		BOTH(test_a_log_that_was_emptied_is_not_cut),
		BOTH(test_a_log_that_is_a_hole_is_left_alone),
		BOTH(test_times),
		BOTH(test_since_over_parts),
		BOTH(test_tail_over_parts),
		BOTH(test_each_line_has_its_time),
		BOTH(test_reading_goes_on_over_a_rotation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
