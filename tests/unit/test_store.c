/* The store: what goes in comes out, also after closing; one process at a time; migrations; rows that are damaged. */
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
#include "store/migrations.h"
#include "store/store.h"

typedef struct Fixture
{
	char *directory;
	Store *store;
} Fixture;

static int
setup(void **state)
{
	Fixture *fixture = memory_allocate(sizeof(*fixture));
	Error err = {0};

	fixture->directory = data_make_directory();
	if (store_open(fixture->directory, &fixture->store, &err) < 0)
		fail_msg("%s", err.message);
	*state = fixture;
	return 0;
}

static int
teardown(void **state)
{
	Fixture *fixture = *state;

	store_close(fixture->store);
	data_remove_directory(fixture->directory);
	free(fixture);
	return 0;
}

static void
reopen(Fixture *fixture)
{
	Error err = {0};

	store_close(fixture->store);
	fixture->store = NULL;
	if (store_open(fixture->directory, &fixture->store, &err) < 0)
		fail_msg("%s", err.message);
}

/* What went wrong with the call inside ASSERT_DONE. */
static Error wrong;

#define ASSERT_DONE(call)                                                                                              \
	do                                                                                                                 \
	{                                                                                                                  \
		if ((call) != 0)                                                                                               \
			fail_msg("%s", wrong.message);                                                                             \
	} while (0)

static AppSpec
make_app(const char *name_space, const char *name)
{
	AppSpec app = {.kind = RESOURCE_APP, .cpus = 1, .memory_mib = 256};

	snprintf(app.name_space, sizeof(app.name_space), "%s", name_space);
	snprintf(app.name, sizeof(app.name), "%s", name);
	app.image = memory_duplicate("i");
	return app;
}

static void
put_app(Store *store, const char *name_space, const char *name)
{
	AppSpec app = make_app(name_space, name);

	ASSERT_DONE(store_put_app(store, &app, &wrong));
	app_spec_clear(&app);
}

/* Collects "namespace/name " of each row, and what was wrong with the others. */
typedef struct Listing
{
	Text names;
	Text problems;
	unsigned stop_after; /* 0: never */
	unsigned seen;
} Listing;

static int
list_name(Listing *listing, const char *name_space, const char *name)
{
	text_printf(&listing->names, "%s/%s ", name_space, name);
	return ++listing->seen == listing->stop_after ? -ECANCELED : 0;
}

static int
list_volume(void *context, const VolumeSpec *spec)
{
	return list_name(context, spec->name_space, spec->name);
}

static int
list_app(void *context, const AppSpec *spec)
{
	return list_name(context, spec->name_space, spec->name);
}

static void
list_problem(void *context, const char *what)
{
	text_printf(&((Listing *) context)->problems, "%s\n", what);
}

static void
clear_listing(Listing *listing)
{
	text_clear(&listing->names);
	text_clear(&listing->problems);
	*listing = (Listing){0};
}

static void
run_sql(const Fixture *fixture, const char *sql)
{
	char *path = memory_printf("%s/lttle.db", fixture->directory);
	sqlite3 *database;
	char *message = NULL;

	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	sqlite3_busy_timeout(database, 5000);
	if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s", message);
	sqlite3_close(database);
	free(path);
}

