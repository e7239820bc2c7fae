/* Where the write-ahead log ends; see wal_end.h. */
#include "host/wal_end.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define SEGMENT_MIN_BYTES	 (UINT64_C(1) << 20)
#define SEGMENT_MAX_BYTES	 (UINT64_C(1) << 30)
#define NAME_DIGITS			 24
#define PAGE_ADDRESS_OFFSET	 8 /* after xlp_magic, xlp_info and xlp_tli */
#define SEGMENTS_BYTES_IN_ID (UINT64_C(1) << 32)

/* The address of a segment's first byte: its name is the time line, the upper half of the address, and its number. */
static bool
segment_address(const char *name, uint64_t segment_bytes, uint64_t *ret_address)
{
	char part[9] = "";
	uint64_t high;
	uint64_t number;

	if (strlen(name) != NAME_DIGITS || strspn(name, "0123456789ABCDEF") != NAME_DIGITS)
		return false;
	memcpy(part, name + 8, 8);
	high = strtoull(part, NULL, 16);
	memcpy(part, name + 16, 8);
	number = strtoull(part, NULL, 16);
	if (number >= SEGMENTS_BYTES_IN_ID / segment_bytes)
		return false;
	*ret_address = high * SEGMENTS_BYTES_IN_ID + number * segment_bytes;
	return true;
}

/* 1 when the page carries this address, 0 when it does not. */
static int
page_is_valid(int fd, const char *name, uint64_t offset, uint64_t address, Error *err)
{
	uint64_t written = 0;
	ssize_t got = pread(fd, &written, sizeof(written), (off_t) (offset + PAGE_ADDRESS_OFFSET));

	if (got < 0)
		return error_set_errno(err, errno, "pg_wal/%s", name);
	return got == (ssize_t) sizeof(written) && written == address;
}

/* Opens a segment. -ENOENT: it is none. */
static int
segment_open(int directory_fd, const char *name, int *ret_fd, uint64_t *ret_bytes, uint64_t *ret_address)
{
	_cleanup_fd_ int fd = openat(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;
	uint64_t bytes;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		return -ENOENT;
	bytes = (uint64_t) status.st_size;
	if (bytes < SEGMENT_MIN_BYTES || bytes > SEGMENT_MAX_BYTES || (bytes & (bytes - 1)) != 0 ||
		!segment_address(name, bytes, ret_address))
		return -ENOENT;
	*ret_bytes = bytes;
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* The valid pages of a segment come first: the last one is found by halving. */
static int
segment_find_end(int fd, const char *name, uint64_t bytes, uint64_t address, WalEnd *end, Error *err)
{
	uint64_t valid = 0;
	uint64_t beyond = bytes / WAL_PAGE_BYTES;

	while (beyond - valid > 1)
	{
		uint64_t middle = valid + (beyond - valid) / 2;
		int result = page_is_valid(fd, name, middle * WAL_PAGE_BYTES, address + middle * WAL_PAGE_BYTES, err);

		if (result < 0)
			return result;
		if (result == 1)
			valid = middle;
		else
			beyond = middle;
	}
	end->address = address + valid * WAL_PAGE_BYTES;
	snprintf(end->segment, sizeof(end->segment), "%s", name);
	return 0;
}

static int
end_read_page(int directory_fd, WalEnd *end, Error *err)
{
	_cleanup_fd_ int fd = -1;
	uint64_t bytes = 0;
	uint64_t address = 0;
	ssize_t got;

	if (segment_open(directory_fd, end->segment, &fd, &bytes, &address) < 0)
		return error_set(err, -EAGAIN, "pg_wal/%s: has changed meanwhile", end->segment);
	got = pread(fd, end->page, sizeof(end->page), (off_t) (end->address - address));
	if (got != (ssize_t) sizeof(end->page))
		return error_set_errno(err, got < 0 ? errno : EIO, "pg_wal/%s", end->segment);
	return 0;
}

int
wal_end_find(int directory_fd, char *const *names, size_t count, WalEnd *ret_end, Error *err)
{
	WalEnd end = {0};

	for (size_t i = 0; i < count; i++)
	{
		_cleanup_fd_ int fd = -1;
		uint64_t bytes = 0;
		uint64_t address = 0;
		int result;

		if (segment_open(directory_fd, names[i], &fd, &bytes, &address) < 0)
			continue;
		result = page_is_valid(fd, names[i], 0, address, err);
		/* Of two time lines the later name wins, which is the newer one. */
		if (result == 1 && (end.segment[0] == '\0' || address >= end.address - end.address % bytes))
			result = segment_find_end(fd, names[i], bytes, address, &end, err);
		if (result < 0)
			return result;
	}
	if (end.segment[0] != '\0')
	{
		int result = end_read_page(directory_fd, &end, err);

		if (result < 0)
			return result;
	}
	*ret_end = end;
	return 0;
}
