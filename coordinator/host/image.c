/*
 * Bringing images in and throwing them out; see image.h. skopeo copies into one OCI layout under the tag "incoming",
 * umoci unpacks beside the roots, and a rename makes the root appear whole; what a killed fetch left is removed by the
 * next one. A lock file keeps two jobs of one coordinator apart.
 */
#include "host/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "host/image_layout.h"

#define INCOMING_TAG "incoming"

/* What is left of the time for the whole fetch, for the next program; at least 1 ms. */
static uint64_t
remaining_ms(uint64_t deadline_ns)
{
	uint64_t now_ns = clock_monotonic_ns();

	return now_ns + NS_PER_MS >= deadline_ns ? 1 : (deadline_ns - now_ns) / NS_PER_MS;
}

/* Waits for its turn; the job's own deadline bounds the wait. */
static int
lock_images(const ImagePaths *paths, int *ret_fd, Error *err)
{
	_cleanup_free_ char *path = memory_printf("%s/lock", paths->images);
	_cleanup_fd_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	while (flock(fd, LOCK_EX) < 0)
	{
		if (errno != EINTR)
			return error_set_errno(err, errno, "%s: lock", path);
	}
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* skopeo writes blobs under this name before it knows their digest. */
static void
remove_torn_blobs(const ImagePaths *paths)
{
	_cleanup_directory_ DIR *directory = opendir(paths->layout);
	struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
	{
		if (strncmp(entry->d_name, "oci-put-blob", strlen("oci-put-blob")) == 0)
			unlinkat(dirfd(directory), entry->d_name, 0);
	}
}

static int
remove_leftovers(const ImagePaths *paths, Error *err)
{
	int result = file_remove_tree(paths->incoming, err);

	if (result == 0)
		result = file_remove_tree(paths->temporary, err);
	remove_torn_blobs(paths);
	return result;
}

static int
prepare_directories(const ImagePaths *paths, Error *err)
{
	int result = file_make_directory(paths->images, 0700, err);

	if (result == 0)
		result = file_make_directory(paths->roots, 0700, err);
	return result;
}

/*
 * Whether the host has a trust policy. skopeo refuses to work without one, and a host that has none has not asked for
 * signatures to be checked; one that is there is always obeyed.
 */
static bool
has_trust_policy(void)
{
	const char *home = getenv("HOME");
	_cleanup_free_ char *own = memory_printf("%s/.config/containers/policy.json", home == NULL ? "/root" : home);

	return access(own, F_OK) == 0 || access("/etc/containers/policy.json", F_OK) == 0;
}

size_t
image_skopeo_begin(const char *argv[])
{
	size_t count = 0;

	argv[count++] = "skopeo";
	if (!has_trust_policy())
		argv[count++] = "--insecure-policy";
	return count;
}

void
image_simplify_message(Error *err)
{
	static const char mark[] = "level=fatal msg=\"";
	char *text = err == NULL ? NULL : strstr(err->message, mark);
	char *to;

	if (text == NULL)
		return;
	to = err->message + snprintf(err->message, sizeof(mark), "skopeo: ");
	for (text += sizeof(mark) - 1; *text != '\0' && *text != '"'; text++)
	{
		bool escaped = text[0] == '\\' && text[1] != '\0';

		text += escaped ? 1 : 0;
		*to = *text;
		if (escaped && *text == 'n')
			*to = ' ';
		to++;
	}
	*to = '\0';
}

static int
copy_into_layout(const ImagePaths *paths, const char *source, const ImageAccess *reach, uint64_t deadline_ns,
				 Error *err)
{
	_cleanup_free_ char *target = memory_printf("oci:%s:%s", paths->layout, INCOMING_TAG);
	const char *argv[16];
	size_t count = image_skopeo_begin(argv);
	int result = file_make_directory(paths->temporary, 0700, err);

	if (result < 0)
		return result;
	argv[count++] = "--tmpdir";
	argv[count++] = paths->temporary;
	argv[count++] = "copy";
	argv[count++] = "--quiet";
	/* Layers that come uncompressed stay so: they are unpacked at once anyway. */
	argv[count++] = "--dest-oci-accept-uncompressed-layers";
	if (reach->auth_file[0] != '\0')
	{
		argv[count++] = "--src-authfile";
		argv[count++] = reach->auth_file;
	}
	if (reach->insecure)
		argv[count++] = "--src-tls-verify=false";
	argv[count++] = "--";
	argv[count++] = source;
	argv[count++] = target;
	argv[count] = NULL;
	result = process_run(argv, remaining_ms(deadline_ns), NULL, err);
	if (result < 0)
		image_simplify_message(err);
	return result;
}

static int
write_config(const char *path, const char *json, size_t length, Error *err)
{
	_cleanup_fd_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	size_t done = 0;

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	while (done < length)
	{
		ssize_t written = write(fd, json + done, length - done);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return error_set_errno(err, errno, "%s: write", path);
		done += (size_t) written;
	}
	return 0;
}

/* Everything that was written below a directory reaches the disk. */
static int
sync_file_system(const char *path, Error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0)
		return error_set_errno(err, errno, "%s: sync", path);
	return 0;
}

