/*
 * The fingerprint of a machine's volumes: what changes whenever the data do. For a PostgreSQL cluster that is
 * pg_control, postmaster.pid, the WAL's files and its last page (the first two alone miss changes that only reached the
 * WAL, and a crash of the host loses times of files but no commit); for anything else the names, sizes and times of the
 * two top levels. Everything read here was written by the machine: no link is followed, nothing but plain files of
 * modest size is opened.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "host/snapshot.h"
#include "host/wal_end.h"

#define CONTROL_PATH	"global/pg_control"
#define FILE_MAX_BYTES	65536
#define DIGEST_PREFIX	"sha256:"
#define IMAGE_SUFFIX	".img"
#define ENTRIES_MAX		1000000
#define OPEN_DIRECTORY	(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define OPEN_PLAIN_FILE (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

typedef struct NameList
{
	char **names;
	size_t count;
	size_t capacity;
} NameList;

static void
names_clear(NameList *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
}

static int
compare_names(const void *left, const void *right)
{
	return strcmp(*(char *const *) left, *(char *const *) right);
}

/* The names in a directory, in an order that does not depend on it. */
static int
names_read(int directory_fd, const char *path, NameList *ret_names, Error *err)
{
	_cleanup_directory_ DIR *directory = NULL;
	int fd = openat(directory_fd, ".", OPEN_DIRECTORY);
	struct dirent *entry;

	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	directory = fdopendir(fd);
	if (directory == NULL)
	{
		close(fd);
		return error_set_errno(err, ENOMEM, "%s", path);
	}
	while (errno = 0, (entry = readdir(directory)) != NULL)
	{
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (ret_names->count >= ENTRIES_MAX)
			return error_set(err, -EFBIG, "%s: has more than %d entries", path, ENTRIES_MAX);
		ret_names->names = memory_grow(ret_names->names, &ret_names->capacity, ret_names->count + 1, sizeof(char *));
		ret_names->names[ret_names->count++] = memory_duplicate(entry->d_name);
	}
	if (errno != 0)
		return error_set_errno(err, errno, "%s", path);
	if (ret_names->count > 0)
		qsort(ret_names->names, ret_names->count, sizeof(char *), compare_names);
	return 0;
}

static void
hash_text(crypto_hash_sha256_state *hash, const char *text)
{
	/* With its NUL, so that two texts never look like one. */
	crypto_hash_sha256_update(hash, (const unsigned char *) text, strlen(text) + 1);
}

/* One line of a listing. A file that goes away meanwhile can't be: the machine is frozen or gone. */
static int
hash_status(crypto_hash_sha256_state *hash, int directory_fd, const char *name, Error *err)
{
	struct stat status;
	char line[160];

	if (fstatat(directory_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set_errno(err, errno, "%s", name);
	snprintf(line, sizeof(line), "%o %jd %jd.%09ld", (unsigned) status.st_mode, (intmax_t) status.st_size,
			 (intmax_t) status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
	hash_text(hash, name);
	hash_text(hash, line);
	return 0;
}

/* Names, sizes and times of what a directory lists. */
static int
hash_names(crypto_hash_sha256_state *hash, int directory_fd, const NameList *list, Error *err)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < list->count; i++)
		result = hash_status(hash, directory_fd, list->names[i], err);
	return result;
}

/* Of what the listed directories list. */
static int
hash_directories(crypto_hash_sha256_state *hash, int directory_fd, const NameList *list, Error *err)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < list->count; i++)
	{
		_cleanup_fd_ int fd = openat(directory_fd, list->names[i], OPEN_DIRECTORY);
		_cleanup_(names_clear) NameList below = {0};

		if (fd < 0)
			continue;
		hash_text(hash, list->names[i]);
		result = names_read(fd, list->names[i], &below, err);
		if (result == 0)
			result = hash_names(hash, fd, &below, err);
	}
	return result;
}

static int
hash_wal(crypto_hash_sha256_state *hash, int wal_fd, Error *err)
{
	_cleanup_(names_clear) NameList list = {0};
	WalEnd end;
	int result = names_read(wal_fd, "pg_wal", &list, err);

	if (result == 0)
		result = hash_names(hash, wal_fd, &list, err);
	if (result == 0)
		result = wal_end_find(wal_fd, list.names, list.count, &end, err);
	if (result < 0)
		return result;
	hash_text(hash, end.segment);
	crypto_hash_sha256_update(hash, (const unsigned char *) &end.address, sizeof(end.address));
	crypto_hash_sha256_update(hash, end.page, sizeof(end.page));
	return 0;
}

