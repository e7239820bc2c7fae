/* What is said of a changed spec, and whether a running machine must be started anew for it. */
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

#define OLD                                                                                                            \
	"app:\n  name: a\n  image: i:1\n  resources: {cpu: 1, memory: 256}\n"                                              \
	"  mode: {flash: {strategy: manual, timeout: 3}}\n"                                                                \
	"  environment: {A: one, B: two}\n  volumes: [{name: v, path: /v}]\n  expose: {e: {port: 5432}}\n"

/* Compares OLD with what becomes of it when one piece of text is replaced. */
static void
assert_changes(const char *piece, const char *replacement, const char *expected, bool needs_restart)
{
	const char *place = strstr(OLD, piece);
	char *yaml;
	ResourceSet old_set = parse_good(OLD);
	ResourceSet new_set;
	SpecChanges changes;
	Text lines = {0};

	assert_non_null(place);
	yaml = memory_printf("%.*s%s%s", (int) (place - OLD), OLD, replacement, place + strlen(piece));
	new_set = parse_good(yaml);
	app_spec_compare(&old_set.resources[0].app, &new_set.resources[0].app, &changes);
	for (size_t i = 0; i < changes.count; i++)
		text_printf(&lines, "%s%s", i == 0 ? "" : "\n", changes.lines[i]);
	assert_string_equal(text_string(&lines), expected);
	assert_int_equal(changes.needs_restart, needs_restart);
	text_clear(&lines);
	spec_changes_clear(&changes);
	resource_set_clear(&new_set);
	resource_set_clear(&old_set);
	free(yaml);
}

static void
test_nothing_changed(void **state)
{
	(void) state;
	assert_changes("app", "app", "", false);
	/* Written in another way, and in another order, but the same. */
	assert_changes("timeout: 3", "timeout: 3000ms", "", false);
	assert_changes("{A: one, B: two}", "{B: \"two\", A: 'one'}", "", false);
	assert_changes("{port: 5432}", "{port: 5432, internal: {port: 5432}, connection-tracking: connection-aware}", "",
				   false);
}

static void
test_applied_to_the_running_machine(void **state)
{
	(void) state;
	assert_changes("cpu: 1", "cpu: 2", "resources.cpu: 1 → 2", false);
	assert_changes("memory: 256", "memory: 512", "resources.memory: 256 MiB → 512 MiB", false);
	assert_changes("timeout: 3", "timeout: 1m", "mode.flash.timeout: 3s → 1m", false);
	assert_changes("timeout: 3", "timeout: 3, snapshot: disk", "mode.flash.snapshot: memory → disk", false);
	assert_changes("timeout: 3", "timeout: 3, snapshot: memory", "", false);
	assert_changes("timeout: 3", "timeout: 3, hibernate-after: 1h", "mode.flash.hibernate-after: (none) → 1h", false);
	assert_changes("{flash: {strategy: manual, timeout: 3}}", "regular",
				   "mode: flash → regular\nmode.flash.strategy: manual → (none)\nmode.flash.timeout: 3s → (none)",
				   false);
	assert_changes("{port: 5432}", "{port: 5432, connection-tracking: traffic-aware}",
				   "expose.e.connection-tracking: connection-aware → traffic-aware\n"
				   "expose.e.connection-tracking.traffic-aware.inactivity-timeout: (none) → 10s",
				   false);
	assert_changes("{port: 5432}", "{port: 5432, internal: {port: 6000}}", "expose.e.internal.port: 5432 → 6000",
				   false);
	assert_changes("{e: {port: 5432}}", "{f: {port: 5432}}",
				   "expose.e.port: 5432 → (none)\nexpose.e.internal.port: 5432 → (none)\n"
				   "expose.e.connection-tracking: connection-aware → (none)\nexpose.f.port: (none) → 5432\n"
				   "expose.f.internal.port: (none) → 5432\n"
				   "expose.f.connection-tracking: (none) → connection-aware",
				   false);
}

static void
test_needs_a_restart(void **state)
{
	(void) state;
	assert_changes("i:1", "i:2", "image: i:1 → i:2", true);
	assert_changes("A: one, B: two", "A: one, B: three, C: four",
				   "environment.B: two → three\nenvironment.C: (none) → four", true);
	assert_changes("A: one, B: two", "B: two", "environment.A: one → (none)", true);
	assert_changes("path: /v", "path: /w", "volumes.default/v: /v → /w", true);
	assert_changes("name: v, path: /v", "name: w, path: /v",
				   "volumes.default/v: /v → (none)\nvolumes.default/w: (none) → /v", true);
	assert_changes("  image", "  command: [a, \"b c\"]\n  image", "command: (none) → a b c", true);
	assert_changes("image: i:1\n  resources: {cpu: 1", "image: i:2\n  resources: {cpu: 3",
				   "image: i:1 → i:2\nresources.cpu: 1 → 3", true);
}

static void
test_commands_that_look_alike(void **state)
{
	ResourceSet one = parse_good("app: {name: a, image: i, command: [a, \"b c\"]}");
	ResourceSet two = parse_good("app: {name: a, image: i, command: [a, b, c]}");
	SpecChanges changes;

	(void) state;
	app_spec_compare(&one.resources[0].app, &two.resources[0].app, &changes);
	assert_int_equal(changes.count, 1);
	assert_string_equal(changes.lines[0], "command: the same words → divided in another way");
	assert_true(changes.needs_restart);
	spec_changes_clear(&changes);
	resource_set_clear(&two);
	resource_set_clear(&one);
}

static void
test_volumes(void **state)
{
	VolumeSpec old_spec = {.name = "v", .name_space = "n", .mode = VOLUME_WRITEABLE, .size_bytes = 100 << 20};
	VolumeSpec new_spec = old_spec;
	SpecChanges changes;

	(void) state;
	volume_spec_compare(&old_spec, &new_spec, &changes);
	assert_int_equal(changes.count, 0);
	assert_false(changes.needs_restart);
	spec_changes_clear(&changes);
	new_spec.size_bytes = 1 << 30;
	volume_spec_compare(&old_spec, &new_spec, &changes);
	assert_int_equal(changes.count, 1);
	assert_string_equal(changes.lines[0], "size: 100Mi → 1Gi");
	assert_false(changes.needs_restart);
	spec_changes_clear(&changes);
	new_spec.mode = VOLUME_READ_ONLY;
	volume_spec_compare(&old_spec, &new_spec, &changes);
	assert_int_equal(changes.count, 2);
	assert_string_equal(changes.lines[0], "mode: writeable → read-only");
	assert_true(changes.needs_restart);
	spec_changes_clear(&changes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_changed), cmocka_unit_test(test_applied_to_the_running_machine),
		cmocka_unit_test(test_needs_a_restart), cmocka_unit_test(test_commands_that_look_alike),
		cmocka_unit_test(test_volumes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