static int
unpack(const ImagePaths *paths, const HostImage *image, const char *hex, uint64_t deadline_ns, Error *err)
{
	_cleanup_free_ char *reference = memory_printf("%s:%s", paths->layout, INCOMING_TAG);
	_cleanup_free_ char *rootfs = memory_printf("%s/rootfs", paths->incoming);
	_cleanup_free_ char *config_path = memory_printf("%s/config.json", paths->incoming);
	_cleanup_free_ char *size_path = memory_printf("%s/" IMAGE_SIZE_NAME, paths->incoming);
	_cleanup_free_ char *final = memory_printf("%s/%s", paths->roots, hex);
	const char *const argv[] = {"umoci", "raw", "unpack", "--image", reference, rootfs, NULL};
	_cleanup_free_ char *config = NULL;
	size_t config_bytes = 0;
	int result = image_layout_read_config(paths, image->id, &config, &config_bytes, err);

	if (result == 0)
		result = file_make_directory(paths->incoming, 0700, err);
	if (result == 0)
		result = process_run(argv, remaining_ms(deadline_ns), NULL, err);
	/* The server's user must be able to enter its own root. */
	if (result == 0 && chmod(rootfs, 0755) < 0)
		result = error_set_errno(err, errno, "%s: chmod", rootfs);
	if (result == 0)
		result = image_write_size(rootfs, size_path, err);
	if (result == 0)
		result = write_config(config_path, config, config_bytes, err);
	if (result == 0)
		result = sync_file_system(paths->incoming, err);
	if (result == 0 && rename(paths->incoming, final) < 0)
		result = error_set_errno(err, errno, "%s: rename", final);
	return result == 0 ? sync_file_system(paths->roots, err) : result;
}

/* Gives the manifest its own tag, so that its blobs are kept until image_prune. */
static int
tag_digest(const ImagePaths *paths, const char *hex, uint64_t deadline_ns, Error *err)
{
	_cleanup_free_ char *image = memory_printf("%s:%s", paths->layout, INCOMING_TAG);
	const char *const tag[] = {"umoci", "tag", "--image", image, hex, NULL};
	const char *const forget[] = {"umoci", "rm", "--image", image, NULL};
	int result = process_run(tag, remaining_ms(deadline_ns), NULL, err);

	return result < 0 ? result : process_run(forget, remaining_ms(deadline_ns), NULL, err);
}

static int
fetch_locked(const ImagePaths *paths, const char *source, const ImageAccess *reach, uint64_t deadline_ns,
			 HostImage *ret_image, Error *err)
{
	char digest[80];
	char hex[IMAGE_HEX_BYTES];
	HostImage image = {0};
	int result = remove_leftovers(paths, err);

	if (result == 0)
		result = copy_into_layout(paths, source, reach, deadline_ns, err);
	if (result == 0)
		result = image_layout_resolve(paths, INCOMING_TAG, digest, err);
	if (result < 0)
		return result;
	if (!image_digest_hex(digest, hex))
		return error_set(err, -EBADMSG, "'%s' is no SHA-256 digest", digest);
	image_plan(paths, hex, &image);
	/* The configuration is written before the rename: where it is, the root is whole. */
	if (access(image.config_path, F_OK) < 0)
		result = unpack(paths, &image, hex, deadline_ns, err);
	if (result == 0)
		result = tag_digest(paths, hex, deadline_ns, err);
	if (result == 0)
		result = remove_leftovers(paths, err);
	if (result == 0)
		*ret_image = image;
	return result;
}

