/* What an error is called in HTTP; see status.h. */
#include "api/status.h"

#include <errno.h>

const ApiStatus api_statuses[] = {
	{EINVAL, 400, "invalid"},
	{ENAMETOOLONG, 400, "invalid"},
	{ENOENT, 404, "not-found"},
	{EOPNOTSUPP, 405, "method-not-allowed"},
	{EBUSY, 409, "busy"},
	{EEXIST, 409, "exists"},
	{ENOTUNIQ, 409, "ambiguous"},
	{EFBIG, 413, "too-large"},
	{EPROTO, 426, "upgrade-required"},
	{EAGAIN, 503, "overloaded"},
	{ECANCELED, 503, "stopping"},
	{ETIMEDOUT, 504, "timed-out"},
};
const size_t api_status_count = sizeof(api_statuses) / sizeof(api_statuses[0]);

static const ApiStatus status_failed = {EIO, 500, "failed"};

static const struct
{
	int http;
	const char *phrase;
} status_phrases[] = {
	{101, "UPGRADED"},
	{200, "OK"},
	{400, "Bad Request"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{409, "Conflict"},
	{413, "Content Too Large"},
	{426, "Upgrade Required"},
	{500, "Internal Server Error"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
};

const ApiStatus *
api_status_find(int result)
{
	for (size_t i = 0; i < api_status_count; i++)
	{
		if (api_statuses[i].errnum == -result)
			return &api_statuses[i];
	}
	return &status_failed;
}

const char *
api_status_phrase(int http)
{
	for (size_t i = 0; i < sizeof(status_phrases) / sizeof(status_phrases[0]); i++)
	{
		if (status_phrases[i].http == http)
			return status_phrases[i].phrase;
	}
	return "Unknown";
}
