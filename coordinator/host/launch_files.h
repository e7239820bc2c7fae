/* Directories and small files that a machine's root must have. "/" is the machine's root. Used by launch_*.c alone. */
#ifndef HOST_LAUNCH_FILES_H
#define HOST_LAUNCH_FILES_H

#include "base/error.h"

/* A directory and its parents; what lies there under its name and isn't one (a link, a file) is replaced. */
int launch_make_directory(const char *path, Error *err) MUST_CHECK;

/* An empty file to bind on, with its parent directories; one that is there stays. */
int launch_make_empty_file(const char *path, Error *err) MUST_CHECK;

/* /etc/hosts, /etc/hostname, /etc/resolv.conf (unless NULL), /tmp and /sys. */
int launch_write_files(const char *hostname, const char *resolv_conf, Error *err) MUST_CHECK;

#endif
