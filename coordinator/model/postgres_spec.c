/* What follows from the spec of a PostgreSQL cluster; see postgres_spec.h. */
#include "model/postgres_spec.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define MIB UINT64_C(1048576)
#define GIB (1024 * MIB)

const char *const postgres_role_words[POSTGRES_ROLE_COUNT] = {"SUPERUSER", "CREATEDB",	  "CREATEROLE", "INHERIT",
															  "LOGIN",	   "REPLICATION", "BYPASSRLS"};

/* keys_postgres.c says the same to people. */
static const struct
{
	unsigned cpus;
	uint64_t memory_mib;
	uint64_t storage_bytes;
} sizes[] = {
	[POSTGRES_SIZE_NONE] = {1, 256, 5 * GIB}, [POSTGRES_TINY] = {1, 256, GIB},
	[POSTGRES_SMALL] = {1, 512, 5 * GIB},	  [POSTGRES_MEDIUM] = {2, 2048, 20 * GIB},
	[POSTGRES_LARGE] = {4, 8192, 100 * GIB},  [POSTGRES_HUGE] = {8, 32768, 500 * GIB},
};

unsigned
postgres_role_find(const char *word)
{
	for (unsigned bit = 0; bit < POSTGRES_ROLE_COUNT; bit++)
	{
		if (strcasecmp(postgres_role_words[bit], word) == 0)
			return 1U << bit;
	}
	return 0;
}

unsigned
postgres_user_roles(const PostgresUser *user)
{
	unsigned bits = 0;

	if (user->roles == NULL)
		return POSTGRES_ROLE_LOGIN | POSTGRES_ROLE_INHERIT;
	for (char *const *word = user->roles; *word != NULL; word++)
		bits |= postgres_role_find(*word);
	return bits;
}

const PostgresUser *
postgres_spec_find_user(const PostgresSpec *spec, const char *name)
{
	for (size_t i = 0; i < spec->user_count; i++)
	{
		if (spec->users[i].name != NULL && strcmp(spec->users[i].name, name) == 0)
			return &spec->users[i];
	}
	return NULL;
}

void
postgres_spec_resources(const PostgresSpec *spec, unsigned *ret_cpus, uint64_t *ret_memory_mib)
{
	*ret_cpus = spec->has_resources ? spec->machine.cpus : sizes[spec->size].cpus;
	*ret_memory_mib = spec->has_resources ? spec->machine.memory_mib : sizes[spec->size].memory_mib;
}

uint64_t
postgres_spec_storage_bytes(const PostgresSpec *spec)
{
	return spec->storage_bytes != 0 ? spec->storage_bytes : sizes[spec->size].storage_bytes;
}

void
postgres_spec_image(const PostgresSpec *spec, char ret_image[256])
{
	if (spec->machine.image != NULL)
		text_copy(ret_image, 256, spec->machine.image);
	else
		snprintf(ret_image, 256, "ghcr.io/lttle-cloud/postgres:%u-flash", spec->version);
}

void
postgres_spec_volume_name(const PostgresSpec *spec, char ret_name[NAME_MAX_BYTES + 1])
{
	if (spec->volume[0] != '\0')
		text_copy(ret_name, NAME_MAX_BYTES + 1, spec->volume);
	else
		snprintf(ret_name, NAME_MAX_BYTES + 1, "%.57s-data", spec->name);
}

/* FNV-1a: for names of which nothing else can be shown. */
static unsigned
name_digest(const char *name)
{
	unsigned digest = 2166136261u;

	for (const char *c = name; *c != '\0'; c++)
		digest = (digest ^ (unsigned char) *c) * 16777619u;
	return digest;
}

void
postgres_user_label(const char *user, char ret_label[NAME_MAX_BYTES + 1])
{
	size_t length = 0;

	for (const char *c = user; *c != '\0' && length < NAME_MAX_BYTES; c++)
	{
		bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
		bool keeps = letter || (*c >= '0' && *c <= '9') || *c == '_';

		/* A name must not hold "--". */
		if (!keeps && length > 0 && ret_label[length - 1] == '-')
			continue;
		ret_label[length++] = keeps ? *c : '-';
	}
	while (length > 0 && ret_label[length - 1] == '-')
		length--;
	ret_label[length] = '\0';
	if (length == 0)
		snprintf(ret_label, NAME_MAX_BYTES + 1, "user-%08x", name_digest(user));
}