static void
test_specs_come_back(void **state)
{
	Fixture *fixture = *state;
	VolumeSpec volume = {.name = "v", .name_space = "b", .mode = VOLUME_READ_ONLY, .size_bytes = 100 << 20};
	Listing listing = {0};
	Error err = {0};

	ASSERT_DONE(store_put_volume(fixture->store, &volume, &wrong));
	snprintf(volume.name_space, sizeof(volume.name_space), "a");
	ASSERT_DONE(store_put_volume(fixture->store, &volume, &wrong));
	volume.size_bytes = 200 << 20;
	ASSERT_DONE(store_put_volume(fixture->store, &volume, &wrong));
	put_app(fixture->store, "b", "y");
	put_app(fixture->store, "b", "x");
	put_app(fixture->store, "a", "z");
	reopen(fixture);
	assert_int_equal(store_each_volume(fixture->store, list_volume, list_problem, &listing, &err), 0);
	assert_string_equal(text_string(&listing.names), "a/v b/v ");
	clear_listing(&listing);
	assert_int_equal(store_each_app(fixture->store, list_app, list_problem, &listing, &err), 0);
	assert_string_equal(text_string(&listing.names), "a/z b/x b/y ");
	clear_listing(&listing);
	ASSERT_DONE(store_delete_volume(fixture->store, "a", "v", &wrong));
	ASSERT_DONE(store_delete_app(fixture->store, "b", "x", &wrong));
	ASSERT_DONE(store_delete_app(fixture->store, "b", "never-was", &wrong));
	assert_int_equal(store_each_volume(fixture->store, list_volume, list_problem, &listing, &err), 0);
	assert_int_equal(store_each_app(fixture->store, list_app, list_problem, &listing, &err), 0);
	assert_string_equal(text_string(&listing.names), "b/v a/z b/y ");
	assert_string_equal(text_string(&listing.problems), "");
	clear_listing(&listing);
}

static int
list_service(void *context, const ServiceSpec *spec)
{
	return list_name(context, spec->name_space, spec->name);
}

static int
list_kind(void *context, const AppSpec *spec)
{
	text_printf(&((Listing *) context)->names, "%s %s ", resource_kind_name(spec->kind), spec->name);
	return 0;
}

static void
test_machines_and_services_come_back(void **state)
{
	Fixture *fixture = *state;
	AppSpec machine = make_app("n", "m");
	ServiceSpec service = {.name = "s",
						   .name_space = "n",
						   .target_name = "m",
						   .target_name_space = "n",
						   .target_port = 80,
						   .bind = {.kind = BIND_INTERNAL, .port = 80}};
	Listing listing = {0};
	Error err = {0};

	machine.kind = RESOURCE_MACHINE;
	put_app(fixture->store, "n", "a");
	ASSERT_DONE(store_put_app(fixture->store, &machine, &wrong));
	ASSERT_DONE(store_put_service(fixture->store, &service, &wrong));
	service.bind.port = 8080;
	ASSERT_DONE(store_put_service(fixture->store, &service, &wrong));
	reopen(fixture);
	assert_int_equal(store_each_app(fixture->store, list_kind, list_problem, &listing, &err), 0);
	assert_int_equal(store_each_service(fixture->store, list_service, list_problem, &listing, &err), 0);
	assert_string_equal(text_string(&listing.names), "app a machine m n/s ");
	clear_listing(&listing);
	ASSERT_DONE(store_delete_service(fixture->store, "n", "s", &wrong));
	assert_int_equal(store_each_service(fixture->store, list_service, list_problem, &listing, &err), 0);
	assert_string_equal(text_string(&listing.names), "");
	assert_string_equal(text_string(&listing.problems), "");
	clear_listing(&listing);
	app_spec_clear(&machine);
}

/* What an older lttled wrote is taken over: its apps stay apps. */
static void
test_a_first_schema_is_brought_up_to_date(void **state)
{
	Fixture *fixture = *state;
	Listing listing = {0};
	Error err = {0};

	put_app(fixture->store, "n", "a");
	store_close(fixture->store);
	fixture->store = NULL;
	run_sql(fixture, "DROP TABLE services; ALTER TABLE apps DROP COLUMN kind; DROP TABLE secrets; DROP TABLE clusters;"
					 "ALTER TABLE machines DROP COLUMN secrets_revision; ALTER TABLE machines DROP COLUMN ended;"
					 "ALTER TABLE machines DROP COLUMN server_uid;"
					 "DROP TABLE backups; ALTER TABLE images DROP COLUMN source_digest; PRAGMA user_version = 1");
	ASSERT_DONE(store_open(fixture->directory, &fixture->store, &wrong));
	assert_int_equal(store_each_app(fixture->store, list_kind, list_problem, &listing, &err), 0);
	assert_string_equal(text_string(&listing.names), "app a ");
	clear_listing(&listing);
}

static int
compare_with_guide(void *context, const AppSpec *spec)
{
	SpecChanges changes;
	size_t count;

	app_spec_compare(context, spec, &changes);
	count = changes.count;
	spec_changes_clear(&changes);
	return count == 0 ? 0 : -EINVAL;
}

