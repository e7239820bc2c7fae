/* Settings: defaults, every key, every way to be wrong. */
#include <errno.h>
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
#include "fixture_resources.h"
#include "model/settings.h"

static char *directory;

static int
make_directory(void **state)
{
	(void) state;
	directory = data_make_directory();
	return 0;
}

static int
remove_directory(void **state)
{
	(void) state;
	data_remove_directory(directory);
	return 0;
}

/* Writes a file of settings and reads it. */
static int
read_text(const char *text, Settings *ret_settings, DiagnosticList *diagnostics, Error *err)
{
	char *path = memory_printf("%s/lttled.yaml", directory);
	FILE *file = fopen(path, "w");
	int result;

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	result = settings_read(path, ret_settings, diagnostics, err);
	free(path);
	return result;
}

static Settings
read_good(const char *text)
{
	Settings settings;
	DiagnosticList diagnostics = {0};
	Error err = {0};

	if (read_text(text, &settings, &diagnostics, &err) < 0)
	{
		char *complaints = complaints_of(&diagnostics);

		fail_msg("refused:\n%s\n%s", text, complaints);
	}
	return settings;
}

static void
assert_defaults(const Settings *settings)
{
	assert_string_equal(settings->state_directory, "/var/lib/lttle");
	assert_string_equal(settings->run_directory, "/run/lttle");
	assert_string_equal(settings->socket_path, "/run/lttle/lttle.sock");
	assert_string_equal(settings->socket_group, "lttle");
	assert_string_equal(settings->name_prefix, "lttle");
	assert_int_equal(settings->subnet_address, 0x0a580000);
	assert_int_equal(settings->subnet_bits, 16);
	assert_memory_equal(settings->subnet6_address, "\xfd\x6ctt\x6c\x65\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(settings->subnet6_bits, 64);
	assert_string_equal(settings->edge_address, "127.0.0.1");
	assert_string_equal(settings->certificates, "/etc/lttle/certificates");
	assert_int_equal(settings->log_level, LOG_LEVEL_INFO);
	assert_true(settings->reclaim);
	assert_true(settings->pin_images);
	assert_true(settings->rcu_expedited);
	assert_int_equal(settings->cpu_weight, 0);
	assert_int_equal(settings->hot_set_bytes, 4 << 20);
	assert_int_equal(settings->zram, ZRAM_OFF);
	assert_int_equal(settings->zram_bytes, 0);
	assert_int_equal(settings->memory_available_min, 5);
	assert_int_equal(settings->swap_used_limit, 90);
	assert_int_equal(settings->memory_pressure_limit, 10);
	assert_int_equal(settings->log_size_bytes, 10 << 20);
	assert_int_equal(settings->log_files, 5);
	assert_int_equal(settings->prepare_timeout_ms, 5000);
	assert_int_equal(settings->freeze_timeout_ms, 2000);
	assert_int_equal(settings->boot_timeout_ms, 300000);
	assert_int_equal(settings->stop_timeout_ms, 30000);
	assert_int_equal(settings->restart_delay_ms, 500);
	assert_int_equal(settings->restart_delay_max_ms, 60000);
	assert_int_equal(settings->defer_accept_seconds, 60);
}

static void
test_defaults(void **state)
{
	Settings settings;

	(void) state;
	settings_defaults(&settings);
	assert_defaults(&settings);
	settings = read_good("");
	assert_defaults(&settings);
	settings = read_good("# nothing but a comment\n---\n");
	assert_defaults(&settings);
	settings = read_good("zram:\nreclaim:\n");
	assert_defaults(&settings);
}

static void
test_every_key(void **state)
{
	Settings settings =
		read_good("state-directory: /srv/state/\n"
				  "run-directory: /run/other\n"
				  "socket: /tmp/s\n"
				  "socket-group: staff\n"
				  "name-prefix: lt2\n"
				  "subnet: 172.16.32.0/20\n"
				  "subnet6: fd00:1:2:3:4::/78\n"
				  "log-level: debug\n"
				  "reclaim: false\n"
				  "pin-images: false\n"
				  "rcu-expedited: false\n"
				  "cpu-weight: 10000\n"
				  "hot-set: 0\n"
				  "zram: {mode: auto, size: 8Gi}\n"
				  "logs: {size: 64Ki, files: 0}\n"
				  "pressure: {memory-available-min: 0, swap-used-limit: 100, memory-pressure-limit: 1}\n"
				  "prepare-timeout: 100ms\n"
				  "freeze-timeout: 1\n"
				  "boot-timeout: 1h\n"
				  "stop-timeout: 1m\n"
				  "restart-delay: 1s\n"
				  "restart-delay-max: 1s\n"
				  "defer-accept: 2m\n");

	(void) state;
	assert_string_equal(settings.state_directory, "/srv/state");
	assert_string_equal(settings.run_directory, "/run/other");
	assert_string_equal(settings.socket_path, "/tmp/s");
	assert_string_equal(settings.socket_group, "staff");
	assert_string_equal(settings.name_prefix, "lt2");
	assert_true(settings.subnet_address == UINT32_C(0xac102000));
	assert_int_equal(settings.subnet_bits, 20);
	assert_memory_equal(settings.subnet6_address, "\xfd\0\0\1\0\2\0\3\0\4\0\0\0\0\0", 16);
	assert_int_equal(settings.subnet6_bits, 78);
	assert_int_equal(settings.log_level, LOG_LEVEL_DEBUG);
	assert_false(settings.reclaim);
	assert_false(settings.pin_images);
	assert_false(settings.rcu_expedited);
	assert_int_equal(settings.cpu_weight, 10000);
	assert_int_equal(settings.hot_set_bytes, 0);
	assert_int_equal(settings.zram, ZRAM_AUTO);
	assert_true(settings.zram_bytes == UINT64_C(8) << 30);
	assert_int_equal(settings.memory_available_min, 0);
	assert_int_equal(settings.swap_used_limit, 100);
	assert_int_equal(settings.memory_pressure_limit, 1);
	assert_int_equal(settings.log_size_bytes, 64 << 10);
	assert_int_equal(settings.log_files, 0);
	assert_int_equal(settings.prepare_timeout_ms, 100);
	assert_int_equal(settings.freeze_timeout_ms, 1000);
	assert_int_equal(settings.boot_timeout_ms, 3600000);
	assert_int_equal(settings.stop_timeout_ms, 60000);
	assert_int_equal(settings.restart_delay_ms, 1000);
	assert_int_equal(settings.restart_delay_max_ms, 1000);
	assert_int_equal(settings.defer_accept_seconds, 120);
}

static void
test_socket_follows_the_run_directory(void **state)
{
	Settings settings = read_good("run-directory: /run/b\n");

	(void) state;
	assert_string_equal(settings.socket_path, "/run/b/lttle.sock");
}

/* The address of a Unix socket has room for 107 characters. */
static void
test_longest_run_directory(void **state)
{
	char text[160] = "run-directory: /";
	char expected[176];
	Settings settings;
	DiagnosticList diagnostics = {0};
	Error err = {0};
	char *complaints;

	(void) state;
	memset(text + 16, 'a', 95);
	settings = read_good(text);
	snprintf(expected, sizeof(expected), "%s/lttle.sock", text + 15);
	assert_string_equal(settings.socket_path, expected);
	assert_int_equal(strlen(settings.socket_path), 107);
	text[16 + 95] = 'a';
	assert_int_equal(read_text(text, &settings, &diagnostics, &err), -EINVAL);
	complaints = complaints_of(&diagnostics);
	assert_string_equal(complaints, "f:1:16: run-directory: is too long for a socket in it; give 'socket' too");
	free(complaints);
}

static void
test_refused(void **state)
{
	static const struct
	{
		const char *text;
		const char *complaints;
	} cases[] = {
		{"- a\n", "f:1:1: must be a map of settings"},
		{"a\n", "f:1:1: must be a map of settings"},
		{"{}\n---\n{}\n", "f:3:1: the settings are one document"},
		{"reclaim: [\n", "f:2:1: is not valid YAML: did not find expected node content"},
		{"run-dir: /x\n", "f:1:1: unknown key 'run-dir'; known keys: state-directory, run-directory, socket, "
						  "socket-group, name-prefix, subnet, subnet6, edge-address, certificates, log-level, reclaim, "
						  "pin-images, rcu-expedited, cpu-weight, hot-set, zram, "
						  "pressure, logs, prepare-timeout, freeze-timeout, boot-timeout, stop-timeout, restart-delay, "
						  "restart-delay-max, criu, registry-auth-file, max-boots, max-resumes, defer-accept"},
		{"log_level: info\n", "f:1:1: unknown key 'log_level'; did you mean 'log-level'?"},
		{"reclaim: true\nreclaim: false\n", "f:2:1: key 'reclaim' appears twice; the first is at line 1"},
		{"state-directory: here\n", "f:1:18: state-directory: must be an absolute path, but this is 'here'"},
		{"run-directory: /var/lib/lttle\n", "f:1:16: run-directory: must not be the state directory"},
		{"socket: "
		 "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaa\n",
		 "f:1:9: socket: is too long for a path, but this is "
		 "'/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'"},
		{"socket-group: a b\n", "f:1:15: socket-group: must be the name of a group, but this is 'a b'"},
		{"name-prefix: lttle-two\n",
		 "f:1:14: name-prefix: must be 1 to 8 lower-case letters and digits, a letter first, but this is 'lttle-two'"},
		{"name-prefix: 2a\n",
		 "f:1:14: name-prefix: must be 1 to 8 lower-case letters and digits, a letter first, but this is '2a'"},
		{"subnet: 10.88.0.0\n",
		 "f:1:9: subnet: must be an IPv4 network from /8 to /28, such as 10.88.0.0/16, but is '10.88.0.0'"},
		{"subnet: 10.88.0.0/29\n",
		 "f:1:9: subnet: must be an IPv4 network from /8 to /28, such as 10.88.0.0/16, but is '10.88.0.0/29'"},
		{"subnet: 10.88.0.0/16x\n",
		 "f:1:9: subnet: must be an IPv4 network from /8 to /28, such as 10.88.0.0/16, but is '10.88.0.0/16x'"},
		{"subnet: 10.88.1.300/16\n",
		 "f:1:9: subnet: must be an IPv4 network from /8 to /28, such as 10.88.0.0/16, but is '10.88.1.300/16'"},
		{"subnet: 10.88.3.1/16\n",
		 "f:1:9: subnet: 10.88.3.1/16 is an address inside a network; did you mean 10.88.0.0/16?"},
		{"subnet6: off\n", "f:1:10: subnet6: must be an IPv6 network from /8 to /96, such as fd6c:7474:6c65::/64, or "
						   "'none', but is 'off'"},
		{"subnet6: fd00::/97\n", "f:1:10: subnet6: must be an IPv6 network from /8 to /96, such as "
								 "fd6c:7474:6c65::/64, or 'none', but is 'fd00::/97'"},
		{"subnet6: 10.88.0.0/16\n", "f:1:10: subnet6: must be an IPv6 network from /8 to /96, such as "
									"fd6c:7474:6c65::/64, or 'none', but is '10.88.0.0/16'"},
		{"subnet6: fd00:1::7:0/65\n",
		 "f:1:10: subnet6: fd00:1::7:0/65 is an address inside a network; did you mean fd00:1::/65?"},
		{"edge-address: localhost\n",
		 "f:1:15: edge-address: must be an address of IPv4, such as 0.0.0.0, but this is 'localhost'"},
		{"log-level: loud\n", "f:1:12: log-level: must be 'error', 'warning', 'info' or 'debug', but is 'loud'"},
		{"reclaim: yes\n", "f:1:10: reclaim: must be true or false, but is 'yes'"},
		{"pin-images: \"true\"\n", "f:1:13: pin-images: must be true or false, but is 'true'"},
		{"cpu-weight: 10001\n", "f:1:13: cpu-weight: must be a whole number from 0 to 10000, but is '10001'"},
		{"hot-set: 2Gi\n", "f:1:10: hot-set: must be a size from 0 to 1Gi, such as 4Mi, but is '2Gi'"},
		{"zram: on\n", "f:1:7: zram: must be a map, but is 'on'"},
		{"zram: {mode: maybe}\n", "f:1:14: zram.mode: must be 'off', 'on' or 'auto', but is 'maybe'"},
		{"zram: {mode: on, size: x}\n",
		 "f:1:24: zram.size: a size is a whole number and a unit, such as 100Mi or 5GB, but this is 'x'"},
		{"logs: {size: 1Ki, files: 101}\n",
		 "f:1:14: logs.size: must be a size from 64Ki to 1Gi, such as 10Mi, but is '1Ki'\n"
		 "f:1:26: logs.files: must be a whole number from 0 to 100, but is '101'"},
		{"pressure: {memory-available-min: 101, swap-used-limit: most, memory-pressure-limit: 0}\n",
		 "f:1:34: pressure.memory-available-min: must be a whole number of percent from 0 to 100, but is '101'\n"
		 "f:1:56: pressure.swap-used-limit: must be a whole number of percent from 0 to 100, but is 'most'\n"
		 "f:1:85: pressure.memory-pressure-limit: must be a whole number of percent from 1 to 100, but is '0'"},
		{"prepare-timeout: 50ms\nfreeze-timeout: 0\n",
		 "f:1:18: prepare-timeout: must be seconds or a duration from 100ms to 10m, such as 3s or 1m30s, but is "
		 "'50ms'\n"
		 "f:2:17: freeze-timeout: must be seconds or a duration from 10ms to 1m, such as 3s or 1m30s, but is '0'"},
		{"restart-delay: 10s\nrestart-delay-max: 5s\n",
		 "f:2:20: restart-delay-max: must not be less than restart-delay"},
		{"restart-delay: 10m\n", "f:1:1: restart-delay-max: must not be less than restart-delay"},
		{"defer-accept: 1500ms\n", "f:1:15: defer-accept: must be whole seconds, but this is '1500ms'"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Settings settings = {.subnet_bits = 4711};
		DiagnosticList diagnostics = {0};
		Error err = {0};
		int result = read_text(cases[i].text, &settings, &diagnostics, &err);
		char *complaints = complaints_of(&diagnostics);

		if (result != -EINVAL || strcmp(complaints, cases[i].complaints) != 0)
			fail_msg("of\n%s\nwas said (%d)\n%s\ninstead of\n%s", cases[i].text, result, complaints,
					 cases[i].complaints);
		assert_non_null(strstr(err.message, "wrong with the settings"));
		assert_int_equal(settings.subnet_bits, 4711);
		free(complaints);
	}
}

static void
test_no_file(void **state)
{
	char *path = memory_printf("%s/nothing", directory);
	Settings settings;
	DiagnosticList diagnostics = {0};
	Error err = {0};

	(void) state;
	assert_int_equal(settings_read(path, &settings, &diagnostics, &err), -ENOENT);
	assert_int_equal(diagnostics.count, 0);
	free(path);
}

static void
test_reference_page_names_every_key(void **state)
{
	static const char *const keys[] = {
		"state-directory",
		"run-directory",
		"socket",
		"socket-group",
		"name-prefix",
		"subnet",
		"subnet6",
		"log-level",
		"reclaim",
		"pin-images",
		"rcu-expedited",
		"cpu-weight",
		"hot-set",
		"zram.mode",
		"logs.size",
		"logs.files",
		"zram.size",
		"prepare-timeout",
		"freeze-timeout",
		"boot-timeout",
		"stop-timeout",
		"restart-delay",
		"restart-delay-max",
		"defer-accept",
		"pressure.memory-available-min",
		"pressure.swap-used-limit",
		"pressure.memory-pressure-limit",
	};
	Text page = {0};

	(void) state;
	settings_reference_print(&page);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		char *cell = memory_printf("\n| `%s` | ", keys[i]);

		if (strstr(text_string(&page), cell) == NULL)
			fail_msg("the page does not describe %s", keys[i]);
		free(cell);
	}
	text_clear(&page);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_socket_follows_the_run_directory),
		cmocka_unit_test(test_longest_run_directory),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_reference_page_names_every_key),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
