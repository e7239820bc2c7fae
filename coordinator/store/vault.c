/* The key file, and sealing with it; see vault.h. */
#include "store/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define FORMAT		 1
#define KEY_BYTES	 crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_BYTES	 crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES	 crypto_aead_xchacha20poly1305_ietf_ABYTES
#define HEADER_BYTES (1 + NONCE_BYTES)

typedef struct VaultKey
{
	unsigned char bytes[KEY_BYTES];
} VaultKey;

static void
key_wipe(VaultKey *key)
{
	sodium_memzero(key->bytes, sizeof(key->bytes));
}

#define _cleanup_key_ __attribute__((cleanup(key_wipe)))

static int
key_read(const char *path, VaultKey *ret_key, Error *err)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;
	unsigned char more;

	if (fd < 0 && errno == ENOENT)
		return error_set(err, -ENOENT, "%s: the key of the secrets is not there; without it they cannot be read", path);
	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set_errno(err, errno, "%s", path);
	if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 07777) != 0600)
		return error_set(
			err, -EPERM,
			"%s: must be a file of the coordinator's user with mode 0600, so that nobody else reads the key", path);
	if (read(fd, ret_key->bytes, KEY_BYTES) != (ssize_t) KEY_BYTES || read(fd, &more, 1) != 0)
		return error_set(err, -EPERM, "%s: holds no key: it must be %u bytes long", path, (unsigned) KEY_BYTES);
	return 0;
}

/* Whole and on the disk before its name is there, and never in the place of another. */
static int
key_make(const char *path, Error *err)
{
	_cleanup_free_ char *made = memory_printf("%s.new", path);
	_cleanup_key_ VaultKey key;
	int result;

	randombytes_buf(key.bytes, sizeof(key.bytes));
	result = file_replace(made, key.bytes, sizeof(key.bytes), 0600, err);
	if (result < 0)
		return result;
	if (link(made, path) < 0 && errno != EEXIST)
		result = error_set_errno(err, errno, "%s", path);
	if (unlink(made) < 0 && result == 0)
		result = error_set_errno(err, errno, "%s", made);
	return result == 0 ? file_sync(path, err) : result;
}

static int
sodium_ready(Error *err)
{
	return sodium_init() < 0 ? error_set(err, -EIO, "libsodium: no random numbers") : 0;
}

int
vault_seal(const char *key_path, bool may_make_key, const char *belongs_to, const char *text, void **ret_sealed,
		   size_t *ret_size, Error *err)
{
	size_t text_bytes = strlen(text);
	_cleanup_key_ VaultKey key = {0};
	unsigned char *sealed;
	int result = sodium_ready(err);

	if (result == 0 && may_make_key && access(key_path, F_OK) < 0 && errno == ENOENT)
		result = key_make(key_path, err);
	if (result == 0)
		result = key_read(key_path, &key, err);
	if (result < 0)
		return result;
	sealed = memory_allocate(HEADER_BYTES + text_bytes + TAG_BYTES);
	sealed[0] = FORMAT;
	randombytes_buf(sealed + 1, NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + HEADER_BYTES, NULL, (const unsigned char *) text, text_bytes,
											   (const unsigned char *) belongs_to, strlen(belongs_to), NULL, sealed + 1,
											   key.bytes);
	*ret_sealed = sealed;
	*ret_size = HEADER_BYTES + text_bytes + TAG_BYTES;
	return 0;
}

int
vault_unseal(const char *key_path, const char *belongs_to, const void *sealed, size_t size, char **ret_text, Error *err)
{
	const unsigned char *bytes = sealed;
	_cleanup_key_ VaultKey key = {0};
	char *text;
	int result = sodium_ready(err);

	if (result == 0)
		result = key_read(key_path, &key, err);
	if (result < 0)
		return result;
	if (size < HEADER_BYTES + TAG_BYTES || bytes[0] != FORMAT)
		return error_set(err, -EBADMSG, "%s: what is stored is damaged", belongs_to);
	text = memory_allocate(size - HEADER_BYTES - TAG_BYTES + 1);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *) text, NULL, NULL, bytes + HEADER_BYTES,
												   size - HEADER_BYTES, (const unsigned char *) belongs_to,
												   strlen(belongs_to), bytes + 1, key.bytes) != 0)
	{
		free(text);
		return error_set(err, -EBADMSG, "%s: cannot be decrypted: it is damaged, or was set with another key than %s",
						 belongs_to, key_path);
	}
	*ret_text = text;
	return 0;
}
