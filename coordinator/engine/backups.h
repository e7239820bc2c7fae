/*
 * Backups by schedule: lttled's own alarm, which survives its restarts and the host's. At its time `lttle postgres
 * backup` is run, which wakes the server, keeps it awake meanwhile and lets it sleep; one at a time. What was missed
 * while the host was off is done once.
 */
#ifndef ENGINE_BACKUPS_H
#define ENGINE_BACKUPS_H

#include "base/error.h"
#include "engine/engine.h"

struct json_t;

/*
 * Sets or changes the schedule of a machine. plan: {"schedule", "directory": absolute or absent, "database"?,
 * "format"?, "keep"?, "keep-for-ms"?} and nothing else; borrowed. ret_backup: as engine_show_backup. -EINVAL, -ENOENT.
 */
int engine_put_backup(Engine *engine, const char *name_space, const char *name, const struct json_t *plan,
					  struct json_t **ret_backup, Error *err) MUST_CHECK;
/* -ENOENT. The files stay. */
int engine_remove_backup(Engine *engine, const char *name_space, const char *name, Error *err) MUST_CHECK;

/* The plan with "namespace", "name", "next-ms", "running" and "last": null or {"time-ms", "took-ms", "ok", "file" and
 * "bytes", or "error"}. The caller decrefs. -ENOENT. */
int engine_show_backup(Engine *engine, const char *name_space, const char *name, struct json_t **ret_backup,
					   Error *err) MUST_CHECK;
/* All of them; name_space NULL: of every namespace. The caller decrefs. */
struct json_t *engine_list_backups(Engine *engine, const char *name_space);

/* For the engine's own start and end, and for a machine that is deleted. */
int engine_load_backups(Engine *engine, Error *err) MUST_CHECK;
void engine_end_backups(Engine *engine);
void engine_forget_backup(Engine *engine, const char *name_space, const char *name);

#endif
