/*
 * Building an image from a Dockerfile, with buildah; see image.h. Its storage is the coordinator's own, so that nothing
 * of root's other builds is touched; layers that have not changed come from it. The result goes the way of every other
 * image: into the OCI layout, and unpacked once.
 */
#include <errno.h>
#include <fcntl.h>
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

#define FIXED_WORDS 40

typedef struct BuildPaths
{
	char storage[340];
	char run[340];
	char output[340];
} BuildPaths;

/* One build of a machine at a time: the next waits for this lock. It ends with the descriptor, which no child inherits.
 */
static int
build_lock(const ImagePaths *images, unsigned number, int *ret_fd, Error *err)
{
	char path[360];

	snprintf(path, sizeof(path), "%s/build/lock-%u", images->images, number);
	*ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*ret_fd < 0)
		return error_set_errno(err, errno, "%s", path);
	while (flock(*ret_fd, LOCK_EX) < 0)
	{
		if (errno != EINTR)
			return error_set_errno(err, errno, "%s", path);
	}
	return 0;
}

/* ret_lock_fd is to be closed when the build is over, also after an error. */
static int
build_prepare(const HostLayout *layout, unsigned number, BuildPaths *paths, int *ret_lock_fd, Error *err)
{
	ImagePaths images;
	char *path;
	int result;

	image_paths(layout, &images);
	snprintf(paths->storage, sizeof(paths->storage), "%s/build/storage", images.images);
	snprintf(paths->run, sizeof(paths->run), "%s/build/run", images.images);
	snprintf(paths->output, sizeof(paths->output), "%s/build/output-%u", images.images, number);
	path = memory_printf("%s/build", images.images);
	result = file_make_directory(path, 0700, err);
	free(path);
	if (result == 0)
		result = build_lock(&images, number, ret_lock_fd, err);
	/* What a killed build left. */
	return result == 0 ? file_remove_tree(paths->output, err) : result;
}

/* "buildah" and where its storage is. No driver but vfs works on every file system. */
static size_t
buildah_begin(const BuildPaths *paths, const char *argv[])
{
	size_t count = 0;

	argv[count++] = "buildah";
	argv[count++] = "--root";
	argv[count++] = paths->storage;
	argv[count++] = "--runroot";
	argv[count++] = paths->run;
	argv[count++] = "--storage-driver";
	argv[count++] = "vfs";
	return count;
}

static uint64_t
left_ms(uint64_t deadline_ns)
{
	uint64_t now_ns = clock_monotonic_ns();

	return now_ns + NS_PER_MS >= deadline_ns ? 1 : (deadline_ns - now_ns) / NS_PER_MS;
}

static int
run_build(const BuildPaths *paths, const ImageBuild *build, const char *tag, uint64_t deadline_ns, Error *err)
{
	_cleanup_free_ const char **argv = memory_allocate((FIXED_WORDS + 2 * build->argument_count) * sizeof(char *));
	_cleanup_free_ char *dockerfile = memory_printf("%s/%s", build->context, build->dockerfile);
	size_t count = buildah_begin(paths, argv);

	if (access(dockerfile, R_OK) < 0)
		return error_set_errno(err, errno, "%s", dockerfile);
	argv[count++] = "build";
	argv[count++] = "--isolation";
	argv[count++] = "chroot";
	argv[count++] = "--layers";
	argv[count++] = "--format";
	argv[count++] = "oci";
	if (build->auth_file[0] != '\0')
	{
		argv[count++] = "--authfile";
		argv[count++] = build->auth_file;
	}
	for (size_t i = 0; i < build->argument_count; i++)
	{
		argv[count++] = "--build-arg";
		argv[count++] = build->arguments[i];
	}
	argv[count++] = "--file";
	argv[count++] = dockerfile;
	argv[count++] = "--tag";
	argv[count++] = tag;
	argv[count++] = build->context;
	argv[count] = NULL;
	return process_run(argv, left_ms(deadline_ns), NULL, err);
}

static int
push_build(const BuildPaths *paths, const char *tag, uint64_t deadline_ns, Error *err)
{
	_cleanup_free_ char *target = memory_printf("oci:%s:built", paths->output);
	const char *argv[FIXED_WORDS];
	size_t count = buildah_begin(paths, argv);

	argv[count++] = "push";
	argv[count++] = "--quiet";
	argv[count++] = "--disable-compression";
	argv[count++] = tag;
	argv[count++] = target;
	argv[count] = NULL;
	return process_run(argv, left_ms(deadline_ns), NULL, err);
}

/* Images that an earlier build had the tag of. Of no consequence when it fails. */
static void
forget_old_builds(const BuildPaths *paths, uint64_t deadline_ns)
{
	const char *argv[FIXED_WORDS];
	size_t count = buildah_begin(paths, argv);

	argv[count++] = "rmi";
	argv[count++] = "--prune";
	argv[count] = NULL;
	(void) !process_run(argv, left_ms(deadline_ns), NULL, NULL);
}

int
image_build(const HostLayout *layout, const ImageBuild *build, HostImage *ret_image, Error *err)
{
	uint64_t deadline_ns = clock_monotonic_ns() + build->timeout_ms * NS_PER_MS;
	const ImageAccess as_it_is = {.auth_file = ""};
	_cleanup_free_ char *source = NULL;
	_cleanup_free_ char *tag = NULL;
	_cleanup_fd_ int lock_fd = -1;
	struct stat context;
	BuildPaths paths;
	Error remains;
	int result;

	if (build->context[0] != '/')
		return error_set(err, -EINVAL, "build %s: context '%s': where it is must be said with the file", build->name,
						 build->context);
	if (stat(build->context, &context) < 0 || !S_ISDIR(context.st_mode))
		return error_set_errno(err, errno == 0 ? ENOTDIR : errno, "build %s: context %s", build->name, build->context);
	/* By number: a name of ours need not be one of an image's. */
	tag = memory_printf("localhost/lttle-%u:built", build->number);
	result = build_prepare(layout, build->number, &paths, &lock_fd, err);
	if (result == 0)
		result = run_build(&paths, build, tag, deadline_ns, err);
	if (result == 0)
		result = push_build(&paths, tag, deadline_ns, err);
	source = memory_printf("oci:%s:built", paths.output);
	if (result == 0)
		result = image_fetch_by(layout, source, &as_it_is, left_ms(deadline_ns), ret_image, err);
	if (result == 0)
		forget_old_builds(&paths, deadline_ns);
	if (file_remove_tree(paths.output, &remains) < 0 && result == 0)
		result = error_set(err, remains.code, "%.200s", remains.message);
	return result < 0 ? error_prefix(err, "build %s", build->name) : 0;
}
