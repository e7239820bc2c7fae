/*
 * Secrets and values of namespaces, as the API and the rest of the engine use them. Texts are kept nowhere but in the
 * store, encrypted; machines get them when they start.
 *
 * What belongs to something else has an owner, such as "postgres/NAMESPACE/CLUSTER"; only that changes or removes it. A
 * person's have none.
 */
#ifndef ENGINE_SECRETS_H
#define ENGINE_SECRETS_H

#include "base/error.h"
#include "engine/engine.h"
#include "model/secret.h"

struct json_t;

/*
 * Sets a secret or value. owner: NULL for a person's. The same text again changes nothing. May be within a transaction
 * of the store. Machines that use it have it at their next start, or when they are deployed again.
 * Errors: -EINVAL for a name, namespace or text that cannot be (UTF-8, at most SECRET_TEXT_MAX_BYTES); -EBUSY, with its
 * owner, when it has another one.
 */
int engine_put_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name, const char *owner,
					  const char *text, Error *err) MUST_CHECK;

/* The text, for the caller to give back with secret_text_free. -ENOENT; -EBADMSG, -EPERM when it cannot be decrypted.
 */
int engine_get_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name, char **ret_text,
					  Error *err) MUST_CHECK;

/* The same for expressions and files: SecretSource.find, with the engine as its context. */
char *engine_find_secret(void *engine, SecretKind kind, const char *name_space, const char *name, char ret_wrong[256]);

/* Whether there is one; a store that cannot be read has none. */
bool engine_has_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name);

/* Removes one of this owner's (NULL: a person's). -ENOENT; -EBUSY, with its owner, when it has another one, or with the
 * machine that uses it. */
int engine_remove_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name, const char *owner,
						 Error *err) MUST_CHECK;

/* Removes all secrets and values of an owner, whoever uses them. None is no error. */
int engine_remove_owned_secrets(Engine *engine, const char *owner, Error *err) MUST_CHECK;

/* As the API shows them: {"namespace", "name", "owner": or null, "changed-ms"}, values with "value". name_space NULL:
 * all. The caller decrefs. */
struct json_t *engine_list_secrets(Engine *engine, SecretKind kind, const char *name_space);
/* The same with "value". */
int engine_show_secret(Engine *engine, SecretKind kind, const char *name_space, const char *name,
					   struct json_t **ret_secret, Error *err) MUST_CHECK;

#endif