static void
no_problem(void *context, const char *what)
{
	(void) context;
	fail_msg("%s", what);
}

static void
test_app_of_the_guide_comes_back_whole(void **state)
{
	Fixture *fixture = *state;
	char *text = data_read("examples/traffic-aware.lttle.yaml");
	ResourceSet set = parse_good(text);

	ASSERT_DONE(store_put_app(fixture->store, &set.resources[1].app, &wrong));
	reopen(fixture);
	ASSERT_DONE(store_each_app(fixture->store, compare_with_guide, no_problem, &set.resources[1].app, &wrong));
	resource_set_clear(&set);
	free(text);
}

static void
test_a_callback_can_stop(void **state)
{
	Fixture *fixture = *state;
	Listing listing = {.stop_after = 2};
	Error err = {0};

	put_app(fixture->store, "n", "a");
	put_app(fixture->store, "n", "b");
	put_app(fixture->store, "n", "c");
	assert_int_equal(store_each_app(fixture->store, list_app, list_problem, &listing, &err), -ECANCELED);
	assert_string_equal(text_string(&listing.names), "n/a n/b ");
	clear_listing(&listing);
	/* The statement was let go: it starts at the first row again. */
	assert_int_equal(store_each_app(fixture->store, list_app, list_problem, &listing, &err), 0);
	assert_string_equal(text_string(&listing.names), "n/a n/b n/c ");
	clear_listing(&listing);
}

static MachineRecord
make_machine(const char *name_space, const char *name, unsigned index)
{
	MachineRecord record = {
		.phase = "suspended",
		.reason = "silent for 3s",
		.since_ms = UINT64_C(1763726400000),
		.pid = 4711,
		.start_time = UINT64_C(123456789012),
		.suspends = 7,
		.wakes = 6,
		.last_wake_ms = UINT64_C(1763726300000),
		.last_wake_us = 850,
		.woken_by = "10.0.0.1:4242",
		.restarts = 2,
		.ended = 0x0100 + 1,
		.server_uid = 999,
		.delete_wanted = true,
		.image_id = "sha256:4616d818929826774d89d6044b29d8219ca413de990408ab2ea00c698b9fe5ec",
	};

	record.index = index;
	snprintf(record.name_space, sizeof(record.name_space), "%s", name_space);
	snprintf(record.name, sizeof(record.name), "%s", name);
	return record;
}

static void
test_machines_come_back(void **state)
{
	Fixture *fixture = *state;
	MachineRecord record = make_machine("n", "a", 3);
	MachineRecord back;
	Error err = {0};

	put_app(fixture->store, "n", "a");
	ASSERT_DONE(store_put_machine(fixture->store, &record, &wrong));
	reopen(fixture);
	ASSERT_DONE(store_get_machine(fixture->store, "n", "a", &back, &wrong));
	assert_memory_equal(&back, &record, sizeof(record));
	record = (MachineRecord){.phase = "ready", .reason = "", .woken_by = ""};
	snprintf(record.name_space, sizeof(record.name_space), "n");
	snprintf(record.name, sizeof(record.name), "a");
	ASSERT_DONE(store_put_machine(fixture->store, &record, &wrong));
	ASSERT_DONE(store_get_machine(fixture->store, "n", "a", &back, &wrong));
	assert_memory_equal(&back, &record, sizeof(record));
	assert_int_equal(store_get_machine(fixture->store, "n", "b", &back, &err), -ENOENT);
	assert_string_equal(err.message, "machine n/b is not in the store");
}

static void
test_a_machine_lives_and_dies_with_its_app(void **state)
{
	Fixture *fixture = *state;
	MachineRecord record = make_machine("n", "a", 3);
	MachineRecord back;
	Error err = {0};

	assert_int_equal(store_put_machine(fixture->store, &record, &err), -ENOENT);
	put_app(fixture->store, "n", "a");
	ASSERT_DONE(store_put_machine(fixture->store, &record, &wrong));
	/* A changed app keeps its machine. */
	put_app(fixture->store, "n", "a");
	ASSERT_DONE(store_get_machine(fixture->store, "n", "a", &back, &wrong));
	assert_int_equal(back.index, 3);
	ASSERT_DONE(store_delete_app(fixture->store, "n", "a", &wrong));
	assert_int_equal(store_get_machine(fixture->store, "n", "a", &back, &err), -ENOENT);
}

