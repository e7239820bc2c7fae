/* What an image says of itself, who its user is, and that its files are never followed out of it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fixture_data.h"
#include "host/image.h"

static const char *const passwd = "root:x:0:0:root:/root:/bin/sh\n"
								  "this line makes no sense\n"
								  "broken:x:many:0::/:/bin/sh\n"
								  "postgres:x:999:998:PostgreSQL:/var/lib/postgresql:/bin/bash\n"
								  "late:x:70:71:";
static const char *const group = "root:x:0:\ntape:x:26:\nssl-cert:x:101:postgres\n";

static char *root;
static char *outside;

static void
write_file(const char *directory, const char *name, const char *text)
{
	char *path = memory_printf("%s/%s", directory, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	free(path);
}

static int
setup(void **state)
{
	char *etc;

	(void) state;
	root = data_make_directory();
	outside = data_make_directory();
	etc = memory_printf("%s/etc", root);
	assert_int_equal(mkdir(etc, 0755), 0);
	write_file(root, "etc/passwd", passwd);
	write_file(root, "etc/group", group);
	write_file(outside, "passwd", "postgres:x:1:1::/:\n");
	free(etc);
	return 0;
}

static int
teardown(void **state)
{
	(void) state;
	data_remove_directory(root);
	data_remove_directory(outside);
	return 0;
}

static ImageConfig
parse_good(const char *json)
{
	ImageConfig config;
	Error err = {0};

	if (image_config_parse(json, root, &config, &err) < 0)
		fail_msg("%s", err.message);
	return config;
}

static void
assert_refused(const char *json, int code, const char *message)
{
	ImageConfig config = {.uid = 4711};
	Error err = {0};

	assert_int_equal(image_config_parse(json, root, &config, &err), code);
	assert_string_equal(err.message, message);
	assert_int_equal(config.uid, 4711);
}

static void
test_everything(void **state)
{
	ImageConfig config = parse_good(
		"{\"architecture\":\"amd64\",\"config\":{\"User\":\"postgres\",\"Env\":[\"A=b\",\"C=d=e\"],"
		"\"Entrypoint\":[\"docker-entrypoint.sh\"],\"Cmd\":[\"postgres\",\"-c\",\"x=y\"],"
		"\"WorkingDir\":\"/srv\",\"StopSignal\":\"SIGINT\",\"ExposedPorts\":{\"5432/tcp\":{},\"53/udp\":{},\"80\":{}},"
		"\"Volumes\":{\"/data\":{},\"/srv/more\":{}}}}");

	(void) state;
	assert_string_equal(config.entrypoint[0], "docker-entrypoint.sh");
	assert_null(config.entrypoint[1]);
	assert_string_equal(config.command[2], "x=y");
	assert_null(config.command[3]);
	assert_string_equal(config.environment[1], "C=d=e");
	assert_string_equal(config.working_directory, "/srv");
	assert_string_equal(config.stop_signal, "SIGINT");
	assert_string_equal(config.user, "postgres");
	assert_int_equal(config.uid, 999);
	assert_int_equal(config.gid, 998);
	assert_int_equal(config.port_count, 2);
	assert_int_equal(config.ports[0], 5432);
	assert_int_equal(config.ports[1], 80);
	assert_string_equal(config.volumes[0], "/data");
	assert_string_equal(config.volumes[1], "/srv/more");
	assert_null(config.volumes[2]);
	image_config_clear(&config);
	assert_null(config.entrypoint);
}

static void
test_nothing(void **state)
{
	static const char *const texts[] = {"{}", "{\"config\":null}", "{\"config\":{}}",
										"{\"config\":{\"User\":\"\",\"Env\":null,\"Cmd\":[],\"WorkingDir\":\"\"}}"};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		ImageConfig config = parse_good(texts[i]);

		assert_null(config.entrypoint);
		assert_null(config.command);
		assert_null(config.environment);
		assert_null(config.working_directory);
		assert_null(config.stop_signal);
		assert_string_equal(config.user, "");
		assert_int_equal(config.uid, 0);
		assert_int_equal(config.gid, 0);
		image_config_clear(&config);
	}
}

static void
test_users(void **state)
{
	static const struct
	{
		const char *user;
		uid_t uid;
		gid_t gid;
	} cases[] = {
		{"postgres", 999, 998},	 {"999", 999, 998},
		{"1234", 1234, 0},		 {"postgres:ssl-cert", 999, 101},
		{"postgres:7", 999, 7},	 {"1234:tape", 1234, 26},
		{"0:0", 0, 0},			 {"late", 70, 71},
		{"postgres:", 999, 998}, {"4294967294", 4294967294, 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char *json = memory_printf("{\"config\":{\"User\":\"%s\"}}", cases[i].user);
		ImageConfig config = parse_good(json);

		assert_true(config.uid == cases[i].uid);
		assert_true(config.gid == cases[i].gid);
		assert_string_equal(config.user, cases[i].user);
		image_config_clear(&config);
		free(json);
	}
}

static void
test_unknown_users(void **state)
{
	(void) state;
	assert_refused("{\"config\":{\"User\":\"nobody\"}}", -ENOENT, "the image has no user 'nobody'");
	assert_refused("{\"config\":{\"User\":\"broken\"}}", -ENOENT, "the image has no user 'broken'");
	assert_refused("{\"config\":{\"User\":\"postgres:nogroup\"}}", -ENOENT, "the image has no group 'nogroup'");
	/* (uid_t) -1 means "leave as it is" to setresuid(2). */
	assert_refused("{\"config\":{\"User\":\"4294967295\"}}", -ENOENT, "the image has no user '4294967295'");
	assert_refused("{\"config\":{\"User\":\"-1\"}}", -ENOENT, "the image has no user '-1'");
}

