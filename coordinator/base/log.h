/*
 * Structured log lines of the daemon, one event a line on standard error: level, message, then key=value fields.
 * With systemd's journal behind standard error (JOURNAL_STREAM) lines carry an sd-daemon priority prefix instead of a
 * time. Only main, the API layer and the engine log; everything below returns errors.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

typedef enum LogLevel
{
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
} LogLevel;

void log_set_level(LogLevel level);

/* Reads "error", "warning", "info" or "debug". Returns 0 or -EINVAL. */
int log_level_parse(const char *text, LogLevel *ret_level);

/*
 * Writes one line. After message come key, value pairs (const char *), ended by NULL; a NULL value leaves the pair out.
 * Values with blanks or quotes are quoted.
 */
void log_event(LogLevel level, const char *message, ...) __attribute__((sentinel));

#define log_error(...)	 log_event(LOG_LEVEL_ERROR, __VA_ARGS__, NULL)
#define log_warning(...) log_event(LOG_LEVEL_WARNING, __VA_ARGS__, NULL)
#define log_info(...)	 log_event(LOG_LEVEL_INFO, __VA_ARGS__, NULL)
#define log_debug(...)	 log_event(LOG_LEVEL_DEBUG, __VA_ARGS__, NULL)

#endif
