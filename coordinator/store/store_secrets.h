/*
 * Secrets and values in the store. Their texts are sealed (vault.h), with kind, namespace and name; the rest of a row
 * is plain. A row's revision is higher than that of every change before it.
 */
#ifndef STORE_STORE_SECRETS_H
#define STORE_STORE_SECRETS_H

#include "model/secret.h"
#include "store/store.h"

#define SECRET_OWNER_BYTES 160

typedef struct SecretRecord
{
	SecretKind kind;
	char name_space[NAME_MAX_BYTES + 1];
	char name[SECRET_NAME_MAX_BYTES + 1];
	char owner[SECRET_OWNER_BYTES]; /* who made it: "postgres/NAMESPACE/CLUSTER"; empty: a person */
	uint64_t revision;
	uint64_t changed_ms; /* since the epoch */
} SecretRecord;

/*
 * Adds it or changes it, whoever owned it before; the caller has decided that. The record's revision and time are
 * given here. The same text of the same owner changes nothing. On the disk when it returns, or with its transaction.
 */
int store_put_secret(Store *store, const SecretRecord *record, const char *text, Error *err) MUST_CHECK;

/* ret_record, ret_text: NULL when it isn't wanted; without ret_text nothing is decrypted. The caller gives the text
 * back with secret_text_free. -ENOENT; -EBADMSG, -EPERM as vault_unseal. */
int store_get_secret(Store *store, SecretKind kind, const char *name_space, const char *name, SecretRecord *ret_record,
					 char **ret_text, Error *err) MUST_CHECK;

/* One that isn't there is no error. */
int store_delete_secret(Store *store, SecretKind kind, const char *name_space, const char *name, Error *err) MUST_CHECK;
/* All secrets and values of an owner. */
int store_delete_secrets_of(Store *store, const char *owner, Error *err) MUST_CHECK;

/* In the order of namespace and name; name_space NULL: of all. The function must not change the store. 0 goes on, a
 * negative number stops and is returned. */
typedef int (*StoreSecretFunction)(void *context, const SecretRecord *record);
int store_each_secret(Store *store, SecretKind kind, const char *name_space, StoreSecretFunction function,
					  void *context, Error *err) MUST_CHECK;

#endif
