/*
 * The memory behind the activity page. The file's inode is kept from one server start to the next, so that a reader
 * may keep it open, and the file is never shortened: another process that maps it would be killed by SIGBUS.
 */
#include "postgres.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"

#include "activity_file.h"
#include "lttle/activity_page.h"

/* Does the process map the inode? False also when that can't be found out. */
static bool
process_maps_inode(pid_t pid, ino_t inode)
{
	char path[64];
	char line[MAXPGPATH + 128];
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int) pid);
	maps = AllocateFile(path, "r");
	if (maps == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), maps) != NULL)
	{
		uint64_t line_inode;

		/* address perms offset dev inode path */
		if (sscanf(line, "%*s %*s %*s %*s %" SCNu64, &line_inode) == 1)
			found = line_inode == (uint64_t) inode;
	}
	FreeFile(maps);
	return found;
}

/* The PID of another living server that uses the file, or 0. Two servers in one page would read as neither. */
static pid_t
file_find_other_owner(int fd, ino_t inode)
{
	LttleActivityHeader header;
	pid_t pid;

	if (pread(fd, &header, sizeof(header), 0) != (ssize_t) sizeof(header) || header.magic != LTTLE_ACTIVITY_MAGIC)
		return 0;
	pid = (pid_t) header.postmaster_pid;
	if (pid <= 0 || pid == MyProcPid || !process_maps_inode(pid, inode))
		return 0;
	return pid;
}

static void
report_no_file(const char *path, const char *detail)
{
	ereport(LOG, (errmsg("lttle_pg: activity file \"%s\" can't be used: %s", path, detail),
				  errdetail("The activity page is kept in memory that no coordinator can read.")));
}

/* Makes sure that the open file is a plain one, ours, and has room. Returns false after reporting. */
static bool
file_prepare(int fd, const char *path, Size size, ActivityFileId *ret_file)
{
	struct stat st;
	pid_t other;
	int rc;

	if (fstat(fd, &st) < 0)
	{
		report_no_file(path, strerror(errno));
		return false;
	}
	if (!S_ISREG(st.st_mode))
	{
		report_no_file(path, "it is not a regular file");
		return false;
	}
	other = file_find_other_owner(fd, st.st_ino);
	if (other != 0)
	{
		report_no_file(path, psprintf("the server with PID %d uses it", (int) other));
		return false;
	}
	/* Blocks are reserved now: a full file system must not show as SIGBUS in some backend later. */
	rc = posix_fallocate(fd, 0, (off_t) size);
	if (rc != 0)
	{
		report_no_file(path, strerror(rc));
		return false;
	}
	*ret_file = (ActivityFileId){.device = st.st_dev, .inode = st.st_ino};
	return true;
}

void *
lttle_activity_file_map(const char *path, Size size, ActivityFileId *ret_file)
{
	void *memory = MAP_FAILED;
	int fd;

	if (*path == '\0')
		return NULL;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0)
	{
		report_no_file(path, strerror(errno));
		return NULL;
	}
	if (file_prepare(fd, path, size, ret_file))
	{
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (memory == MAP_FAILED)
			report_no_file(path, strerror(errno));
	}
	close(fd);
	return memory == MAP_FAILED ? NULL : memory;
}

void *
lttle_activity_file_attach(const char *path, Size size, const ActivityFileId *file)
{
	int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	void *memory = MAP_FAILED;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == file->device && st.st_ino == file->inode)
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		ereport(FATAL, (errmsg("lttle_pg: activity file \"%s\" is not the one that this server began with", path),
						errhint("Restart the server.")));
	close(fd);
	return memory;
}

void *
lttle_activity_file_map_anonymous(Size size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("lttle_pg: no memory for the activity page: %m")));
	return memory;
}
