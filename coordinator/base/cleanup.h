/*
 * Cleanup attributes: a local that owns something gives it back when its scope ends, and `steal` hands it over.
 *
 *     _cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
 *     ...
 *     *ret_fd = steal_fd(&fd);
 */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void
cleanup_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void
cleanup_free(void *pointer)
{
	free(*(void **) pointer);
}

static inline void
cleanup_file(FILE **file)
{
	if (*file != NULL)
		fclose(*file);
}

static inline void
cleanup_directory(DIR **directory)
{
	if (*directory != NULL)
		closedir(*directory);
}

#define _cleanup_fd_		__attribute__((cleanup(cleanup_fd)))
#define _cleanup_free_		__attribute__((cleanup(cleanup_free)))
#define _cleanup_file_		__attribute__((cleanup(cleanup_file)))
#define _cleanup_directory_ __attribute__((cleanup(cleanup_directory)))
#define _cleanup_(function) __attribute__((cleanup(function)))

/* Takes the descriptor out of its variable, so that it is not closed there. */
static inline int
steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* Takes the pointer out of its variable, so that it is not freed there. */
#define steal_pointer(pointer)                                                                                         \
	({                                                                                                                 \
		__typeof__(*(pointer)) stolen_ = *(pointer);                                                                   \
		*(pointer) = NULL;                                                                                             \
		stolen_;                                                                                                       \
	})

#endif
