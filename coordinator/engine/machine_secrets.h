/*
 * Secrets and values that a machine is started with: its environment, and its files. They are worked out from the store
 * right before the start, handed to the job, and wiped when it has ended. Private to engine/.
 */
#ifndef ENGINE_MACHINE_SECRETS_H
#define ENGINE_MACHINE_SECRETS_H

#include "engine/machine.h"
#include "model/expression.h"

struct MachineSecrets
{
	char **environment; /* "NAME=value", as many as the spec has, NULL-terminated; NULL: not wanted */
	char **files;		/* what is in them, as many as the spec has, NULL-terminated */
	uint64_t revision;	/* none of them was changed later */
};

/* Works out the environment (only when it is wanted) and the files. Errors name the key, and the secret or value that
 * is missing. */
int machine_secrets_resolve(const Machine *machine, bool with_environment, MachineSecrets **ret_secrets,
							Error *err) MUST_CHECK;
/* Wipes and frees. NULL: nothing. */
void machine_secrets_free(MachineSecrets *secrets);

/* For jobs: brings the files to where the launcher and CRIU bind them from. Those that are there stay as they are; a
 * new machine's are unmounted before. */
int machine_mount_secrets(const Machine *machine, Error *err) MUST_CHECK;
/* The file on the host that is bound at the path of the spec's secret of this number; the caller frees. */
char *machine_secret_source(const Machine *machine, size_t number);

/* Calls function for each secret and value that the app's or machine's spec names. key_path: below the kind. Negative
 * stops, and is returned. */
typedef int (*SecretUse)(void *context, const SecretName *name, const char *key_path, const SourceMark *mark);
int app_spec_each_secret(const AppSpec *spec, SecretUse function, void *context);

bool app_spec_uses_secret(const AppSpec *spec, SecretKind kind, const char *name);

/* The machine that names it, or NULL. */
const Machine *engine_find_secret_user(const Engine *engine, SecretKind kind, const char *name_space, const char *name);

/* Adds to the changes which secrets and values have changed since the machine was started. */
void machine_compare_secrets(const Machine *machine, const AppSpec *spec, SpecChanges *changes);

#endif