int
image_fetch_by(const HostLayout *layout, const char *source, const ImageAccess *reach, uint64_t timeout_ms,
			   HostImage *ret_image, Error *err)
{
	uint64_t deadline_ns = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
	_cleanup_fd_ int lock_fd = -1;
	ImagePaths paths;
	int result;

	image_paths(layout, &paths);
	result = prepare_directories(&paths, err);
	if (result == 0)
		result = lock_images(&paths, &lock_fd, err);
	if (result == 0)
		result = fetch_locked(&paths, source, reach, deadline_ns, ret_image, err);
	return result;
}

int
image_fetch(const HostLayout *layout, const char *source, uint64_t timeout_ms, HostImage *ret_image, Error *err)
{
	const ImageAccess as_it_is = {.auth_file = ""};
	int result = image_fetch_by(layout, source, &as_it_is, timeout_ms, ret_image, err);

	return result < 0 ? error_prefix(err, "image %s", source) : 0;
}

int
image_find(const HostLayout *layout, const char *id, HostImage *ret_image, Error *err)
{
	char hex[IMAGE_HEX_BYTES];
	ImagePaths paths;
	HostImage image = {0};

	if (!image_digest_hex(id, hex))
		return error_set(err, -EINVAL, "'%.80s' is no SHA-256 digest", id);
	image_paths(layout, &paths);
	image_plan(&paths, hex, &image);
	if (access(image.config_path, F_OK) < 0)
		return error_set_errno(err, errno, "image %s", id);
	*ret_image = image;
	return 0;
}

typedef struct PruneContext
{
	const ImagePaths *paths;
	const char *const *keep_ids;
	size_t keep_count;
	size_t removed;
} PruneContext;

static bool
is_kept(const PruneContext *context, const char *hex)
{
	for (size_t i = 0; i < context->keep_count; i++)
	{
		char kept[IMAGE_HEX_BYTES];

		if (image_digest_hex(context->keep_ids[i], kept) && strcmp(kept, hex) == 0)
			return true;
	}
	return false;
}

static int
prune_tag(void *opaque, const char *tag, Error *err)
{
	PruneContext *context = opaque;
	_cleanup_free_ char *image = memory_printf("%s:%s", context->paths->layout, tag);
	const char *const argv[] = {"umoci", "rm", "--image", image, NULL};

	if (is_kept(context, tag))
		return 0;
	context->removed++;
	return process_run(argv, UINT64_C(60000), NULL, err);
}

static int
prune_roots(PruneContext *context, Error *err)
{
	_cleanup_directory_ DIR *directory = opendir(context->paths->roots);
	struct dirent *entry;
	int result = 0;

	while (result == 0 && directory != NULL && (entry = readdir(directory)) != NULL)
	{
		_cleanup_free_ char *path = memory_printf("%s/%s", context->paths->roots, entry->d_name);

		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !is_kept(context, entry->d_name))
			result = file_remove_tree(path, err);
	}
	return result;
}

int
image_prune(const HostLayout *layout, const char *const *keep_ids, size_t keep_count, Error *err)
{
	_cleanup_fd_ int lock_fd = -1;
	ImagePaths paths;
	PruneContext context = {&paths, keep_ids, keep_count, 0};
	int result;

	image_paths(layout, &paths);
	if (access(paths.images, F_OK) < 0)
		return 0;
	result = lock_images(&paths, &lock_fd, err);
	if (result == 0)
		result = remove_leftovers(&paths, err);
	if (result == 0)
		result = prune_roots(&context, err);
	if (result == 0)
		result = image_layout_each_tag(&paths, prune_tag, &context, err);
	if (result == 0 && context.removed > 0)
	{
		const char *const argv[] = {"umoci", "gc", "--layout", paths.layout, NULL};

		result = process_run(argv, UINT64_C(300000), NULL, err);
	}
	return result < 0 ? error_prefix(err, "images") : 0;
}
