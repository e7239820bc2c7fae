/*
 * The manifest of a snapshot: what is written comes back, what was damaged is refused whole and by name, and it is
 * there or it isn't. The fingerprint of a volume: what changes it, and what it does not follow.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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
#include "host/manifest.h"
#include "host/snapshot.h"
#include "host/wal_end.h"

static char directory[64];

static const SnapshotManifest example = {
	.boot_id = "8a0e4ba5-3ed5-4a1c-8d4b-2b4f5d3c9d10",
	.kernel = "6.18.0-1-amd64",
	.criu_version = "4.2.1",
	.image_id = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
	.extension_version = "1.0",
	.fingerprint = "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210",
	.images = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
	.synced = true,
	.created_ms = 1795266453622,
	.image_bytes = 27918336,
	.dump_us = 93000,
	.reason = "hibernate-after",
};

static void
check(int result, const Error *err)
{
	if (result < 0)
		fail_msg("%s", err->message);
}

static int
set_up(void **state)
{
	(void) state;
	strcpy(directory, "/tmp/lttle-test-manifest-XXXXXX");
	return mkdtemp(directory) == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	(void) state;
	return file_remove_tree(directory, NULL);
}

static char *
path_of(const char *name)
{
	static char paths[4][200];
	static int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static void
put(const char *name, const void *bytes, size_t size)
{
	FILE *file = fopen(path_of(name), "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void
put_text(const char *name, const char *text)
{
	put(name, text, strlen(text));
}

static void
assert_manifest_equal(const SnapshotManifest *left, const SnapshotManifest *right)
{
	assert_string_equal(left->boot_id, right->boot_id);
	assert_string_equal(left->kernel, right->kernel);
	assert_string_equal(left->criu_version, right->criu_version);
	assert_string_equal(left->image_id, right->image_id);
	assert_string_equal(left->extension_version, right->extension_version);
	assert_string_equal(left->fingerprint, right->fingerprint);
	assert_string_equal(left->images, right->images);
	assert_int_equal(left->synced, right->synced);
	assert_true(left->created_ms == right->created_ms);
	assert_true(left->image_bytes == right->image_bytes);
	assert_true(left->dump_us == right->dump_us);
	assert_string_equal(left->reason, right->reason);
}

static void
test_comes_back(void **state)
{
	SnapshotManifest manifest = example;
	SnapshotManifest read_back;
	struct stat status;
	Error err = {0};

	(void) state;
	strcpy(manifest.reason, "it said \"wait\" – \\ ümlaut");
	check(manifest_write(directory, &manifest, &err), &err);
	check(snapshot_read_manifest(directory, &read_back, &err), &err);
	assert_manifest_equal(&read_back, &manifest);
	assert_int_equal(stat(path_of(MANIFEST_NAME), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(access(path_of(MANIFEST_NAME ".new"), F_OK), -1);
	manifest.synced = false;
	manifest.reason[0] = '\0';
	check(manifest_write(directory, &manifest, &err), &err);
	check(snapshot_read_manifest(directory, &read_back, &err), &err);
	assert_manifest_equal(&read_back, &manifest);
}

static void
test_not_there(void **state)
{
	SnapshotManifest manifest = example;
	Error err = {0};

	(void) state;
	assert_int_equal(snapshot_read_manifest(directory, &manifest, &err), -ENOENT);
	assert_int_equal(snapshot_read_manifest("/nonexistent", &manifest, &err), -ENOENT);
	assert_int_equal(manifest_spend(directory, &err), -ENOENT);
	assert_manifest_equal(&manifest, &example);
}

static void
test_spent_once(void **state)
{
	SnapshotManifest manifest;
	Error err = {0};

	(void) state;
	check(manifest_write(directory, &example, &err), &err);
	check(manifest_spend(directory, &err), &err);
	assert_int_equal(snapshot_read_manifest(directory, &manifest, &err), -ENOENT);
	assert_int_equal(access(path_of(MANIFEST_SPENT_NAME), F_OK), 0);
	assert_int_equal(manifest_spend(directory, &err), -ENOENT);
}

/* Cut off at every byte, it is nothing. */
static void
test_truncated(void **state)
{
	_cleanup_free_ char *text = manifest_format(&example);
	SnapshotManifest manifest = example;
	Error err = {0};

	(void) state;
	for (size_t length = 0; length < strlen(text); length++)
	{
		put(MANIFEST_NAME, text, length);
		assert_int_equal(snapshot_read_manifest(directory, &manifest, &err), -EBADMSG);
	}
	put_text(MANIFEST_NAME, text);
	check(snapshot_read_manifest(directory, &manifest, &err), &err);
}

