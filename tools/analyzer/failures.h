/*
 * For static analysis only: tools/lint puts this before every file. An analyzer looks at one file at a time and cannot
 * know that error_set and its kin always return a failure; without that it takes every output for unset.
 */
#ifndef TOOLS_ANALYZER_FAILURES_H
#define TOOLS_ANALYZER_FAILURES_H

#include "base/error.h"

static inline int
analyzer_failure(int code)
{
	if (code >= 0)
		__builtin_unreachable();
	return code;
}

#define error_set(...)		 analyzer_failure(error_set(__VA_ARGS__))
#define error_set_errno(...) analyzer_failure(error_set_errno(__VA_ARGS__))
#define error_prefix(...)	 analyzer_failure(error_prefix(__VA_ARGS__))

#endif
