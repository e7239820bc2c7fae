/* Schedules of backups in the store: what was asked for and what became of the last one, as JSON of the engine's. */
#ifndef STORE_STORE_BACKUPS_H
#define STORE_STORE_BACKUPS_H

#include "store/store.h"

struct json_t;

/* Adds it or changes it; on the disk when it returns. */
int store_put_backup(Store *store, const char *name_space, const char *name, const struct json_t *state,
					 Error *err) MUST_CHECK;
/* One that isn't there is no error. */
int store_delete_backup(Store *store, const char *name_space, const char *name, Error *err) MUST_CHECK;

/* In the order of namespace and name; rows that cannot be read are left out. The function must not change the store. */
typedef void (*StoreBackupFunction)(void *context, const char *name_space, const char *name,
									const struct json_t *state);
int store_each_backup(Store *store, StoreBackupFunction function, void *context, Error *err) MUST_CHECK;

#endif
