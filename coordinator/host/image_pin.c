/*
 * The holder process that keeps an image's program files in memory; see reclaim.h.
 *
 * The overlay maps a lower file's own page cache, so locking the lower file keeps the text of every machine of the
 * image. Whoever brings a page in first is charged for it: the holder lets go of what nobody maps before it locks, so
 * that most pages come back at its own expense.
 */
#include "host/reclaim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/process.h"
#include "base/text.h"
#include "host/mappings.h"

#define PIN_PROCESS_NAME "lttle-pin"
#define PIN_MAX_FILES	 1024

/* What the holder tells its parent, in one write. */
typedef struct FileNames
{
	char **names;
	size_t count;
	size_t capacity;
} FileNames;

/* Every file that is mapped; those of a volume are not found in the image later. */
static bool
note_file(void *context, const Mapping *mapping)
{
	FileNames *files = context;

	if (mapping->inode == 0 || mapping->name[0] != '/' || mapping->shared_memory)
		return true;
	for (size_t i = 0; i < files->count; i++)
	{
		if (strcmp(files->names[i], mapping->name) == 0)
			return true;
	}
	files->names = memory_grow(files->names, &files->capacity, files->count + 1, sizeof(*files->names));
	files->names[files->count++] = memory_duplicate(mapping->name);
	return files->count < PIN_MAX_FILES;
}

/*
 * Opens a name as the machine sees it below the image's root. The machine wrote the name, so nothing in it may lead
 * outside. -1: not a regular file of the image (one of a volume, one that was replaced).
 */
static int
image_open_file(int root_fd, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	_cleanup_fd_ int fd = (int) syscall(SYS_openat2, root_fd, name, &how, sizeof(how));
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size == 0)
		return -1;
	return steal_fd(&fd);
}

/* Locks one file. Returns 0 when it isn't there or doesn't fit into what is left. */
static int
pin_file(int root_fd, const char *name, uint64_t left_bytes, uint64_t *ret_bytes, Error *err)
{
	_cleanup_fd_ int fd = image_open_file(root_fd, name);
	struct stat status;
	void *mapped;

	*ret_bytes = 0;
	if (fd < 0 || fstat(fd, &status) < 0 || (uint64_t) status.st_size > left_bytes)
		return 0;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	mapped = mmap(NULL, (size_t) status.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED)
		return error_set_errno(err, errno, "map %s", name);
	if (mlock(mapped, (size_t) status.st_size) < 0)
		return error_set_errno(err, errno, "lock %s in memory", name);
	*ret_bytes = (uint64_t) status.st_size;
	return 0;
}

static int
pin_files(const ImagePinSpec *spec, Error *err)
{
	_cleanup_fd_ int root_fd = open(spec->image_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	FileNames files = {0}; /* freed by the end of the process */
	uint64_t total = 0;
	int result;

	if (root_fd < 0)
		return error_set_errno(err, errno, "%s", spec->image_root);
	result = mappings_visit(spec->machine_pid, note_file, &files, err);
	for (size_t i = 0; i < files.count && result >= 0; i++)
	{
		uint64_t bytes;

		result = pin_file(root_fd, files.names[i], spec->max_bytes - total, &bytes, err);
		if (result >= 0)
			total += bytes;
	}
	if (result >= 0 && total == 0)
		result = error_set(err, -ENOENT, "process %d maps no file of %s", (int) spec->machine_pid, spec->image_root);
	return result;
}

/*
 * The holder's life. It must hold nothing of the coordinator's: a duplicate of a machine's socket that lived on here
 * would keep that connection open for ever.
 */
static void __attribute__((noreturn)) holder_run(const ImagePinSpec *spec, pid_t parent)
{
	Error err = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, PIN_PROCESS_NAME);
	if (getppid() != parent)
		_exit(1);
	close_range(3, ~0u, 0);
	process_reset_signals();
	if (cgroup_attach(spec->cgroups, spec->cgroup, getpid(), &err) < 0 || pin_files(spec, &err) < 0)
	{
		dprintf(STDERR_FILENO, "pin image files: %s\n", err.message);
		_exit(1);
	}
	close_range(0, ~0u, 0);
	for (;;)
		pause();
}

int
image_pin_start(const ImagePinSpec *spec, pid_t *ret_holder, Error *err)
{
	CgroupLimits none = {0};
	pid_t parent = getpid();
	pid_t holder;
	int result = cgroup_create(spec->cgroups, spec->cgroup, &none, err);

	if (result < 0)
		return result;
	holder = fork();
	if (holder < 0)
		return error_set_errno(err, errno, "pin image files: fork");
	if (holder == 0)
		holder_run(spec, parent);
	*ret_holder = holder;
	return 0;
}
