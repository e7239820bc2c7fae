/*
 * Encryption of what the store keeps secret: XChaCha20-Poly1305 of libsodium under one key, a file beside the database.
 * What a text belongs to is authenticated with it, so that no row can be put in another's place.
 *
 * The key is read anew for each use and wiped after it; it is made when the first text is sealed.
 */
#ifndef STORE_VAULT_H
#define STORE_VAULT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* In the state directory. */
#define VAULT_KEY_FILE "secrets.key"

/*
 * Encrypts a text. belongs_to: "secret/NAMESPACE/NAME". may_make_key: nothing is sealed yet, so that a new key locks
 * nothing away. The caller frees *ret_sealed.
 * Errors: -ENOENT when there is no key, -EPERM when its file could be read by others or is not one of this program's.
 */
int vault_seal(const char *key_path, bool may_make_key, const char *belongs_to, const char *text, void **ret_sealed,
			   size_t *ret_size, Error *err) MUST_CHECK;

/* Decrypts; the caller gives the text back with secret_text_free. -EBADMSG: sealed with another key, for something
 * else, or damaged. Otherwise as vault_seal. */
int vault_unseal(const char *key_path, const char *belongs_to, const void *sealed, size_t size, char **ret_text,
				 Error *err) MUST_CHECK;

#endif
