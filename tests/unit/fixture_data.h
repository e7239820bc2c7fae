/* Test data: files of the repository, found from the place of the test program, wherever it was built and is run. */
#ifndef FIXTURE_DATA_H
#define FIXTURE_DATA_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

/* The path of a file given relative to the repository's root. The caller frees. */
static inline char *
data_path(const char *relative)
{
	char directory[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", directory, sizeof(directory) - 1);

	assert_true(length > 0);
	directory[length] = '\0';
	for (char *slash = strrchr(directory, '/'); slash != NULL; slash = strrchr(directory, '/'))
	{
		char *path;

		*slash = '\0';
		path = memory_printf("%s/%s", directory, relative);
		if (access(path, R_OK) == 0)
			return path;
		free(path);
	}
	fail_msg("%s: not found in any directory above the test program", relative);
	return NULL;
}

/* The text of such a file. The caller frees. */
static inline char *
data_read(const char *relative)
{
	char *path = data_path(relative);
	char *text = NULL;
	Error err = {0};

	if (file_read(path, 1 << 20, &text, NULL, &err) < 0)
		fail_msg("%s", err.message);
	free(path);
	return text;
}

/*
 * A process that removes the directory when the test program has ended, however it ended: also by SIGKILL. It learns
 * of that from the end of a pipe that only the program holds open.
 */
static inline void
data_start_janitor(const char *path)
{
	int alive[2];
	pid_t janitor;
	char byte;

	assert_int_equal(pipe2(alive, O_CLOEXEC), 0);
	janitor = fork();
	assert_true(janitor >= 0);
	if (janitor == 0)
	{
		setsid();
		close(alive[1]);
		while (read(alive[0], &byte, 1) < 0 && errno == EINTR)
			;
		_exit(file_remove_tree(path, NULL) < 0);
	}
	close(alive[0]);
}

/* A fresh directory below TMPDIR; the caller frees the path and removes the directory. */
static inline char *
data_make_directory(void)
{
	const char *temporary = getenv("TMPDIR");
	char *path = memory_printf("%s/lttle-test-XXXXXX", temporary == NULL ? "/tmp" : temporary);

	assert_non_null(mkdtemp(path));
	data_start_janitor(path);
	return path;
}

static inline void
data_remove_directory(char *path)
{
	Error err = {0};

	if (file_remove_tree(path, &err) < 0)
		fail_msg("%s", err.message);
	free(path);
}

#endif
