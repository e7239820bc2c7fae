/* Secrets: what the store keeps is encrypted and bound to its place, the key file is looked after, and only an owner
 * changes what it owns. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "engine/engine_private.h"
#include "engine/secrets.h"
#include "fixture_data.h"
#include "store/store_secrets.h"
#include "store/vault.h"

typedef struct Fixture
{
	char *directory;
	char *key;
	char *database;
	Engine engine; /* nothing but its store */
} Fixture;

static int
setup(void **state)
{
	Fixture *fixture = memory_allocate(sizeof(*fixture));
	Error err = {0};

	fixture->directory = data_make_directory();
	fixture->key = memory_printf("%s/%s", fixture->directory, VAULT_KEY_FILE);
	fixture->database = memory_printf("%s/lttle.db", fixture->directory);
	if (store_open(fixture->directory, &fixture->engine.store, &err) < 0)
		fail_msg("%s", err.message);
	*state = fixture;
	return 0;
}

static int
teardown(void **state)
{
	Fixture *fixture = *state;

	store_close(fixture->engine.store);
	data_remove_directory(fixture->directory);
	free(fixture->key);
	free(fixture->database);
	free(fixture);
	return 0;
}

static void
put(Fixture *fixture, SecretKind kind, const char *name_space, const char *name, const char *owner, const char *text)
{
	Error err = {0};

	if (engine_put_secret(&fixture->engine, kind, name_space, name, owner, text, &err) < 0)
		fail_msg("%s", err.message);
}

static void
assert_text(Fixture *fixture, SecretKind kind, const char *name_space, const char *name, const char *expected)
{
	_cleanup_secret_ char *text = NULL;
	Error err = {0};

	if (engine_get_secret(&fixture->engine, kind, name_space, name, &text, &err) < 0)
		fail_msg("%s", err.message);
	assert_string_equal(text, expected);
}

static void
assert_refused(int result, int expected, const Error *err, const char *message)
{
	assert_int_equal(result, expected);
	assert_string_equal(err->message, message);
}

static void
test_put_and_get(void **state)
{
	Fixture *fixture = *state;
	_cleanup_secret_ char *text = NULL;
	Error err = {0};

	put(fixture, SECRET_KIND_SECRET, "samples", "password", NULL, "one");
	put(fixture, SECRET_KIND_SECRET, "other", "password", NULL, "two");
	put(fixture, SECRET_KIND_VALUE, "samples", "password", NULL, "");
	put(fixture, SECRET_KIND_SECRET, "samples", "password", NULL, "three");
	assert_text(fixture, SECRET_KIND_SECRET, "samples", "password", "three");
	assert_text(fixture, SECRET_KIND_SECRET, "other", "password", "two");
	assert_text(fixture, SECRET_KIND_VALUE, "samples", "password", "");
	assert_true(engine_has_secret(&fixture->engine, SECRET_KIND_SECRET, "other", "password"));
	assert_false(engine_has_secret(&fixture->engine, SECRET_KIND_VALUE, "other", "password"));
	assert_refused(engine_get_secret(&fixture->engine, SECRET_KIND_VALUE, "other", "password", &text, &err), -ENOENT,
				   &err, "value other/password: does not exist");
	store_close(fixture->engine.store);
	assert_int_equal(store_open(fixture->directory, &fixture->engine.store, &err), 0);
	assert_text(fixture, SECRET_KIND_SECRET, "samples", "password", "three");
}

static void
test_what_cannot_be_one(void **state)
{
	Fixture *fixture = *state;
	Engine *engine = &fixture->engine;
	char *big = memory_allocate(SECRET_TEXT_MAX_BYTES + 2);
	char name[SECRET_NAME_MAX_BYTES + 2] = "";
	Error err = {0};

	memset(big, 'x', SECRET_TEXT_MAX_BYTES + 1);
	assert_refused(engine_put_secret(engine, SECRET_KIND_VALUE, "a", "b", NULL, big, &err), -EINVAL, &err,
				   "value b: is longer than 64 KiB");
	big[SECRET_TEXT_MAX_BYTES] = '\0';
	put(fixture, SECRET_KIND_VALUE, "a", "b", NULL, big);
	assert_text(fixture, SECRET_KIND_VALUE, "a", "b", big);
	free(big);
	assert_refused(engine_put_secret(engine, SECRET_KIND_SECRET, "a", "b", NULL, "\xff", &err), -EINVAL, &err,
				   "secret b: must be UTF-8 text");
	assert_refused(engine_put_secret(engine, SECRET_KIND_SECRET, "a", "b/c", NULL, "x", &err), -EINVAL, &err,
				   "secret a/b/c: a name holds only letters, digits, '-' and '_'");
	assert_refused(engine_put_secret(engine, SECRET_KIND_SECRET, "", "b", NULL, "x", &err), -EINVAL, &err,
				   "secret /b: a name must not be empty");
	memset(name, 'n', SECRET_NAME_MAX_BYTES + 1);
	assert_non_null(secret_name_check(name));
	name[SECRET_NAME_MAX_BYTES] = '\0';
	assert_null(secret_name_check(name));
	put(fixture, SECRET_KIND_SECRET, "a", name, NULL, "long");
	assert_text(fixture, SECRET_KIND_SECRET, "a", name, "long");
}

