/*
 * Commands for nftables (needs root), also from a process that has as many descriptors open as a coordinator of a few
 * hundred sleeping machines: they reach the namespace that they are for, a refusal is told, and nothing stays open.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/process.h"
#include "host/netns.h"
#include "host/nft.h"

#define SELECT_LIMIT 1024
#define ADD			 "add table inet lth_test\n"
#define DELETE		 "delete table inet lth_test\n"

static int namespace_fd = -1;

static void
run(int fd, const char *script)
{
	Error err = {0};

	if (nft_run(fd, script, &err) < 0)
		fail_msg("%s", err.message);
}

static int
list_tables(void *context, Error *err)
{
	const char *const argv[] = {"nft", "list", "tables", NULL};

	return process_run(argv, 20000, context, err);
}

static bool
namespace_has_table(void)
{
	_cleanup_free_ char *tables = NULL;
	Error err = {0};

	if (netns_run(namespace_fd, list_tables, &tables, &err) < 0)
		fail_msg("%s", err.message);
	return strstr(tables, "lth_test") != NULL;
}

/* A namespace that no name leads to; the caller stays where it is. */
static int
make_namespace(void **state)
{
	_cleanup_fd_ int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	(void) state;
	if (home < 0 || unshare(CLONE_NEWNET) < 0)
		return -1;
	namespace_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return setns(home, CLONE_NEWNET) < 0 || namespace_fd < 0 ? -1 : 0;
}

static int
drop_namespace(void **state)
{
	(void) state;
	return close(namespace_fd);
}

/* Takes every number below the limit of select(2), and returns the lowest that is free then. */
static int
fill_descriptors(void)
{
	struct rlimit limit;
	int fd;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	do
		fd = fcntl(namespace_fd, F_DUPFD_CLOEXEC, 3);
	while (fd >= 0 && fd < SELECT_LIMIT);
	assert_true(fd >= SELECT_LIMIT);
	close(fd);
	return fd;
}

static void
test_runs_above_the_limit_of_select(void **state)
{
	struct stat before;
	struct stat after;
	int lowest = fill_descriptors();

	(void) state;
	assert_int_equal(stat("/proc/thread-self/ns/net", &before), 0);
	assert_false(namespace_has_table());
	run(namespace_fd, ADD);
	assert_true(namespace_has_table());
	run(namespace_fd, DELETE);
	assert_false(namespace_has_table());

	assert_int_equal(stat("/proc/thread-self/ns/net", &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(fcntl(namespace_fd, F_DUPFD_CLOEXEC, 3), lowest);
	close_range((unsigned) namespace_fd + 1, ~0U, 0);
}

static void
test_tells_a_refusal(void **state)
{
	Error err = {0};

	(void) state;
	assert_int_equal(nft_run(namespace_fd, DELETE, &err), -EIO);
	assert_non_null(strstr(err.message, "No such file or directory"));
	assert_int_equal(nft_run(namespace_fd, ADD "nonsense\n", &err), -EIO);
	assert_non_null(strstr(err.message, "syntax error"));
	assert_false(namespace_has_table());
}

static void
test_wants_a_namespace(void **state)
{
	_cleanup_fd_ int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	Error err = {0};

	(void) state;
	assert_int_equal(nft_run(nothing, ADD, &err), -EINVAL);
	assert_non_null(strstr(err.message, "network namespace"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs_above_the_limit_of_select),
		cmocka_unit_test(test_tells_a_refusal),
		cmocka_unit_test(test_wants_a_namespace),
	};

	return cmocka_run_group_tests(tests, make_namespace, drop_namespace);
}