static void
test_hostile_configurations(void **state)
{
	(void) state;
	assert_refused("", -EBADMSG, "configuration: is no JSON: line 1: '[' or '{' expected near end of file");
	assert_refused("[]", -EBADMSG, "configuration: is no JSON object");
	assert_refused("{\"config\":[]}", -EBADMSG, "configuration: is no JSON object");
	assert_refused("{\"config\":{\"Cmd\":\"postgres\"}}", -EBADMSG,
				   "configuration: Cmd is no list of at most 1000 texts");
	assert_refused("{\"config\":{\"Entrypoint\":[\"a\",1]}}", -EBADMSG,
				   "configuration: Entrypoint holds something else than text");
	assert_refused("{\"config\":{\"Env\":[\"PATH\"]}}", -EBADMSG,
				   "configuration: Env holds 'PATH', which is no NAME=value");
	assert_refused("{\"config\":{\"Env\":[\"=x\"]}}", -EBADMSG,
				   "configuration: Env holds '=x', which is no NAME=value");
	assert_refused("{\"config\":{\"User\":7}}", -EBADMSG, "configuration: User is no text");
	assert_refused("{\"config\":{\"WorkingDir\":\"../x\"}}", -EBADMSG,
				   "configuration: WorkingDir '../x' is not absolute");
	assert_refused("{\"config\":{\"ExposedPorts\":[80]}}", -EBADMSG,
				   "configuration: ExposedPorts is no object of at most 1000 keys");
	assert_refused("{\"config\":{\"ExposedPorts\":{\"65536/tcp\":{}}}}", -EBADMSG,
				   "configuration: ExposedPorts holds '65536/tcp', which is no port");
	assert_refused("{\"config\":{\"ExposedPorts\":{\"http\":{}}}}", -EBADMSG,
				   "configuration: ExposedPorts holds 'http', which is no port");
	assert_refused("{\"config\":{\"Volumes\":{\"data\":{}}}}", -EBADMSG,
				   "configuration: Volumes holds 'data', which is no absolute path");
	assert_refused("{\"config\":{\"Volumes\":{\"/data/../../etc\":{}}}}", -EBADMSG,
				   "configuration: Volumes holds '/data/../../etc', which is no absolute path");
	assert_refused("{\"config\":{\"StopSignal\":\"SIGWHAT\"}}", -EINVAL, "'SIGWHAT' is no signal");
	assert_refused("{\"config\":{\"Cmd\":[\"a\\u0000b\"]}}", -EBADMSG,
				   "configuration: is no JSON: line 1: \\u0000 is not allowed without JSON_ALLOW_NUL near "
				   "'\"a\\u0000b\"'");
}