static void
test_free_index(void **state)
{
	Fixture *fixture = *state;
	unsigned index = 0;
	Error err = {0};
	MachineRecord record;

	ASSERT_DONE(store_free_index(fixture->store, 3, &index, &wrong));
	assert_int_equal(index, 1);
	for (unsigned i = 1; i <= 3; i++)
	{
		char name[8];

		snprintf(name, sizeof(name), "m%u", i);
		put_app(fixture->store, "n", name);
		record = make_machine("n", name, i);
		ASSERT_DONE(store_put_machine(fixture->store, &record, &wrong));
	}
	/* Any number of machines may have no address yet. */
	put_app(fixture->store, "n", "m4");
	put_app(fixture->store, "n", "m5");
	record = make_machine("n", "m4", 0);
	ASSERT_DONE(store_put_machine(fixture->store, &record, &wrong));
	record = make_machine("n", "m5", 0);
	ASSERT_DONE(store_put_machine(fixture->store, &record, &wrong));
	assert_int_equal(store_free_index(fixture->store, 3, &index, &err), -ENOSPC);
	assert_string_equal(err.message, "all 3 addresses are in use");
	ASSERT_DONE(store_free_index(fixture->store, 4, &index, &wrong));
	assert_int_equal(index, 4);
	ASSERT_DONE(store_delete_app(fixture->store, "n", "m2", &wrong));
	ASSERT_DONE(store_free_index(fixture->store, 4, &index, &wrong));
	assert_int_equal(index, 2);
	/* Two machines never have one address. */
	record = make_machine("n", "m5", 3);
	assert_int_equal(store_put_machine(fixture->store, &record, &err), -EEXIST);
}

static void
test_transactions(void **state)
{
	Fixture *fixture = *state;
	Listing listing = {0};
	Error err = {0};

	ASSERT_DONE(store_begin(fixture->store, &wrong));
	put_app(fixture->store, "n", "a");
	put_app(fixture->store, "n", "b");
	store_rollback(fixture->store);
	store_rollback(fixture->store);
	ASSERT_DONE(store_begin(fixture->store, &wrong));
	put_app(fixture->store, "n", "c");
	assert_int_not_equal(store_begin(fixture->store, &err), 0);
	ASSERT_DONE(store_commit(fixture->store, &wrong));
	assert_int_not_equal(store_commit(fixture->store, &err), 0);
	ASSERT_DONE(store_begin(fixture->store, &wrong));
	put_app(fixture->store, "n", "d");
	/* Closed in the middle, as by a crash. */
	reopen(fixture);
	assert_int_equal(store_each_app(fixture->store, list_app, list_problem, &listing, &err), 0);
	assert_string_equal(text_string(&listing.names), "n/c ");
	clear_listing(&listing);
}

typedef struct EventList
{
	EventRecord first;
	EventRecord last;
	unsigned count;
} EventList;

static int
take_event(void *context, const EventRecord *event)
{
	EventList *list = context;

	if (list->count++ == 0)
		list->first = *event;
	assert_true(list->count == 1 || event->id > list->last.id);
	list->last = *event;
	return 0;
}

static void
test_events(void **state)
{
	Fixture *fixture = *state;
	EventRecord event = {.id = 99, .name_space = "n", .phase = "ready", .reason = "woken by 10.0.0.1"};
	EventList list = {0};

	for (unsigned i = 1; i <= 10; i++)
	{
		snprintf(event.name, sizeof(event.name), i % 2 == 0 ? "even" : "odd");
		event.time_ms = 1000 + i;
		event.took_us = i;
		ASSERT_DONE(store_add_event(fixture->store, &event, &wrong));
	}
	ASSERT_DONE(store_each_event(fixture->store, NULL, NULL, 3, take_event, &list, &wrong));
	assert_int_equal(list.count, 3);
	assert_int_equal(list.first.time_ms, 1008);
	assert_int_equal(list.last.time_ms, 1010);
	list = (EventList){0};
	ASSERT_DONE(store_each_event(fixture->store, "n", "odd", 100, take_event, &list, &wrong));
	assert_int_equal(list.count, 5);
	assert_int_equal(list.first.time_ms, 1001);
	assert_string_equal(list.last.name, "odd");
	assert_string_equal(list.last.phase, "ready");
	assert_string_equal(list.last.reason, "woken by 10.0.0.1");
	assert_int_equal(list.last.took_us, 9);
	list = (EventList){0};
	ASSERT_DONE(store_each_event(fixture->store, "n", "odd", 0, take_event, &list, &wrong));
	assert_int_equal(list.count, 0);
}

