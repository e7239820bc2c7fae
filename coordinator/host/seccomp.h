/*
 * The system calls that a machine's processes may use: a list of what is allowed, made with libseccomp. What is known
 * to be dangerous gets EPERM, everything else (what is newer than the list, too) ENOSYS, so that programs fall back on
 * what they used before it existed.
 */
#ifndef HOST_SECCOMP_H
#define HOST_SECCOMP_H

#include "base/error.h"

struct sock_fprog;

/* The filter as a program for seccomp(2). Built at the first call, then kept for the life of the process (a
 * millisecond that launch_exec need not spend again). */
int seccomp_filter_get(const struct sock_fprog **ret_program, Error *err) MUST_CHECK;

/* Puts the calling process under the filter; no_new_privs must be set. Children inherit it. */
int seccomp_filter_install(const struct sock_fprog *program, Error *err) MUST_CHECK;

#endif
