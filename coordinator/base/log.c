/* Structured log lines; see log.h. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

static LogLevel log_threshold = LOG_LEVEL_INFO;

/* In the order of LogLevel. The numbers are syslog(3) priorities. */
static const struct
{
	const char *name;
	int priority;
} log_levels[] = {{"error", 3}, {"warning", 4}, {"info", 6}, {"debug", 7}};

void
log_set_level(LogLevel level)
{
	log_threshold = level;
}

int
log_level_parse(const char *text, LogLevel *ret_level)
{
	for (size_t i = 0; i < sizeof(log_levels) / sizeof(log_levels[0]); i++)
	{
		if (strcmp(text, log_levels[i].name) == 0)
		{
			*ret_level = (LogLevel) i;
			return 0;
		}
	}
	return -EINVAL;
}

static void
log_append_value(Text *line, const char *value)
{
	bool quote = *value == '\0' || strpbrk(value, " \"=\\\n\t") != NULL;

	if (!quote)
	{
		text_append(line, value);
		return;
	}
	text_append(line, "\"");
	for (; *value != '\0'; value++)
	{
		if (*value == '"' || *value == '\\')
			text_append_bytes(line, "\\", 1);
		if (*value == '\n') /* one event stays one line */
			text_append(line, "\\n");
		else
			text_append_bytes(line, value, 1);
	}
	text_append(line, "\"");
}

static void
log_append_head(Text *line, LogLevel level)
{
	static int journal = -1;
	uint64_t now_ms;
	time_t seconds;
	struct tm broken;
	char stamp[32];

	if (journal < 0)
		journal = getenv("JOURNAL_STREAM") != NULL;
	if (journal)
	{
		text_printf(line, "<%d>", log_levels[level].priority);
		return;
	}
	now_ms = clock_realtime_ms();
	seconds = (time_t) (now_ms / 1000);
	gmtime_r(&seconds, &broken);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &broken);
	text_printf(line, "%s.%03uZ %s ", stamp, (unsigned) (now_ms % 1000), log_levels[level].name);
}

void
log_event(LogLevel level, const char *message, ...)
{
	_cleanup_text_ Text line = {0};
	va_list arguments;
	const char *key;

	if (level > log_threshold)
		return;
	log_append_head(&line, level);
	text_append(&line, message);
	va_start(arguments, message);
	while ((key = va_arg(arguments, const char *)) != NULL)
	{
		const char *value = va_arg(arguments, const char *);

		if (value == NULL)
			continue;
		text_printf(&line, " %s=", key);
		log_append_value(&line, value);
	}
	va_end(arguments);
	/* A value may be a machine's own words, and a log is read in a terminal. */
	text_make_printable(line.data);
	text_append(&line, "\n");
	if (write(STDERR_FILENO, line.data, line.length) < 0)
		return; /* a log that cannot be written must not stop the coordinator */
}
