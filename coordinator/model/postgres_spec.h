/*
 * What follows from the spec of a PostgreSQL cluster: the app and the volume that it becomes, what its sizes stand for,
 * the names of what is made for it. Pure functions over values.
 */
#ifndef MODEL_POSTGRES_SPEC_H
#define MODEL_POSTGRES_SPEC_H

#include "model/spec.h"

/* An identifier of PostgreSQL: NAMEDATALEN - 1. */
#define POSTGRES_NAME_MAX_BYTES 63

/* The role that the coordinator itself uses; no user can have its name. */
#define POSTGRES_SUPERUSER "postgres"
#define POSTGRES_PORT	   5432

/* Attributes of a role of PostgreSQL, as bits. */
typedef enum PostgresRole
{
	POSTGRES_ROLE_SUPERUSER = 1 << 0,
	POSTGRES_ROLE_CREATEDB = 1 << 1,
	POSTGRES_ROLE_CREATEROLE = 1 << 2,
	POSTGRES_ROLE_INHERIT = 1 << 3,
	POSTGRES_ROLE_LOGIN = 1 << 4,
	POSTGRES_ROLE_REPLICATION = 1 << 5,
	POSTGRES_ROLE_BYPASSRLS = 1 << 6
} PostgresRole;
#define POSTGRES_ROLE_COUNT 7

/* "SUPERUSER" of 1 << 0 and so on, in the order of the bits. */
extern const char *const postgres_role_words[POSTGRES_ROLE_COUNT];

/* The bit of a word such as "Createdb", in upper or lower case; 0: there is none. */
unsigned postgres_role_find(const char *word);

/* All that the user has; what is not in it is taken away. Login and Inherit where the spec says nothing. */
unsigned postgres_user_roles(const PostgresUser *user);

/* The user of this name, or NULL. */
const PostgresUser *postgres_spec_find_user(const PostgresSpec *spec, const char *name);

/* What it gets, whether by its size or in words. */
void postgres_spec_resources(const PostgresSpec *spec, unsigned *ret_cpus, uint64_t *ret_memory_mib);
uint64_t postgres_spec_storage_bytes(const PostgresSpec *spec);

/* ret_image: at least 256 bytes. */
void postgres_spec_image(const PostgresSpec *spec, char ret_image[256]);

/* The volume that holds its data: its own, "NAME-data", or the one that it names. */
void postgres_spec_volume_name(const PostgresSpec *spec, char ret_name[NAME_MAX_BYTES + 1]);

/* The app that it becomes. A deep copy. */
void postgres_spec_expand(const PostgresSpec *spec, AppSpec *ret_app);
/* The volume; false: it uses one that is there. Nothing in it is to be freed. */
bool postgres_spec_expand_volume(const PostgresSpec *spec, VolumeSpec *ret_volume);

/* What of a user's name the name of a secret can hold, '-' in the place of the rest; of a name that has nothing of it,
 * "user-" and a digest. Two users of a cluster never have the same; see postgres_read.h. */
void postgres_user_label(const char *user, char ret_label[NAME_MAX_BYTES + 1]);

#endif
