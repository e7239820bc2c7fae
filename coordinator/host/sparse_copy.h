/*
 * Copies a file's content from or to memory as fast as the memory allows: only what is there, by several threads, and
 * into a file system in memory by large pages where the file is dense.
 */
#ifndef HOST_SPARSE_COPY_H
#define HOST_SPARSE_COPY_H

#include <stdint.h>

#include "base/error.h"

/*
 * Gives `to` the size, size_bytes, and the content of `from`; what is a hole there is one here, too. `to` keeps its
 * inode, because somebody may have it mapped. Large pages are taken where its mount has them on advice (huge=advise in
 * tmpfs(5)) and where at least three quarters of one are needed. For a job's child: it blocks, and has threads while it
 * runs. name: for messages.
 */
int sparse_copy(int from_fd, int to_fd, uint64_t size_bytes, const char *name, Error *err) MUST_CHECK;

#endif
