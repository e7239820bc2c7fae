/* Errors as values; see error.h. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
error_set(Error *err, int code, const char *format, ...)
{
	va_list arguments;

	if (err == NULL)
		return code;
	err->code = code;
	va_start(arguments, format);
	vsnprintf(err->message, sizeof(err->message), format, arguments);
	va_end(arguments);
	return code;
}

int
error_set_errno(Error *err, int errnum, const char *format, ...)
{
	va_list arguments;
	size_t length;

	if (err == NULL)
		return -errnum;
	err->code = -errnum;
	va_start(arguments, format);
	vsnprintf(err->message, sizeof(err->message), format, arguments);
	va_end(arguments);
	length = strlen(err->message);
	snprintf(err->message + length, sizeof(err->message) - length, ": %s", strerror(errnum));
	return -errnum;
}

int
error_prefix(Error *err, const char *format, ...)
{
	char original[ERROR_MESSAGE_BYTES];
	va_list arguments;
	size_t length;

	if (err == NULL)
		return -1;
	memcpy(original, err->message, sizeof(original));
	va_start(arguments, format);
	vsnprintf(err->message, sizeof(err->message), format, arguments);
	va_end(arguments);
	length = strlen(err->message);
	snprintf(err->message + length, sizeof(err->message) - length, ": %s", original);
	return err->code;
}