/* Puts something else in the place of etc/passwd. */
static void
replace_passwd(const char *link_target)
{
	char *path = memory_printf("%s/etc/passwd", root);

	assert_int_equal(unlink(path), 0);
	if (link_target != NULL)
		assert_int_equal(symlink(link_target, path), 0);
	free(path);
}

static void
test_links_stay_in_the_image(void **state)
{
	char *target = memory_printf("%s/passwd", outside);
	char *up = memory_printf("../../../../../../../..%s/passwd", outside);
	ImageConfig config;

	(void) state;
	/* Out of the image there is nobody 1; within the image the link leads nowhere. */
	replace_passwd(target);
	assert_refused("{\"config\":{\"User\":\"postgres\"}}", -ENOENT, "the image has no user 'postgres'");
	replace_passwd(up);
	assert_refused("{\"config\":{\"User\":\"postgres\"}}", -ENOENT, "the image has no user 'postgres'");
	/* An absolute link is one from the image's root. */
	write_file(root, "etc/other", "postgres:x:5:6::/:\n");
	replace_passwd("/etc/other");
	config = parse_good("{\"config\":{\"User\":\"postgres\"}}");
	assert_int_equal(config.uid, 5);
	assert_int_equal(config.gid, 6);
	image_config_clear(&config);
	free(up);
	free(target);
}

static void
test_no_accounts_and_strange_files(void **state)
{
	char *path = memory_printf("%s/etc/passwd", root);
	char *expected = memory_printf("%s/etc/passwd: Bad message", root);
	ImageConfig config;

	(void) state;
	replace_passwd(NULL);
	config = parse_good("{\"config\":{\"User\":\"65532\"}}");
	assert_int_equal(config.uid, 65532);
	assert_int_equal(config.gid, 0);
	image_config_clear(&config);
	assert_refused("{\"config\":{\"User\":\"postgres\"}}", -ENOENT, "the image has no user 'postgres'");
	/* A FIFO without a writer would block for ever. */
	assert_int_equal(mkfifo(path, 0644), 0);
	assert_refused("{\"config\":{\"User\":\"postgres\"}}", -EBADMSG, expected);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_refused("{\"config\":{\"User\":\"postgres\"}}", -EBADMSG, expected);
	free(expected);
	free(path);
}

static void
test_stop_signals(void **state)
{
	static const struct
	{
		const char *text;
		int number;
	} cases[] = {
		{"SIGINT", SIGINT}, {"INT", SIGINT},	  {"sigint", SIGINT},	{"2", 2},
		{"TERM", SIGTERM},	{"SIGQUIT", SIGQUIT}, {"SIGUSR1", SIGUSR1}, {"64", 64},
	};
	static const char *const bad[] = {"", "SIG", "0", "65", "-2", "2x", "SIGNOTHING", "SIGRTMIN+99", "SIG2"};
	int number = 0;
	Error err = {0};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		assert_int_equal(image_stop_signal(cases[i].text, &number, &err), 0);
		assert_int_equal(number, cases[i].number);
	}
	assert_int_equal(image_stop_signal("SIGRTMIN+3", &number, &err), 0);
	assert_int_equal(number, SIGRTMIN + 3);
	number = 4711;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(image_stop_signal(bad[i], &number, &err), -EINVAL);
	assert_int_equal(number, 4711);
}

#define WITH_ROOT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ROOT(test_everything),
		WITH_ROOT(test_nothing),
		WITH_ROOT(test_users),
		WITH_ROOT(test_unknown_users),
		WITH_ROOT(test_hostile_configurations),
		WITH_ROOT(test_links_stay_in_the_image),
		WITH_ROOT(test_no_accounts_and_strange_files),
		cmocka_unit_test(test_stop_signals),
	};

	alarm(60); /* nothing here may hang for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
