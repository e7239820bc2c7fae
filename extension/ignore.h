/*
 * Sessions that are served like any other and still don't count: monitoring, pollers. The coordinator says which, by
 * the names of users and of applications, in a file (lttle_pg.ignore_file); a session reads it when it begins.
 */
#ifndef LTTLE_IGNORE_H
#define LTTLE_IGNORE_H

#include "postgres.h"

/* Reads the file, in a process that serves a client. A file that isn't there ignores nobody. */
extern void lttle_ignore_load(void);

/* True when a session of this user, or one that calls itself so, is ignored. Either may be NULL. */
extern bool lttle_ignore_matches(const char *user, const char *application);

/* False when nobody is ignored, whatever the session calls itself. Only lttle_ignore_load writes it. */
extern bool lttle_ignore_has_names;

#endif
