/* Whose sessions don't count; see ignore.h. The file's lines: "user NAME" or "application NAME", one blank in between.
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "ignore.h"
#include "settings.h"

#define FILE_MAX_BYTES 65536

bool lttle_ignore_has_names = false;

static char *names = NULL; /* the file's text; for as long as the process lives */

/* Returns the number of bytes, or -1. Without palloc: a failure must not cost the client its session. */
static ssize_t
file_read_all(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t total = 0;
	ssize_t got;

	if (fd < 0)
		return -1;
	while ((size_t) total < size && (got = read(fd, buffer + total, size - (size_t) total)) > 0)
		total += got;
	close(fd);
	return total;
}

void
lttle_ignore_load(void)
{
	char *text;
	ssize_t length;

	if (names != NULL || *lttle_ignore_file == '\0' || access(lttle_ignore_file, R_OK) != 0)
		return;
	text = malloc(FILE_MAX_BYTES + 1);
	if (text == NULL)
		return;
	length = file_read_all(lttle_ignore_file, text, FILE_MAX_BYTES);
	if (length <= 0)
	{
		free(text);
		return;
	}
	text[length] = '\0';
	names = text;
	lttle_ignore_has_names = true;
}

/* Whether there is a line of just this word and name. */
static bool
has_line(const char *word, const char *name)
{
	size_t word_length = strlen(word);
	size_t name_length = name == NULL ? 0 : strlen(name);

	if (names == NULL || name_length == 0)
		return false;
	for (const char *line = names; line != NULL && *line != '\0';)
	{
		const char *end = strchr(line, '\n');
		size_t length = end == NULL ? strlen(line) : (size_t) (end - line);

		if (length == word_length + 1 + name_length && memcmp(line, word, word_length) == 0 &&
			line[word_length] == ' ' && memcmp(line + word_length + 1, name, name_length) == 0)
			return true;
		line = end == NULL ? NULL : end + 1;
	}
	return false;
}

bool
lttle_ignore_matches(const char *user, const char *application)
{
	return has_line("user", user) || has_line("application", application);
}
