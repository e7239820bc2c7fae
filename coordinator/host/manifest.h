/*
 * The manifest of a snapshot as text and as a file; the struct is in snapshot.h. A file that was read back is
 * untrusted: every field is there, of its type, within its length, or the manifest is refused whole.
 */
#ifndef HOST_MANIFEST_H
#define HOST_MANIFEST_H

#include "base/error.h"
#include "host/snapshot.h"

#define MANIFEST_NAME		"manifest.json"
#define MANIFEST_SPENT_NAME "manifest.spent.json"

/* JSON. The caller frees it. */
char *manifest_format(const SnapshotManifest *manifest);

/* -EBADMSG with what is wrong. */
int manifest_parse(const char *text, SnapshotManifest *ret_manifest, Error *err) MUST_CHECK;

/* Written aside, synced, renamed; the directory is synced before this returns. On failure there is no manifest. */
int manifest_write(const char *directory, const SnapshotManifest *manifest, Error *err) MUST_CHECK;

/* Renames the manifest away and syncs the directory. -ENOENT when there is none. */
int manifest_spend(const char *directory, Error *err) MUST_CHECK;

/* This boot of the kernel. */
int manifest_read_boot_id(char ret_boot_id[40], Error *err) MUST_CHECK;

#endif
