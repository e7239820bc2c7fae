/*
 * Asking a registry, with skopeo; see image.h. First only for the manifest, whose digest says whether a tag has moved;
 * then, where it has, for all of that very digest, so that what is recorded is what was fetched.
 */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/text.h"
#include "host/image_layout.h"

#define ASK_TIMEOUT_MS UINT64_C(60000) /* for a manifest, which is small */

/* The registry of a name: what stands before the first '/', if it can be a host. Empty: docker.io. */
static void
registry_of(const char *name, char *ret_host, size_t size)
{
	size_t length = strcspn(name, "/");

	ret_host[0] = '\0';
	if (name[length] != '/' || length >= size)
		return;
	if (memchr(name, '.', length) == NULL && memchr(name, ':', length) == NULL && strncmp(name, "localhost/", 10) != 0)
		return;
	memcpy(ret_host, name, length);
	ret_host[length] = '\0';
}

static bool
host_is_loopback(const char *host)
{
	size_t length = strcspn(host, ":");

	return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
		   (length == strlen("localhost") && strncmp(host, "localhost", length) == 0);
}

/* "registry:5000/path", without tag and digest. */
static char *
repository_of(const char *name)
{
	char *repository = memory_duplicate(name);
	char *slash;
	char *colon;

	repository[strcspn(repository, "@")] = '\0';
	slash = strrchr(repository, '/');
	colon = strchr(slash == NULL ? repository : slash, ':');
	if (colon != NULL)
		*colon = '\0';
	return repository;
}

/* Says in our own words what registries answer most. */
static int
explain(const char *name, Error *err)
{
	_cleanup_free_ char *said = NULL;
	char host[256];
	char *about;

	if (err == NULL || err->code == -ETIMEDOUT)
		return err == NULL ? -EIO : error_prefix(err, "image %s", name);
	image_simplify_message(err);
	/* "Error parsing image name "docker://…": what it is about" */
	about = strstr(err->message, "docker://");
	about = about == NULL ? NULL : strstr(about, "\": ");
	said = memory_duplicate(about == NULL ? err->message : about + strlen("\": "));
	registry_of(name, host, sizeof(host));
	if (host[0] == '\0')
		snprintf(host, sizeof(host), "docker.io");
	if (strstr(said, "unauthorized") != NULL || strstr(said, "authentication required") != NULL ||
		strstr(said, "access to the resource is denied") != NULL)
		return error_set(err, -EACCES,
						 "image %s: the registry %s wants other credentials than it was given (see the setting "
						 "registry-auth-file)",
						 name, host);
	if (strstr(said, "manifest unknown") != NULL || strstr(said, "name unknown") != NULL)
		return error_set(err, -ENOENT, "image %s: the registry %s has no such image", name, host);
	return error_set(err, err->code, "image %s: %s", name, said);
}

/* The digest of what the name stands for now, as the registry has it. */
static int
ask_digest(const ImagePull *pull, const ImageAccess *reach, char ret_digest[80], Error *err)
{
	_cleanup_free_ char *source = memory_printf("docker://%s", pull->name);
	_cleanup_free_ char *manifest = NULL;
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[IMAGE_HEX_BYTES];
	const char *argv[12];
	size_t count = image_skopeo_begin(argv);
	int result;

	argv[count++] = "inspect";
	argv[count++] = "--raw";
	if (reach->auth_file[0] != '\0')
	{
		argv[count++] = "--authfile";
		argv[count++] = reach->auth_file;
	}
	if (reach->insecure)
		argv[count++] = "--tls-verify=false";
	argv[count++] = "--";
	argv[count++] = source;
	argv[count] = NULL;
	result = process_run(argv, pull->timeout_ms < ASK_TIMEOUT_MS ? pull->timeout_ms : ASK_TIMEOUT_MS, &manifest, err);
	if (result < 0)
		return explain(pull->name, err);
	crypto_hash_sha256(hash, (const unsigned char *) manifest, strlen(manifest));
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	snprintf(ret_digest, 80, "sha256:%s", hex);
	return 0;
}

int
image_pull(const HostLayout *layout, const ImagePull *pull, HostImage *ret_image, Error *err)
{
	_cleanup_free_ char *repository = repository_of(pull->name);
	_cleanup_free_ char *source = NULL;
	char host[256];
	char digest[80];
	HostImage image;
	ImageAccess reach = {.auth_file = pull->auth_file};
	int result;

	registry_of(pull->name, host, sizeof(host));
	reach.insecure = host_is_loopback(host);
	result = ask_digest(pull, &reach, digest, err);
	if (result < 0)
		return result;
	if (strcmp(digest, pull->known_digest) != 0 || image_find(layout, pull->known_id, &image, NULL) < 0)
	{
		source = memory_printf("docker://%s@%s", repository, digest);
		result = image_fetch_by(layout, source, &reach, pull->timeout_ms, &image, err);
		if (result < 0)
			return explain(pull->name, err);
	}
	snprintf(image.source_digest, sizeof(image.source_digest), "%s", digest);
	*ret_image = image;
	return 0;
}
