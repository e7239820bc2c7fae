/* Secrets and values: texts that a namespace keeps under a name, and that files of resources name instead of holding
 * them. A secret is shown only when it is asked for by its name; a value is no secret. */
#ifndef MODEL_SECRET_H
#define MODEL_SECRET_H

typedef enum SecretKind
{
	SECRET_KIND_SECRET,
	SECRET_KIND_VALUE
} SecretKind;

/* Longer than a resource's, because names are put together of others. */
#define SECRET_NAME_MAX_BYTES 127
#define SECRET_TEXT_MAX_BYTES (64 * 1024)

/* Where a machine gets them as files, unless it says otherwise. */
#define SECRET_DIRECTORY "/run/secrets"

/* Where secrets and values are looked up. */
typedef struct SecretSource
{
	/* The text, for the caller to give back with secret_text_free; NULL: there is none, and what is wrong. */
	char *(*find)(void *context, SecretKind kind, const char *name_space, const char *name, char ret_wrong[256]);
	void *context;
	const char *name_space; /* of what names them */
} SecretSource;

/* "secret", "value" */
const char *secret_kind_name(SecretKind kind);

/* Begins with a letter; letters, digits, '-', '_'; at most SECRET_NAME_MAX_BYTES. NULL, or what is wrong with it. */
const char *secret_name_check(const char *name);

/* Wipes a text before its memory is given back. NULL: nothing. */
void secret_text_free(char *text);
void secret_text_cleanup(char **text);
#define _cleanup_secret_ __attribute__((cleanup(secret_text_cleanup)))

#endif