static void
test_owners(void **state)
{
	Fixture *fixture = *state;
	Engine *engine = &fixture->engine;
	const char *owner = "postgres/samples/db";
	Error err = {0};

	put(fixture, SECRET_KIND_SECRET, "samples", "mine", NULL, "hand");
	put(fixture, SECRET_KIND_SECRET, "samples", "db-password", owner, "1");
	put(fixture, SECRET_KIND_SECRET, "samples", "db-password", owner, "2");
	put(fixture, SECRET_KIND_VALUE, "other", "db-host", owner, "h");
	assert_refused(engine_put_secret(engine, SECRET_KIND_SECRET, "samples", "db-password", NULL, "x", &err), -EBUSY,
				   &err, "secret samples/db-password: belongs to postgres/samples/db, and is changed only with it");
	assert_refused(engine_remove_secret(engine, SECRET_KIND_SECRET, "samples", "db-password", "postgres/a/b", &err),
				   -EBUSY, &err,
				   "secret samples/db-password: belongs to postgres/samples/db, and is changed only with it");
	assert_refused(engine_put_secret(engine, SECRET_KIND_SECRET, "samples", "mine", owner, "x", &err), -EBUSY, &err,
				   "secret samples/mine: is there already, set by hand");
	assert_text(fixture, SECRET_KIND_SECRET, "samples", "db-password", "2");
	assert_text(fixture, SECRET_KIND_SECRET, "samples", "mine", "hand");
	assert_int_equal(engine_remove_owned_secrets(engine, "", &err), -EINVAL);
	assert_int_equal(engine_remove_owned_secrets(engine, owner, &err), 0);
	assert_false(engine_has_secret(engine, SECRET_KIND_SECRET, "samples", "db-password"));
	assert_false(engine_has_secret(engine, SECRET_KIND_VALUE, "other", "db-host"));
	assert_int_equal(engine_remove_secret(engine, SECRET_KIND_SECRET, "samples", "mine", NULL, &err), 0);
	assert_refused(engine_remove_secret(engine, SECRET_KIND_SECRET, "samples", "mine", NULL, &err), -ENOENT, &err,
				   "secret samples/mine: does not exist");
}

static void
test_lists(void **state)
{
	Fixture *fixture = *state;
	Engine *engine = &fixture->engine;
	json_t *all;
	json_t *some;
	json_t *shown = NULL;
	char *text;
	Error err = {0};

	put(fixture, SECRET_KIND_SECRET, "b", "two", NULL, "hidden-text");
	put(fixture, SECRET_KIND_SECRET, "a", "one", "postgres/a/x", "hidden-text");
	put(fixture, SECRET_KIND_VALUE, "a", "three", NULL, "shown-text");
	all = engine_list_secrets(engine, SECRET_KIND_SECRET, NULL);
	assert_int_equal(json_array_size(all), 2);
	assert_string_equal(json_string_value(json_object_get(json_array_get(all, 0), "name")), "one");
	assert_string_equal(json_string_value(json_object_get(json_array_get(all, 0), "owner")), "postgres/a/x");
	assert_true(json_is_null(json_object_get(json_array_get(all, 1), "owner")));
	text = json_dumps(all, 0);
	assert_null(strstr(text, "hidden-text"));
	free(text);
	some = engine_list_secrets(engine, SECRET_KIND_VALUE, "a");
	assert_int_equal(json_array_size(some), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(some, 0), "value")), "shown-text");
	json_decref(some);
	some = engine_list_secrets(engine, SECRET_KIND_SECRET, "c");
	assert_int_equal(json_array_size(some), 0);
	assert_int_equal(engine_show_secret(engine, SECRET_KIND_SECRET, "b", "two", &shown, &err), 0);
	assert_string_equal(json_string_value(json_object_get(shown, "value")), "hidden-text");
	json_decref(some);
	json_decref(all);
	json_decref(shown);
}