/* One byte wrong anywhere: refused, or another value of a field, but never something beyond the fields. */
static void
test_damaged(void **state)
{
	_cleanup_free_ char *text = manifest_format(&example);
	size_t length = strlen(text);

	(void) state;
	for (size_t at = 0; at < length; at++)
	{
		static const char bytes[] = {'\0', '"', '9', '}', '\n', (char) 0xff};

		for (size_t i = 0; i < sizeof(bytes); i++)
		{
			SnapshotManifest manifest;
			Error err = {0};
			char kept = text[at];
			int result;

			text[at] = bytes[i];
			put(MANIFEST_NAME, text, length);
			result = snapshot_read_manifest(directory, &manifest, &err);
			text[at] = kept;
			if (result < 0)
			{
				assert_int_equal(result, -EBADMSG);
				assert_true(err.message[0] != '\0');
				continue;
			}
			assert_true(strlen(manifest.boot_id) < sizeof(manifest.boot_id));
			assert_true(strlen(manifest.reason) < sizeof(manifest.reason));
		}
	}
}

static void
assert_refused(const char *text, const char *message)
{
	SnapshotManifest manifest = example;
	Error err = {0};

	assert_int_equal(manifest_parse(text, &manifest, &err), -EBADMSG);
	assert_string_equal(err.message, message);
	assert_manifest_equal(&manifest, &example);
}

/* The example with one part of its text replaced. The caller frees it. */
static char *
with(const char *old, const char *new)
{
	_cleanup_free_ char *text = manifest_format(&example);
	char *at = strstr(text, old);

	assert_non_null(at);
	*at = '\0';
	return memory_printf("%s%s%s", text, new, at + strlen(old));
}

static void
test_wrong_fields(void **state)
{
	static const struct
	{
		const char *old;
		const char *new;
		const char *message;
	} cases[] = {
		{"\"format\": 1", "\"format\": 2", "manifest: is of another format than 1"},
		{"\"format\": 1", "\"form\": 1", "manifest: is of another format than 1"},
		{"\"synced\": true", "\"synced\": 1", "manifest: \"synced\" is not what it should be"},
		{"\"synced\": true", "\"was-synced\": true", "manifest: has no \"synced\""},
		{"\"4.2.1\"", "421", "manifest: \"criu-version\" is not what it should be"},
		{"\"4.2.1\"", "\"a version that is longer than a version can be\"",
		 "manifest: \"criu-version\" is not what it should be"},
		{"\"hibernate-after\"", "\"\\u001b[2J\"", "manifest: \"reason\" is not what it should be"},
		{"27918336", "-1", "manifest: \"image-bytes\" is not what it should be"},
		{"27918336", "1.5", "manifest: \"image-bytes\" is not what it should be"},
		{"27918336", "null", "manifest: \"image-bytes\" is not what it should be"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		_cleanup_free_ char *text = with(cases[i].old, cases[i].new);

		assert_refused(text, cases[i].message);
	}
	assert_refused("[]", "manifest: is no JSON object");
	/* What is quoted can be shown in a terminal. */
	assert_refused("{\n\"\x7f\" x", "manifest: line 2: ':' expected near 'x'");
	assert_refused("{\"a\x7f", "manifest: line 1: premature end of input near '\"a?'");
}

static void
test_too_long(void **state)
{
	_cleanup_free_ char *text = memory_allocate(100001);
	SnapshotManifest manifest;
	Error err = {0};

	(void) state;
	memset(text, ' ', 100000);
	put_text(MANIFEST_NAME, text);
	assert_int_equal(snapshot_read_manifest(directory, &manifest, &err), -EBADMSG);
}

/* ---- fingerprint ---- */

static void
fingerprint(char text[72])
{
	const char *const paths[] = {directory};
	const SnapshotSpec spec = {.data_paths = paths, .data_count = 1};
	Error err = {0};

	check(snapshot_fingerprint(&spec, text, &err), &err);
}

/* True when the fingerprint is another one than last time. */
static bool
has_changed(void)
{
	static char last[72];
	char now[72];
	bool changed;

	fingerprint(now);
	changed = strcmp(now, last) != 0;
	strcpy(last, now);
	return changed;
}

static void
touch(const char *name, time_t seconds, long nanoseconds)
{
	const struct timespec times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};

	assert_int_equal(utimensat(AT_FDCWD, path_of(name), times, AT_SYMLINK_NOFOLLOW), 0);
}

