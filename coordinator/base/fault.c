/* Fault points; see fault.h. Empty in a build without them. */
#include "base/fault.h"

#ifdef LTTLE_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define LIST_MAX_BYTES 4096
#define WORDS_MAX	   4
#define ERRNO_MAX	   133
#define VARIABLE	   "LTTLED_FAULT"

typedef struct Counts
{
	char list[LIST_MAX_BYTES]; /* what they were counted under */
	unsigned hits[FAULT_COUNT];
} Counts;

#define FAULT_NAME(symbol, name, where) name,
static const char *const names[] = {FAULT_POINTS(FAULT_NAME)};

static Counts *counts;

void
fault_start(void)
{
	void *shared = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	counts = shared == MAP_FAILED ? NULL : shared;
}

/* The list that holds now, without its newline; empty when nothing is asked for. */
static char *
read_list(const char *value)
{
	char *text = NULL;

	if (value == NULL || *value == '\0')
		return memory_duplicate("");
	if (*value != '/')
		return memory_duplicate(value);
	if (file_read(value, LIST_MAX_BYTES - 1, &text, NULL, NULL) < 0)
		return memory_duplicate("");
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static unsigned
count_hit(FaultPoint point, const char *list)
{
	if (counts == NULL)
		return 1;
	if (strncmp(counts->list, list, sizeof(counts->list)) != 0)
	{
		memset(counts, 0, sizeof(*counts));
		text_copy(counts->list, sizeof(counts->list), list);
	}
	return ++counts->hits[point];
}

static void
note_hit(const char *value, FaultPoint point)
{
	_cleanup_free_ char *path = memory_printf("%s.hits", value);
	_cleanup_fd_ int fd = -1;

	if (*value != '/')
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || dprintf(fd, "%s %d\n", names[point], (int) getpid()) < 0)
		abort(); /* a test waits for this line */
}

static int
errno_by_name(const char *name)
{
	for (int number = 1; name != NULL && number <= ERRNO_MAX; number++)
	{
		const char *known = strerrorname_np(number);

		if (known != NULL && strcmp(known, name) == 0)
			return number;
	}
	fprintf(stderr, VARIABLE ": there is no error %s\n", name == NULL ? "" : name);
	abort();
}

static int
act(FaultPoint point, char *words[WORDS_MAX], const char *value, Error *err)
{
	const char *action = words[1] == NULL ? "" : words[1];
	int number = strcmp(action, "error") == 0 ? errno_by_name(words[2]) : 0;

	note_hit(value, point);
	if (number > 0)
		return error_set(err, -number, "fault point %s: %s", names[point], strerror(number));
	if (strcmp(action, "stop") == 0)
		raise(SIGSTOP);
	else if (strcmp(action, "kill") == 0)
		raise(SIGKILL);
	else
	{
		fprintf(stderr, VARIABLE ": there is no action %s\n", action);
		abort();
	}
	return 0;
}

int
fault_hit(FaultPoint point, Error *err)
{
	const char *value = getenv(VARIABLE);
	_cleanup_free_ char *list = read_list(value);
	_cleanup_free_ char *words_of = memory_duplicate(list);
	unsigned hits = 0;
	char *rest = words_of;

	for (char *item = strsep(&rest, ","); item != NULL && *item != '\0'; item = strsep(&rest, ","))
	{
		char *words[WORDS_MAX + 1] = {NULL};
		size_t count = 0;
		const char *nth;

		while (count < WORDS_MAX && (words[count] = strsep(&item, ":")) != NULL)
			count++;
		if (strcmp(words[0], names[point]) != 0)
			continue;
		nth = words[words[1] != NULL && strcmp(words[1], "error") == 0 ? 3 : 2];
		if (hits == 0)
			hits = count_hit(point, list);
		if (nth == NULL || hits == (unsigned) strtoul(nth, NULL, 10))
			return act(point, words, value, err);
	}
	return 0;
}

#endif