/* A change has a higher revision than all before it, and the same text again is none. */
static void
test_revisions(void **state)
{
	Fixture *fixture = *state;
	Store *store = fixture->engine.store;
	SecretRecord first;
	SecretRecord second;
	Error err = {0};

	put(fixture, SECRET_KIND_SECRET, "a", "x", NULL, "1");
	assert_int_equal(store_get_secret(store, SECRET_KIND_SECRET, "a", "x", &first, NULL, &err), 0);
	put(fixture, SECRET_KIND_SECRET, "a", "x", NULL, "1");
	assert_int_equal(store_get_secret(store, SECRET_KIND_SECRET, "a", "x", &second, NULL, &err), 0);
	assert_int_equal(first.revision, second.revision);
	put(fixture, SECRET_KIND_VALUE, "a", "y", NULL, "1");
	put(fixture, SECRET_KIND_SECRET, "a", "x", NULL, "2");
	assert_int_equal(store_get_secret(store, SECRET_KIND_SECRET, "a", "x", &second, NULL, &err), 0);
	assert_int_equal(second.revision, first.revision + 2);
}

static bool
file_holds(const char *path, const char *word)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	Error err = {0};

	if (access(path, F_OK) < 0)
		return false;
	if (file_read(path, 16 << 20, &bytes, &size, &err) < 0)
		fail_msg("%s", err.message);
	return memmem(bytes, size, word, strlen(word)) != NULL;
}