static void
make_cluster(void)
{
	assert_int_equal(mkdir(path_of("global"), 0700), 0);
	assert_int_equal(mkdir(path_of("pg_wal"), 0700), 0);
	assert_int_equal(mkdir(path_of("base"), 0700), 0);
	put_text("global/pg_control", "control");
	put_text("postmaster.pid", "1\n");
	put_text("pg_wal/000000010000000000000001", "wal");
	touch("pg_wal/000000010000000000000001", 1000, 1);
}

static void
test_cluster(void **state)
{
	(void) state;
	make_cluster();
	assert_true(has_changed());
	assert_false(has_changed());
	put_text("base/1", "a table is only ever written after its WAL");
	assert_false(has_changed());
	put_text("global/pg_control", "controL");
	assert_true(has_changed());
	put_text("postmaster.pid", "2\n");
	assert_true(has_changed());
	touch("pg_wal/000000010000000000000001", 1000, 2);
	assert_true(has_changed());
	put_text("pg_wal/000000010000000000000001", "wal.");
	touch("pg_wal/000000010000000000000001", 1000, 2);
	assert_true(has_changed());
	put_text("pg_wal/000000010000000000000002", "");
	assert_true(has_changed());
	assert_int_equal(unlink(path_of("postmaster.pid")), 0);
	assert_true(has_changed());
	assert_false(has_changed());
}

/* Writes the head and a byte of a WAL page that has this address; the file's size and time stay. */
static void
put_page(const char *name, uint64_t offset, uint64_t address, char byte)
{
	char page[WAL_PAGE_BYTES] = {0};
	_cleanup_fd_ int fd = open(path_of(name), O_WRONLY | O_CLOEXEC);

	memcpy(page + 8, &address, sizeof(address));
	page[200] = byte;
	assert_int_equal(pwrite(fd, page, sizeof(page), (off_t) offset), sizeof(page));
	touch(name, 1000, 1);
}

static void
put_segment(const char *name)
{
	put_text(name, "");
	assert_int_equal(truncate(path_of(name), 1 << 20), 0);
	touch(name, 1000, 1);
}

/* A crash of the host may lose the times of files, and the sizes of segments never change. */
static void
test_commits_that_leave_no_time(void **state)
{
	const char *first = "pg_wal/000000010000000A00000FFF"; /* ends at B/0 */
	const char *second = "pg_wal/000000010000000B00000000";
	const char *recycled = "pg_wal/000000010000000B00000001";
	uint64_t begin = UINT64_C(0xAFFF00000);

	(void) state;
	make_cluster();
	put_segment(first);
	put_segment(recycled);
	put_page(recycled, 0, begin - (1 << 20), 'o');
	put_page(first, 0, begin, '1');
	put_page(first, 8192, begin + 8192, '2');
	assert_true(has_changed());
	assert_false(has_changed());
	put_page(first, 8192, begin + 8192, '3');
	assert_true(has_changed());
	put_page(first, 16384, begin + 16384, '3');
	assert_true(has_changed());
	put_page(first, 32768, begin - 8192, 'o');
	assert_false(has_changed());
	for (uint64_t offset = 0; offset < 1 << 20; offset += WAL_PAGE_BYTES)
		put_page(first, offset, begin + offset, 'f');
	assert_true(has_changed());
	put_segment(second);
	touch("pg_wal", 1000, 1);
	assert_true(has_changed());
	put_page(second, 0, begin + (1 << 20), '4');
	assert_true(has_changed());
	put_page(first, 0, begin, 'e');
	assert_false(has_changed());
	put_page(recycled, 0, begin + (2 << 20), '5');
	assert_true(has_changed());
}

