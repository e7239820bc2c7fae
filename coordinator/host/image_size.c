/* How much disk unpacked images take: counted once, by the job that unpacks one; see image.h. */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "host/image_layout.h"

#define SIZE_MAX_BYTES	 32
#define OPEN_DIRECTORIES 32
#define BLOCK_BYTES		 512 /* of st_blocks */

static uint64_t counted_blocks; /* nftw passes no context */

static int
count_file(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void) path;
	(void) type;
	(void) place;
	/* A file with several names counts once, in as many parts. */
	counted_blocks += (uint64_t) status->st_blocks / (S_ISDIR(status->st_mode) ? 1 : status->st_nlink);
	return 0;
}

int
image_write_size(const char *rootfs, const char *path, Error *err)
{
	char text[SIZE_MAX_BYTES];

	counted_blocks = 0;
	if (nftw(rootfs, count_file, OPEN_DIRECTORIES, FTW_PHYS | FTW_MOUNT) < 0)
		return error_set_errno(err, errno, "%s: count", rootfs);
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long) counted_blocks * BLOCK_BYTES);
	return file_replace_unsynced(path, text, strlen(text), 0600, err);
}

uint64_t
image_read_size(const HostLayout *layout, const char *id)
{
	char hex[IMAGE_HEX_BYTES];
	_cleanup_free_ char *path = NULL;
	ImagePaths paths;
	uint64_t size;

	if (!image_digest_hex(id, hex))
		return 0;
	image_paths(layout, &paths);
	path = memory_printf("%s/%s/" IMAGE_SIZE_NAME, paths.roots, hex);
	return file_read_number(path, &size, NULL) < 0 ? 0 : size;
}
