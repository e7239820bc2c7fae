/*
 * A disk that is slow, for the processes that preload this: whatever waits for the disk (fsync, fdatasync, syncfs)
 * takes as many milliseconds longer as the file named by SLOW_DISK_FILE says (8 bytes, the host's order). The file is
 * mapped, so that a change counts at once. Who waited for what is written to SLOW_DISK_FILE.calls, a PID and a path a
 * line.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *delay_ms;

static void __attribute__((constructor)) map_delay(void)
{
	const char *path = getenv("SLOW_DISK_FILE");
	int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *mapped = fd >= 0 ? mmap(NULL, sizeof(*delay_ms), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

	if (fd >= 0)
		close(fd);
	if (mapped != MAP_FAILED)
		delay_ms = mapped;
}

static void
note_caller(int waited_fd)
{
	char path[4096];
	char link[64];
	char target[2048];
	ssize_t length;
	int fd;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", waited_fd);
	length = readlink(link, target, sizeof(target));

	snprintf(path, sizeof(path), "%s.calls", getenv("SLOW_DISK_FILE"));
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || dprintf(fd, "%d %.*s\n", (int) getpid(), (int) (length < 0 ? 0 : length), target) < 0)
		abort(); /* a test reads it */
	close(fd);
}

/* Calls the real one of this name, late. */
static int
slowly(const char *name, int fd)
{
	int64_t ms = delay_ms == NULL ? 0 : *delay_ms;
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	int (*real)(int);

	if (ms > 0)
	{
		note_caller(fd);
		nanosleep(&pause, NULL);
	}
	*(void **) &real = dlsym(RTLD_NEXT, name);
	return real(fd);
}

int
fsync(int fd)
{
	return slowly("fsync", fd);
}

int
fdatasync(int fd)
{
	return slowly("fdatasync", fd);
}

int
syncfs(int fd)
{
	return slowly("syncfs", fd);
}