static void
test_old_events_go(void **state)
{
	Fixture *fixture = *state;
	EventRecord event = {.name_space = "n", .name = "a", .phase = "ready"};
	EventList list = {0};

	ASSERT_DONE(store_begin(fixture->store, &wrong));
	for (unsigned i = 1; i <= 10300; i++)
	{
		event.time_ms = i;
		ASSERT_DONE(store_add_event(fixture->store, &event, &wrong));
	}
	ASSERT_DONE(store_commit(fixture->store, &wrong));
	ASSERT_DONE(store_each_event(fixture->store, NULL, NULL, 100000, take_event, &list, &wrong));
	assert_int_equal(list.count, 10000);
	assert_int_equal(list.first.time_ms, 301);
	assert_int_equal(list.last.time_ms, 10300);
}

static int
count_images(void *context, const ImageRecord *image)
{
	assert_non_null(image->config_json);
	(*(unsigned *) context)++;
	return 0;
}

static void
test_images(void **state)
{
	Fixture *fixture = *state;
	ImageRecord image = {.name = "ghcr.io/lttle-cloud/postgres:17-flash",
						 .id = "sha256:00",
						 .root = "/r",
						 .config_json = memory_duplicate("{}"),
						 .created_ms = 5};
	ImageRecord back;
	unsigned count = 0;
	Error err = {0};

	assert_int_equal(store_get_image(fixture->store, image.name, &back, &err), -ENOENT);
	ASSERT_DONE(store_put_image(fixture->store, &image, &wrong));
	snprintf(image.id, sizeof(image.id), "sha256:01");
	snprintf(image.source_digest, sizeof(image.source_digest), "sha256:02");
	ASSERT_DONE(store_put_image(fixture->store, &image, &wrong));
	reopen(fixture);
	ASSERT_DONE(store_get_image(fixture->store, image.name, &back, &wrong));
	assert_string_equal(back.name, image.name);
	assert_string_equal(back.id, "sha256:01");
	assert_string_equal(back.root, "/r");
	assert_string_equal(back.config_json, "{}");
	assert_int_equal(back.created_ms, 5);
	image_record_clear(&back);
	assert_null(back.config_json);
	ASSERT_DONE(store_each_image(fixture->store, count_images, &count, &wrong));
	assert_int_equal(count, 1);
	ASSERT_DONE(store_delete_image(fixture->store, "nobody", &wrong));
	ASSERT_DONE(store_get_image(fixture->store, image.name, &back, &wrong));
	assert_string_equal(back.source_digest, "sha256:02");
	image_record_clear(&back);
	ASSERT_DONE(store_delete_image(fixture->store, image.name, &wrong));
	assert_int_equal(store_get_image(fixture->store, image.name, &back, &err), -ENOENT);
	image_record_clear(&image);
}

