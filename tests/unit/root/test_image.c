/*
 * Fetching, unpacking and pruning of real images with skopeo and umoci: whole or not at all, once per digest, whatever
 * a killed fetch left. The image is made here, by umoci, with files of two owners.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/process.h"
#include "fixture_data.h"
#include "host/image.h"

#define TIMEOUT_MS UINT64_C(60000)

static char *directory; /* everything of this test */
static char *source;	/* skopeo's name of the image */
static HostLayout layout;

static void
run(const char *const argv[])
{
	Error err = {0};

	if (process_run(argv, TIMEOUT_MS, NULL, &err) < 0)
		fail_msg("%s", err.message);
}
#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static char *
path_of(const char *relative)
{
	return memory_printf("%s/%s", directory, relative);
}

static bool
exists(const char *relative)
{
	char *path = path_of(relative);
	struct stat status;
	bool found = lstat(path, &status) == 0;

	free(path);
	return found;
}

/* Puts a file of some size into the image that umoci builds. */
static void
add_to_image(const char *name, uid_t owner, size_t bytes)
{
	char *path = path_of("piece");
	char *image = path_of("source:latest");
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (size_t i = 0; i < bytes; i += 8)
		fprintf(file, "%07zx\n", i * 2654435761U & 0xfffffff);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chown(path, owner, owner + 1), 0);
	assert_int_equal(chmod(path, 0640), 0);
	RUN("umoci", "insert", "--image", image, path, name);
	free(image);
	free(path);
}

static int
setup(void **state)
{
	char *source_layout;
	char *image;
	char *passwd;
	FILE *file;

	(void) state;
	directory = data_make_directory();
	source = memory_printf("oci:%s/source:latest", directory);
	snprintf(layout.state_directory, sizeof(layout.state_directory), "%s/state", directory);
	source_layout = path_of("source");
	image = path_of("source:latest");
	passwd = path_of("passwd");
	RUN("umoci", "init", "--layout", source_layout);
	RUN("umoci", "new", "--image", image);
	RUN("umoci", "config", "--image", image, "--config.user", "server", "--config.cmd", "serve", "--config.stopsignal",
		"SIGINT");
	file = fopen(passwd, "w");
	assert_non_null(file);
	fputs("server:x:4321:4322::/:\n", file);
	fclose(file);
	RUN("umoci", "insert", "--image", image, passwd, "/etc/passwd");
	add_to_image("/data/file", 4321, 4096);
	free(passwd);
	free(image);
	free(source_layout);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	data_remove_directory(directory);
	free(source);
	return 0;
}

static HostImage
fetch_good(void)
{
	HostImage image;
	Error err = {0};

	if (image_fetch(&layout, source, TIMEOUT_MS, &image, &err) < 0)
		fail_msg("%s", err.message);
	return image;
}

/* How many entries a directory has, ".incoming" among them. */
static unsigned
count_entries(const char *relative)
{
	char *path = path_of(relative);
	DIR *entries = opendir(path);
	unsigned count = 0;
	struct dirent *entry;

	assert_non_null(entries);
	while ((entry = readdir(entries)) != NULL)
		count += entry->d_name[0] != '.' || entry->d_name[1] == 'i';
	closedir(entries);
	free(path);
	return count;
}

