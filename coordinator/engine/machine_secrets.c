/* What a machine is started with and no spec holds; see machine_secrets.h. */
#include "engine/machine_secrets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "engine/secrets.h"
#include "host/secret_files.h"
#include "model/diagnostics.h"
#include "model/key_read.h"
#include "store/store_secrets.h"

/* ---- what a spec names ---- */

typedef struct EachSecret
{
	SecretUse function;
	void *context;
	const EnvironmentVariable *variable;
} EachSecret;

static int
tell_of_variable(void *context, const SecretName *name)
{
	const EachSecret *each = context;
	char key_path[KEY_PATH_BYTES];

	key_path_join(key_path, "environment", each->variable->name);
	return each->function(each->context, name, key_path, &each->variable->mark);
}

int
app_spec_each_secret(const AppSpec *spec, SecretUse function, void *context)
{
	EachSecret each = {.function = function, .context = context};
	int result = 0;

	for (size_t i = 0; result >= 0 && i < spec->environment_count; i++)
	{
		each.variable = &spec->environment[i];
		result = template_each_secret(each.variable->value, tell_of_variable, &each);
	}
	for (size_t i = 0; result >= 0 && i < spec->secret_count; i++)
	{
		SecretName name = {.kind = SECRET_KIND_SECRET};
		char key_path[64];

		text_copy(name.name, sizeof(name.name), spec->secrets[i].name);
		snprintf(key_path, sizeof(key_path), "secrets[%zu].name", i);
		result = function(context, &name, key_path, &spec->secrets[i].mark);
	}
	return result;
}

static int
stop_at_name(void *context, const SecretName *name, const char *key_path, const SourceMark *mark)
{
	const SecretName *wanted = context;

	(void) key_path;
	(void) mark;
	return name->kind == wanted->kind && strcmp(name->name, wanted->name) == 0 ? -EEXIST : 0;
}

bool
app_spec_uses_secret(const AppSpec *spec, SecretKind kind, const char *name)
{
	SecretName wanted = {.kind = kind};

	text_copy(wanted.name, sizeof(wanted.name), name);
	return app_spec_each_secret(spec, stop_at_name, &wanted) == -EEXIST;
}

const Machine *
engine_find_secret_user(const Engine *engine, SecretKind kind, const char *name_space, const char *name)
{
	for (const Machine *machine = engine->machines; machine != NULL; machine = machine->next)
	{
		if (strcmp(machine->spec.name_space, name_space) == 0 && app_spec_uses_secret(&machine->spec, kind, name))
			return machine;
	}
	return NULL;
}

/* ---- what has changed ---- */

typedef struct Comparison
{
	const Machine *machine;
	const AppSpec *spec;
	SpecChanges *changes;
} Comparison;

static int
compare_secret(void *context, const SecretName *name, const char *key_path, const SourceMark *mark)
{
	const Comparison *comparison = context;
	const Machine *machine = comparison->machine;
	SecretRecord record;
	char line[KEY_PATH_BYTES + SECRET_NAME_MAX_BYTES + 64];

	(void) mark;
	if (store_get_secret(machine->engine->store, name->kind, comparison->spec->name_space, name->name, &record, NULL,
						 NULL) < 0 ||
		record.revision <= machine->record.secrets_revision)
		return 0;
	snprintf(line, sizeof(line), "%s: %s %s has changed", key_path, secret_kind_name(name->kind), name->name);
	spec_changes_add(comparison->changes, line, true);
	return 0;
}

void
machine_compare_secrets(const Machine *machine, const AppSpec *spec, SpecChanges *changes)
{
	Comparison comparison = {.machine = machine, .spec = spec, .changes = changes};

	/* One that was never started has nothing yet. */
	if (machine->record.secrets_revision > 0)
		(void) app_spec_each_secret(spec, compare_secret, &comparison);
}

/* ---- at a start ---- */

typedef struct Revision
{
	const Machine *machine;
	uint64_t highest;
} Revision;

static int
note_revision(void *context, const SecretName *name, const char *key_path, const SourceMark *mark)
{
	Revision *revision = context;
	SecretRecord record;

	(void) key_path;
	(void) mark;
	if (store_get_secret(revision->machine->engine->store, name->kind, revision->machine->spec.name_space, name->name,
						 &record, NULL, NULL) == 0 &&
		record.revision > revision->highest)
		revision->highest = record.revision;
	return 0;
}

static int
resolve_environment(const Machine *machine, const SecretSource *source, MachineSecrets *secrets, Error *err)
{
	const AppSpec *spec = &machine->spec;

	secrets->environment = memory_allocate((spec->environment_count + 1) * sizeof(char *));
	for (size_t i = 0; i < spec->environment_count; i++)
	{
		char wrong[256] = "";
		_cleanup_secret_ char *value = template_resolve(spec->environment[i].value, source, wrong);

		if (value == NULL)
			return error_set(err, -ENOENT, "environment.%s: %s", spec->environment[i].name, wrong);
		secrets->environment[i] = memory_printf("%s=%s", spec->environment[i].name, value);
	}
	return 0;
}

static int
resolve_files(const Machine *machine, const SecretSource *source, MachineSecrets *secrets, Error *err)
{
	const AppSpec *spec = &machine->spec;

	secrets->files = memory_allocate((spec->secret_count + 1) * sizeof(char *));
	for (size_t i = 0; i < spec->secret_count; i++)
	{
		char wrong[256] = "";

		secrets->files[i] =
			source->find(source->context, SECRET_KIND_SECRET, source->name_space, spec->secrets[i].name, wrong);
		if (secrets->files[i] == NULL)
			return error_set(err, -ENOENT, "secrets[%zu]: %s", i, wrong);
	}
	return 0;
}

int
machine_secrets_resolve(const Machine *machine, bool with_environment, MachineSecrets **ret_secrets, Error *err)
{
	SecretSource source = {
		.find = engine_find_secret, .context = machine->engine, .name_space = machine->spec.name_space};
	MachineSecrets *secrets = memory_allocate(sizeof(*secrets));
	Revision revision = {.machine = machine};
	int result = with_environment ? resolve_environment(machine, &source, secrets, err) : 0;

	if (result == 0)
		result = resolve_files(machine, &source, secrets, err);
	if (result < 0)
	{
		machine_secrets_free(secrets);
		return result;
	}
	(void) app_spec_each_secret(&machine->spec, note_revision, &revision);
	secrets->revision = revision.highest;
	*ret_secrets = secrets;
	return 0;
}

static void
texts_wipe(char **texts)
{
	for (size_t i = 0; texts != NULL && texts[i] != NULL; i++)
		secret_text_free(texts[i]);
	free(texts);
}

void
machine_secrets_free(MachineSecrets *secrets)
{
	if (secrets == NULL)
		return;
	texts_wipe(secrets->environment);
	texts_wipe(secrets->files);
	free(secrets);
}

int
machine_mount_secrets(const Machine *machine, Error *err)
{
	if (machine->spec.secret_count == 0 || secret_files_are_mounted(machine->paths.secrets))
		return 0;
	if (machine->secrets == NULL)
		return error_set(err, -ENOENT, "machine %s: the files of its secrets are not there", machine->label);
	return secret_files_mount(machine->paths.secrets, (const char *const *) machine->secrets->files,
							  machine->spec.secret_count, machine->image_config.uid, machine->image_config.gid, err);
}

char *
machine_secret_source(const Machine *machine, size_t number)
{
	return memory_printf("%s/%zu", machine->paths.secrets, number);
}