static void
test_damaged_specs_are_left_out(void **state)
{
	Fixture *fixture = *state;
	Listing listing = {0};
	Error err = {0};

	put_app(fixture->store, "n", "good");
	run_sql(fixture,
			"INSERT INTO apps (namespace, name, spec) VALUES ('n', 'a', 'no json'), ('n', 'b', "
			"'{\"name\":\"b\",\"namespace\":\"n\"}'),"
			" ('n', 'c', '{\"name\":\"other\",\"namespace\":\"n\",\"image\":\"i\"}'), ('n', 'd', '[]'), ('n', 'e', '');"
			"INSERT INTO volumes VALUES ('n', 'v', '{\"name\":\"v\",\"namespace\":\"n\",\"size\":\"1\"}'),"
			" ('n', 'w', '{\"name\":\"w\",\"namespace\":\"n\",\"size\":\"16Mi\"}'),"
			" ('m', 'w', '{\"name\":\"w\",\"namespace\":\"n\",\"size\":\"16Mi\"}')");
	assert_int_equal(store_each_app(fixture->store, list_app, list_problem, &listing, &err), 0);
	assert_string_equal(text_string(&listing.names), "n/good ");
	assert_string_equal(text_string(&listing.problems),
						"app n/a: '[' or '{' expected near 'no'\n"
						"app n/b: app.image: is missing; it must be the name of an image, or there is a 'build'\n"
						"app n/c: its spec has another name\n"
						"app n/d: app: must be a map\n"
						"app n/e: '[' or '{' expected near end of file\n");
	clear_listing(&listing);
	assert_int_equal(store_each_volume(fixture->store, list_volume, list_problem, &listing, &err), 0);
	assert_string_equal(text_string(&listing.names), "n/w ");
	assert_string_equal(text_string(&listing.problems),
						"volume m/w: its spec has another name\n"
						"volume n/v: volume.size: must be a size from 16Mi to 16Ti, such as 100Mi, but is '1'\n");
	clear_listing(&listing);
}

static void
test_damaged_machines_and_images_are_refused(void **state)
{
	static const char *const damages[] = {
		"phase = 'a phase that is far too long for it'",
		"address_index = -1",
		"address_index = 4294967296",
		"pid = 2147483648",
		"pid = -1",
		"restarts = -5",
		"delete_wanted = 2",
		"suspends = -1",
		"ended = 65537",
		"server_uid = 4294967295",
		"reason = 'a' || char(0) || 'b'",
	};
	Fixture *fixture = *state;
	MachineRecord record = make_machine("n", "a", 1);
	MachineRecord back = {.index = 4711};
	ImageRecord image;
	Error err = {0};

	put_app(fixture->store, "n", "a");
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++)
	{
		char *sql = memory_printf("UPDATE machines SET %s", damages[i]);

		ASSERT_DONE(store_put_machine(fixture->store, &record, &wrong));
		run_sql(fixture, sql);
		if (store_get_machine(fixture->store, "n", "a", &back, &err) != -EBADMSG)
			fail_msg("%s was taken", damages[i]);
		assert_int_equal(back.index, 4711);
		free(sql);
	}
	run_sql(fixture, "INSERT INTO images VALUES ('x', 'y', printf('%.*c', 500, 'r'), '{}', 1, '')");
	assert_int_equal(store_get_image(fixture->store, "x", &image, &err), -EBADMSG);
}

static void
test_files_are_private(void **state)
{
	Fixture *fixture = *state;
	static const char *const names[] = {"lttle.db", "lttle.db-wal", "lock"};

	put_app(fixture->store, "n", "a");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		char *path = memory_printf("%s/%s", fixture->directory, names[i]);
		struct stat status;

		assert_int_equal(stat(path, &status), 0);
		assert_int_equal(status.st_mode & 07777, 0600);
		free(path);
	}
}

/* A child that holds the store until it is killed. It has a child of its own that outlives it, as a job may. */
static pid_t
start_holder(const char *directory, pid_t *ret_orphan)
{
	int ready[2];
	pid_t holder;

	assert_int_equal(pipe(ready), 0);
	holder = fork();
	assert_true(holder >= 0);
	if (holder == 0)
	{
		Store *store;
		pid_t orphan;

		if (store_open(directory, &store, NULL) < 0)
			_exit(1);
		orphan = fork();
		alarm(60); /* should the test itself end early */
		if (orphan != 0 && write(ready[1], &orphan, sizeof(orphan)) != sizeof(orphan))
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], ret_orphan, sizeof(*ret_orphan)), sizeof(*ret_orphan));
	close(ready[0]);
	return holder;
}