static void
test_fetched_image_is_whole(void **state)
{
	HostImage image = fetch_good();
	char *file = memory_printf("%s/data/file", image.root);
	char *json;
	struct stat status;
	ImageConfig config;
	Error err = {0};

	(void) state;
	assert_int_equal(strncmp(image.id, "sha256:", 7), 0);
	assert_int_equal(strlen(image.id), 7 + 64);
	assert_null(strchr(image.root, ':'));
	assert_int_equal(stat(image.root, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0755);
	assert_int_equal(stat(file, &status), 0);
	assert_int_equal(status.st_uid, 4321);
	assert_int_equal(status.st_gid, 4322);
	assert_int_equal(status.st_mode & 07777, 0640);
	assert_int_equal(status.st_size, 4096);
	assert_int_equal(file_read(image.config_path, 1 << 20, &json, NULL, &err), 0);
	if (image_config_parse(json, image.root, &config, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(config.uid, 4321);
	assert_int_equal(config.gid, 4322);
	assert_string_equal(config.command[0], "serve");
	assert_string_equal(config.stop_signal, "SIGINT");
	image_config_clear(&config);
	free(json);
	free(file);
}

static void
test_one_digest_is_unpacked_once(void **state)
{
	HostImage first = fetch_good();
	char *mark = memory_printf("%s/mark", first.root);
	FILE *file = fopen(mark, "w");
	HostImage second;

	(void) state;
	assert_non_null(file);
	fclose(file);
	second = fetch_good();
	assert_string_equal(second.id, first.id);
	assert_string_equal(second.root, first.root);
	assert_int_equal(access(mark, F_OK), 0);
	assert_int_equal(count_entries("state/images/roots"), 1);
	free(mark);
}

static void
test_prune_keeps_what_is_asked_for(void **state)
{
	HostImage old = fetch_good();
	HostImage new;
	unsigned blobs = count_entries("state/images/layout/blobs/sha256");
	const char *keep[1];
	Error err = {0};

	(void) state;
	add_to_image("/data/more", 0, 4096);
	new = fetch_good();
	assert_string_not_equal(new.id, old.id);
	assert_int_equal(access(old.root, F_OK), 0);
	assert_int_equal(access(new.root, F_OK), 0);
	assert_int_equal(count_entries("state/images/roots"), 2);
	assert_true(count_entries("state/images/layout/blobs/sha256") > blobs);
	keep[0] = old.id;
	assert_int_equal(image_prune(&layout, keep, 1, &err), 0);
	assert_int_equal(access(old.root, F_OK), 0);
	assert_int_equal(access(new.root, F_OK), -1);
	assert_int_equal(count_entries("state/images/layout/blobs/sha256"), blobs);
	/* What was kept is really there: nothing has to be copied or unpacked again. */
	assert_int_equal(image_prune(&layout, keep, 1, &err), 0);
	assert_int_equal(image_prune(&layout, NULL, 0, &err), 0);
	assert_int_equal(count_entries("state/images/roots"), 0);
	assert_int_equal(count_entries("state/images/layout/blobs/sha256"), 0);
	/* And it can be fetched anew. */
	new = fetch_good();
	assert_int_equal(access(new.root, F_OK), 0);
}

static void
test_prune_without_images(void **state)
{
	Error err = {0};

	(void) state;
	assert_int_equal(image_prune(&layout, NULL, 0, &err), 0);
	assert_false(exists("state"));
}

static void
test_leftovers_are_removed(void **state)
{
	char *incoming = path_of("state/images/roots/.incoming/rootfs/deep");
	char *temporary = path_of("state/images/tmp/x");
	char *layout_path = path_of("state/images/layout");
	char *torn = path_of("state/images/layout/oci-put-blob123");
	FILE *file;
	Error err = {0};

	(void) state;
	fetch_good();
	assert_int_equal(image_prune(&layout, NULL, 0, &err), 0);
	assert_int_equal(file_make_directory(incoming, 0700, &err), 0);
	assert_int_equal(file_make_directory(temporary, 0700, &err), 0);
	file = fopen(torn, "w");
	assert_non_null(file);
	fclose(file);
	fetch_good();
	assert_false(exists("state/images/roots/.incoming"));
	assert_false(exists("state/images/tmp"));
	assert_false(exists("state/images/layout/oci-put-blob123"));
	free(torn);
	free(layout_path);
	free(temporary);
	free(incoming);
}

static void
test_failures_leave_nothing(void **state)
{
	char *nowhere = memory_printf("oci:%s/nowhere:latest", directory);
	HostImage image = {.id = "untouched"};
	Error err = {0};

	(void) state;
	assert_int_equal(image_fetch(&layout, nowhere, TIMEOUT_MS, &image, &err), -EIO);
	assert_int_equal(strncmp(err.message, "image oci:", 10), 0);
	assert_non_null(strstr(err.message, ": skopeo: initializing source"));
	assert_int_equal(image_fetch(&layout, source, 1, &image, &err), -ETIMEDOUT);
	assert_string_equal(image.id, "untouched");
	assert_int_equal(count_entries("state/images/roots"), 0);
	image = fetch_good();
	assert_int_equal(access(image.root, F_OK), 0);
	free(nowhere);
}

static pid_t
start_fetch(void)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
	{
		HostImage image;
		Error err;

		_exit(image_fetch(&layout, source, TIMEOUT_MS, &image, &err) == 0 ? 0 : 1);
	}
	return child;
}

/* Kills fetches at several moments, from before the copy until after the rename; each time the next one succeeds. */
static void
test_killed_fetches_do_no_harm(void **state)
{
	static const char *const moments[] = {"state/images/lock", "state/images/tmp", "state/images/layout/index.json",
										  "state/images/roots/.incoming", "state/images/roots/.incoming/rootfs/data"};
	Error err = {0};

	(void) state;
	add_to_image("/data/large", 0, 8 << 20);
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++)
	{
		uint64_t deadline_ns = clock_monotonic_ns() + 30 * NS_PER_SECOND;
		pid_t child = start_fetch();
		pid_t ended = 0;
		HostImage image;
		char *large;
		struct stat status;

		while (!exists(moments[i]) && ended == 0 && clock_monotonic_ns() < deadline_ns)
		{
			ended = waitpid(child, NULL, WNOHANG);
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
		}
		if (ended == 0)
		{
			assert_int_equal(kill(child, SIGKILL), 0);
			assert_int_equal(waitpid(child, NULL, 0), child);
		}
		image = fetch_good();
		large = memory_printf("%s/data/large", image.root);
		assert_int_equal(stat(large, &status), 0);
		assert_int_equal(status.st_size, 8 << 20);
		assert_int_equal(count_entries("state/images/roots"), 1);
		assert_int_equal(image_prune(&layout, NULL, 0, &err), 0);
		free(large);
	}
}

static void
test_two_at_once(void **state)
{
	pid_t children[] = {start_fetch(), start_fetch(), start_fetch()};

	(void) state;
	for (size_t i = 0; i < 3; i++)
	{
		int status;

		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(count_entries("state/images/roots"), 1);
}

#define WITH_IMAGE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_IMAGE(test_fetched_image_is_whole),		WITH_IMAGE(test_one_digest_is_unpacked_once),
		WITH_IMAGE(test_prune_keeps_what_is_asked_for), WITH_IMAGE(test_prune_without_images),
		WITH_IMAGE(test_leftovers_are_removed),			WITH_IMAGE(test_failures_leave_nothing),
		WITH_IMAGE(test_killed_fetches_do_no_harm),		WITH_IMAGE(test_two_at_once),
	};

	alarm(300); /* nothing here may hang for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