/* What a machine may put there is read as far as it is a segment, and no further. */
static void
test_what_is_no_segment(void **state)
{
	char *const names[] = {"000000010000000000000001", "000000010000000000000002",		   "00000001000000000000FFFF",
						   "archive_status",		   "000000010000000000000003.partial", "not there"};
	_cleanup_fd_ int fd = -1;
	WalEnd end;
	Error err = {0};

	(void) state;
	make_cluster();
	assert_int_equal(mkfifo(path_of("pg_wal/000000010000000000000002"), 0600), 0);
	put_segment("pg_wal/00000001000000000000FFFF");
	put_segment("pg_wal/000000010000000000000003.partial");
	put_page("pg_wal/000000010000000000000003.partial", 0, 3 << 20, 'p');
	assert_int_equal(mkdir(path_of("pg_wal/archive_status"), 0700), 0);
	fd = open(path_of("pg_wal"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(wal_end_find(fd, names, sizeof(names) / sizeof(names[0]), &end, &err), &err);
	assert_string_equal(end.segment, "");
	put_segment("pg_wal/000000010000000000000004");
	put_page("pg_wal/000000010000000000000004", 0, 4 << 20, '4');
	put_page("pg_wal/000000010000000000000004", 8192, (4 << 20) + 8192, '5');
	check(wal_end_find(fd, (char *const[]){"000000010000000000000004"}, 1, &end, &err), &err);
	assert_string_equal(end.segment, "000000010000000000000004");
	assert_true(end.address == (4 << 20) + 8192);
	assert_int_equal(end.page[200], '5');
}

/* CRIU restores a shortened image without a word. */
static void
test_images(void **state)
{
	char before[72];
	char after[72];
	Error err = {0};

	(void) state;
	put_text("pages-1.img", "pages");
	touch("pages-1.img", 1000, 1);
	check(snapshot_list_images(directory, before, &err), &err);
	put_text("restore.log", "not one of them");
	check(snapshot_list_images(directory, after, &err), &err);
	assert_string_equal(after, before);
	assert_int_equal(truncate(path_of("pages-1.img"), 4), 0);
	touch("pages-1.img", 1000, 1);
	check(snapshot_list_images(directory, after, &err), &err);
	assert_string_not_equal(after, before);
	put_text("pages-1.img", "pages");
	touch("pages-1.img", 1000, 1);
	put_text("pages-2.img", "");
	check(snapshot_list_images(directory, after, &err), &err);
	assert_string_not_equal(after, before);
	assert_int_equal(unlink(path_of("pages-2.img")), 0);
	check(snapshot_list_images(directory, after, &err), &err);
	assert_string_equal(after, before);
}

/* Many images keep the cluster in a directory of the volume. */
static void
test_cluster_in_a_directory(void **state)
{
	char top[64];

	(void) state;
	strcpy(top, directory);
	assert_int_equal(mkdir(path_of("pgdata"), 0700), 0);
	strcat(directory, "/pgdata");
	make_cluster();
	strcpy(directory, top);
	assert_true(has_changed());
	touch("pgdata/pg_wal/000000010000000000000001", 1000, 7);
	assert_true(has_changed());
	put_text("pgdata/base/1", "table");
	assert_false(has_changed());
}

static void
test_other_data(void **state)
{
	(void) state;
	assert_int_equal(mkdir(path_of("d"), 0700), 0);
	put_text("a", "1");
	put_text("d/b", "1");
	touch("a", 1, 0);
	touch("d/b", 1, 0);
	touch("d", 1, 0);
	assert_true(has_changed());
	assert_false(has_changed());
	touch("d/b", 1, 1);
	assert_true(has_changed());
	put_text("d/b", "22");
	touch("d/b", 1, 1);
	touch("d", 1, 0);
	assert_true(has_changed());
	assert_int_equal(rename(path_of("a"), path_of("c")), 0);
	assert_true(has_changed());
}

/* A machine can put links and pipes where its files should be. */
static void
test_nothing_is_followed(void **state)
{
	const char *const paths[] = {directory};
	const SnapshotSpec spec = {.data_paths = paths, .data_count = 1};
	char text[72] = "untouched";
	Error err = {0};

	(void) state;
	make_cluster();
	assert_true(has_changed());
	assert_int_equal(unlink(path_of("postmaster.pid")), 0);
	assert_int_equal(symlink("/proc/uptime", path_of("postmaster.pid")), 0);
	assert_true(has_changed());
	poll(NULL, 0, 30); /* what the link leads to changes all the time */
	assert_false(has_changed());
	assert_int_equal(unlink(path_of("postmaster.pid")), 0);
	assert_int_equal(mkfifo(path_of("postmaster.pid"), 0600), 0);
	assert_int_equal(snapshot_fingerprint(&spec, text, &err), -EINVAL);
	assert_string_equal(err.message, "fingerprint: postmaster.pid: is not the file that PostgreSQL writes");
	assert_string_equal(text, "untouched");
	assert_int_equal(unlink(path_of("postmaster.pid")), 0);
	assert_int_equal(rename(path_of("pg_wal"), path_of("elsewhere")), 0);
	assert_int_equal(symlink("elsewhere", path_of("pg_wal")), 0);
	assert_true(has_changed());
	touch("elsewhere/000000010000000000000001", 2000, 2);
	assert_false(has_changed());
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_comes_back),
		TEST(test_not_there),
		TEST(test_spent_once),
		TEST(test_truncated),
		TEST(test_damaged),
		TEST(test_wrong_fields),
		TEST(test_too_long),
		TEST(test_cluster),
		TEST(test_commits_that_leave_no_time),
		TEST(test_what_is_no_segment),
		TEST(test_images),
		TEST(test_cluster_in_a_directory),
		TEST(test_other_data),
		TEST(test_nothing_is_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