static void
test_one_process_at_a_time(void **state)
{
	char *directory = data_make_directory();
	pid_t orphan;
	pid_t holder = start_holder(directory, &orphan);
	char *expected = memory_printf("%s is in use by another lttled (process %d)", directory, (int) holder);
	Store *store = NULL;
	Error err = {0};

	(void) state;
	assert_int_equal(store_open(directory, &store, &err), -EBUSY);
	assert_string_equal(err.message, expected);
	assert_null(store);
	assert_int_equal(kill(holder, SIGKILL), 0);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	/* The orphan still has the descriptor, and does not matter. */
	assert_int_equal(kill(orphan, 0), 0);
	ASSERT_DONE(store_open(directory, &store, &wrong));
	assert_int_equal(kill(orphan, SIGKILL), 0);
	store_close(store);
	free(expected);
	data_remove_directory(directory);
}

static int
read_version(const Fixture *fixture)
{
	char *path = memory_printf("%s/lttle.db", fixture->directory);
	sqlite3 *database;
	sqlite3_stmt *statement;
	int version;

	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(database, "PRAGMA user_version", -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	version = sqlite3_column_int(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(database);
	free(path);
	return version;
}

static void
test_a_newer_schema_is_refused(void **state)
{
	Fixture *fixture = *state;
	Error err = {0};

	assert_int_equal(read_version(fixture), migrations_newest());
	store_close(fixture->store);
	fixture->store = NULL;
	run_sql(fixture, "PRAGMA user_version = 1000");
	assert_int_equal(store_open(fixture->directory, &fixture->store, &err), -EPROTO);
	assert_non_null(strstr(err.message, "has schema 1000, but this lttled knows only up to"));
	assert_int_equal(read_version(fixture), 1000);
}

static void
test_a_failed_migration_leaves_nothing(void **state)
{
	Fixture *fixture = *state;
	Error err = {0};

	store_close(fixture->store);
	fixture->store = NULL;
	/* An empty database with one table in the way: the step fails half-way. */
	run_sql(fixture, "DROP TABLE volumes; DROP TABLE machines; DROP TABLE apps; DROP TABLE images; DROP TABLE services;"
					 "DROP TABLE secrets; DROP TABLE clusters; DROP TABLE backups; PRAGMA user_version = 0");
	assert_int_equal(store_open(fixture->directory, &fixture->store, &err), -EIO);
	assert_non_null(strstr(err.message, "to schema 1: table events already exists"));
	assert_int_equal(read_version(fixture), 0);
	/* Nothing of the step is there: without the obstacle it runs. */
	run_sql(fixture, "DROP TABLE events");
	ASSERT_DONE(store_open(fixture->directory, &fixture->store, &wrong));
	put_app(fixture->store, "n", "a");
}

static void
test_what_is_no_database(void **state)
{
	Fixture *fixture = *state;
	char *path = memory_printf("%s/lttle.db", fixture->directory);
	FILE *file;
	Error err = {0};

	store_close(fixture->store);
	fixture->store = NULL;
	file = fopen(path, "w");
	assert_non_null(file);
	for (unsigned i = 0; i < 1000; i++)
		fputs("this is no database\n", file);
	fclose(file);
	assert_int_equal(store_open(fixture->directory, &fixture->store, &err), -EIO);
	assert_non_null(strstr(err.message, "file is not a database"));
	free(path);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_specs_come_back),
		WITH_STORE(test_machines_and_services_come_back),
		WITH_STORE(test_a_first_schema_is_brought_up_to_date),
		WITH_STORE(test_app_of_the_guide_comes_back_whole),
		WITH_STORE(test_a_callback_can_stop),
		WITH_STORE(test_machines_come_back),
		WITH_STORE(test_a_machine_lives_and_dies_with_its_app),
		WITH_STORE(test_free_index),
		WITH_STORE(test_transactions),
		WITH_STORE(test_events),
		WITH_STORE(test_old_events_go),
		WITH_STORE(test_images),
		WITH_STORE(test_damaged_specs_are_left_out),
		WITH_STORE(test_damaged_machines_and_images_are_refused),
		WITH_STORE(test_files_are_private),
		cmocka_unit_test(test_one_process_at_a_time),
		WITH_STORE(test_a_newer_schema_is_refused),
		WITH_STORE(test_a_failed_migration_leaves_nothing),
		WITH_STORE(test_what_is_no_database),
	};

	alarm(120); /* nothing here may hang for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