/* The content of a small file; one that isn't there counts too. */
static int
hash_content(crypto_hash_sha256_state *hash, int directory_fd, const char *name, Error *err)
{
	_cleanup_fd_ int fd = openat(directory_fd, name, OPEN_PLAIN_FILE);
	unsigned char bytes[8192];
	struct stat status;
	size_t total = 0;

	hash_text(hash, name);
	if (fd < 0 && (errno == ENOENT || errno == ELOOP))
	{
		hash_text(hash, "absent");
		return 0;
	}
	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "%s", name);
	if (!S_ISREG(status.st_mode) || status.st_size > FILE_MAX_BYTES)
		return error_set(err, -EINVAL, "%s: is not the file that PostgreSQL writes", name);
	while (total <= FILE_MAX_BYTES)
	{
		ssize_t got = read(fd, bytes, sizeof(bytes));

		if (got < 0)
			return error_set_errno(err, errno, "%s", name);
		if (got == 0)
			break;
		crypto_hash_sha256_update(hash, bytes, (size_t) got);
		total += (size_t) got;
	}
	snprintf((char *) bytes, sizeof(bytes), "%zu", total);
	hash_text(hash, (char *) bytes);
	return 0;
}

static int
hash_cluster(crypto_hash_sha256_state *hash, int cluster_fd, Error *err)
{
	_cleanup_fd_ int wal_fd = openat(cluster_fd, "pg_wal", OPEN_DIRECTORY);
	int result = hash_content(hash, cluster_fd, CONTROL_PATH, err);

	if (result == 0)
		result = hash_content(hash, cluster_fd, "postmaster.pid", err);
	/* A WAL directory elsewhere is on another volume, or on the machine's own root. */
	if (result == 0)
		result = wal_fd < 0 ? hash_status(hash, cluster_fd, "pg_wal", err) : hash_wal(hash, wal_fd, err);
	return result;
}

static bool
is_cluster(int directory_fd)
{
	struct stat status;

	return fstatat(directory_fd, CONTROL_PATH, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode);
}

/* A cluster is the volume's top directory, or, as many images have it, a directory in it. */
static int
hash_volume(crypto_hash_sha256_state *hash, const char *path, Error *err)
{
	_cleanup_fd_ int volume_fd = open(path, OPEN_DIRECTORY);
	_cleanup_(names_clear) NameList list = {0};
	bool found = false;
	int result;

	if (volume_fd < 0)
		return error_set_errno(err, errno, "%s", path);
	if (is_cluster(volume_fd))
		return hash_cluster(hash, volume_fd, err);
	result = names_read(volume_fd, path, &list, err);
	for (size_t i = 0; result == 0 && i < list.count; i++)
	{
		_cleanup_fd_ int fd = openat(volume_fd, list.names[i], OPEN_DIRECTORY);

		if (fd < 0 || !is_cluster(fd))
			continue;
		found = true;
		hash_text(hash, list.names[i]);
		result = hash_cluster(hash, fd, err);
	}
	if (result == 0 && !found)
		result = hash_names(hash, volume_fd, &list, err);
	return result == 0 && !found ? hash_directories(hash, volume_fd, &list, err) : result;
}

static void
digest_text(crypto_hash_sha256_state *hash, char ret_text[72])
{
	unsigned char digest[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(hash, digest);
	memcpy(ret_text, DIGEST_PREFIX, sizeof(DIGEST_PREFIX));
	sodium_bin2hex(ret_text + strlen(DIGEST_PREFIX), 72 - strlen(DIGEST_PREFIX), digest, sizeof(digest));
}

int
snapshot_fingerprint(const SnapshotSpec *spec, char ret_fingerprint[72], Error *err)
{
	crypto_hash_sha256_state hash;
	int result = 0;

	crypto_hash_sha256_init(&hash);
	for (size_t i = 0; result == 0 && i < spec->data_count; i++)
	{
		hash_text(&hash, "volume");
		result = hash_volume(&hash, spec->data_paths[i], err);
	}
	if (result < 0)
		error_prefix(err, "fingerprint");
	else
		digest_text(&hash, ret_fingerprint);
	return result;
}

static bool
is_image(const char *name)
{
	size_t length = strlen(name);

	return length > strlen(IMAGE_SUFFIX) && strcmp(name + length - strlen(IMAGE_SUFFIX), IMAGE_SUFFIX) == 0;
}

int
snapshot_list_images(const char *directory, char ret_listing[72], Error *err)
{
	_cleanup_fd_ int fd = open(directory, OPEN_DIRECTORY);
	_cleanup_(names_clear) NameList list = {0};
	crypto_hash_sha256_state hash;
	int result = fd < 0 ? error_set_errno(err, errno, "%s", directory) : names_read(fd, directory, &list, err);

	crypto_hash_sha256_init(&hash);
	for (size_t i = 0; result == 0 && i < list.count; i++)
	{
		if (is_image(list.names[i]))
			result = hash_status(&hash, fd, list.names[i], err);
	}
	/* What was saved beside them: the files that the machine had in memory. */
	if (result == 0)
		result = hash_directories(&hash, fd, &list, err);
	if (result == 0)
		digest_text(&hash, ret_listing);
	return result;
}