static void
test_nothing_plain_reaches_the_disk(void **state)
{
	Fixture *fixture = *state;
	_cleanup_free_ char *log = memory_printf("%s-wal", fixture->database);
	struct stat status;

	put(fixture, SECRET_KIND_SECRET, "a", "findable-name", NULL, "unfindable-text");
	put(fixture, SECRET_KIND_VALUE, "a", "x", NULL, "unfindable-text too");
	assert_false(file_holds(fixture->database, "unfindable-text"));
	assert_false(file_holds(log, "unfindable-text"));
	assert_true(file_holds(fixture->database, "findable-name") || file_holds(log, "findable-name"));
	assert_int_equal(stat(fixture->key, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(status.st_size, 32);
}

/* A row that was put in the place of another one is not taken for it. */
static void
test_a_row_is_bound_to_its_place(void **state)
{
	Fixture *fixture = *state;
	_cleanup_secret_ char *text = NULL;
	sqlite3 *database;
	Error err = {0};

	put(fixture, SECRET_KIND_SECRET, "a", "mine", NULL, "1");
	put(fixture, SECRET_KIND_SECRET, "b", "theirs", NULL, "2");
	assert_int_equal(sqlite3_open(fixture->database, &database), SQLITE_OK);
	assert_int_equal(sqlite3_exec(database,
								  "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE namespace ="
								  " 'b') WHERE namespace = 'a'",
								  NULL, NULL, NULL),
					 SQLITE_OK);
	sqlite3_close(database);
	assert_int_equal(engine_get_secret(&fixture->engine, SECRET_KIND_SECRET, "a", "mine", &text, &err), -EBADMSG);
	assert_text(fixture, SECRET_KIND_SECRET, "b", "theirs", "2");
}

static void
test_damage_is_found(void **state)
{
	Fixture *fixture = *state;
	void *sealed = NULL;
	char *text = NULL;
	size_t size;
	Error err = {0};

	assert_int_equal(vault_seal(fixture->key, true, "secret/a/b", "text", &sealed, &size, &err), 0);
	for (size_t i = 0; i < size; i++)
	{
		((unsigned char *) sealed)[i] ^= 1;
		assert_int_equal(vault_unseal(fixture->key, "secret/a/b", sealed, size, &text, &err), -EBADMSG);
		((unsigned char *) sealed)[i] ^= 1;
		assert_int_equal(vault_unseal(fixture->key, "secret/a/b", sealed, i, &text, &err), -EBADMSG);
	}
	assert_int_equal(vault_unseal(fixture->key, "secret/a/c", sealed, size, &text, &err), -EBADMSG);
	assert_int_equal(vault_unseal(fixture->key, "secret/a/b", sealed, size, &text, &err), 0);
	assert_string_equal(text, "text");
	secret_text_free(text);
	free(sealed);
}

static void
write_key(const Fixture *fixture, size_t size, mode_t mode)
{
	static const char zeros[64];
	Error err = {0};

	if (file_replace(fixture->key, zeros, size, mode, &err) < 0)
		fail_msg("%s", err.message);
}

static void
test_a_key_that_others_could_read_is_refused(void **state)
{
	Fixture *fixture = *state;
	Engine *engine = &fixture->engine;
	static const mode_t modes[] = {0640, 0604, 0660, 0400, 0700, 04600};
	_cleanup_free_ char *elsewhere = memory_printf("%s/elsewhere", fixture->directory);
	char *text = NULL;
	Error err = {0};

	put(fixture, SECRET_KIND_SECRET, "a", "x", NULL, "1");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
	{
		assert_int_equal(chmod(fixture->key, modes[i]), 0);
		assert_int_equal(engine_get_secret(engine, SECRET_KIND_SECRET, "a", "x", &text, &err), -EPERM);
		assert_int_equal(engine_put_secret(engine, SECRET_KIND_SECRET, "a", "x", NULL, "2", &err), -EPERM);
	}
	assert_int_equal(chmod(fixture->key, 0600), 0);
	assert_text(fixture, SECRET_KIND_SECRET, "a", "x", "1");
	assert_int_equal(rename(fixture->key, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, fixture->key), 0);
	assert_int_equal(engine_get_secret(engine, SECRET_KIND_SECRET, "a", "x", &text, &err), -ELOOP);
	assert_int_equal(unlink(fixture->key), 0);
	assert_int_equal(rename(elsewhere, fixture->key), 0);
	assert_text(fixture, SECRET_KIND_SECRET, "a", "x", "1");
}

/* A key that is lost is not replaced in silence: what is there could never be read again. */
static void
test_another_key(void **state)
{
	Fixture *fixture = *state;
	Engine *engine = &fixture->engine;
	char *text = NULL;
	Error err = {0};

	put(fixture, SECRET_KIND_SECRET, "a", "x", NULL, "1");
	assert_int_equal(unlink(fixture->key), 0);
	assert_int_equal(engine_get_secret(engine, SECRET_KIND_SECRET, "a", "x", &text, &err), -ENOENT);
	assert_int_equal(engine_put_secret(engine, SECRET_KIND_SECRET, "a", "y", NULL, "1", &err), -ENOENT);
	assert_int_equal(access(fixture->key, F_OK), -1);
	write_key(fixture, 31, 0600);
	assert_int_equal(engine_get_secret(engine, SECRET_KIND_SECRET, "a", "x", &text, &err), -EPERM);
	write_key(fixture, 33, 0600);
	assert_int_equal(engine_get_secret(engine, SECRET_KIND_SECRET, "a", "x", &text, &err), -EPERM);
	write_key(fixture, 32, 0600);
	assert_int_equal(engine_get_secret(engine, SECRET_KIND_SECRET, "a", "x", &text, &err), -EBADMSG);
	put(fixture, SECRET_KIND_SECRET, "a", "x", NULL, "set anew");
	assert_text(fixture, SECRET_KIND_SECRET, "a", "x", "set anew");
}

static int
list_environment(void *context, const AppSpec *spec)
{
	for (size_t i = 0; i < spec->environment_count; i++)
		text_printf(context, "%s/%s=%s;", spec->name, spec->environment[i].name, spec->environment[i].value);
	return 0;
}

static void
note_problem(void *context, const char *what)
{
	text_printf(context, "[%s]", strstr(what, "damaged") == NULL ? what : "damaged");
}

/* An environment has become a text with expressions: what only looked like one before stays what it was. */
static void
test_an_old_environment_means_the_same(void **state)
{
	Fixture *fixture = *state;
	EnvironmentVariable variables[] = {{.name = (char *) "A", .value = (char *) "a ${{ b }} $${{ c"},
									   {.name = (char *) "B", .value = (char *) "plain $"}};
	AppSpec app = {.kind = RESOURCE_APP,
				   .name_space = "n",
				   .name = "a",
				   .image = (char *) "i",
				   .cpus = 1,
				   .memory_mib = 256,
				   .environment = variables,
				   .environment_count = 2};
	_cleanup_text_ Text found = {0};
	sqlite3 *database;
	Error err = {0};

	assert_int_equal(store_put_app(fixture->engine.store, &app, &err), 0);
	store_close(fixture->engine.store);
	fixture->engine.store = NULL;
	assert_int_equal(sqlite3_open(fixture->database, &database), SQLITE_OK);
	assert_int_equal(sqlite3_exec(database,
								  "INSERT INTO apps VALUES ('n', 'damaged', '{${{', 'app'); DROP TABLE secrets; DROP "
								  "TABLE clusters; DROP TABLE backups;"
								  "ALTER TABLE machines DROP COLUMN secrets_revision;"
								  "ALTER TABLE machines DROP COLUMN ended; ALTER TABLE machines DROP COLUMN server_uid;"
								  "PRAGMA user_version = 3",
								  NULL, NULL, NULL),
					 SQLITE_OK);
	sqlite3_close(database);
	if (store_open(fixture->directory, &fixture->engine.store, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(store_each_app(fixture->engine.store, list_environment, note_problem, &found, &err), 0);
	assert_string_equal(text_string(&found), "a/A=a $${{ b }} $$${{ c;a/B=plain $;[damaged]");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_put_and_get, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_revisions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_plain_reaches_the_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_row_is_bound_to_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_key_that_others_could_read_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_old_environment_means_the_same, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
