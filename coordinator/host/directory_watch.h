/*
 * Says in the event loop when files of a directory have changed: were written, came, went or were renamed. Several
 * changes in quick succession are one. The directory may come later.
 */
#ifndef HOST_DIRECTORY_WATCH_H
#define HOST_DIRECTORY_WATCH_H

#include <stdint.h>

struct event_base;

typedef struct DirectoryWatch DirectoryWatch;

/* path is copied. changed: in the loop, when nothing has changed any more for quiet_ms. */
DirectoryWatch *directory_watch_open(struct event_base *loop, const char *path, uint64_t quiet_ms,
									 void (*changed)(void *context), void *context);

/* Looks again whether the directory is there by now; there is no need to when it is watched. */
void directory_watch_retry(DirectoryWatch *watch);

/* NULL: nothing. */
void directory_watch_close(DirectoryWatch *watch);

#endif
