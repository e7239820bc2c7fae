/* See password.h. */
#include <errno.h>
#include <libpq-fe.h>
#include <sodium.h>
#include <string.h>

#include "base/text.h"
#include "postgres/password.h"

void
password_generate(char ret_password[PASSWORD_CHARACTERS + 1])
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (int i = 0; i < PASSWORD_CHARACTERS; i++)
		ret_password[i] = letters[randombytes_uniform(sizeof(letters) - 1)];
	ret_password[PASSWORD_CHARACTERS] = '\0';
}

int
password_verifier(PostgresConnection *connection, const char *user, const char *password, char **ret_verifier,
				  Error *err)
{
	char *verifier = PQencryptPasswordConn(postgres_handle(connection), password, user, "scram-sha-256");

	if (verifier == NULL)
		return error_set(err, -EREMOTEIO, "user \"%s\": the password cannot be encrypted: %s", user,
						 PQerrorMessage(postgres_handle(connection)));
	*ret_verifier = memory_duplicate(verifier);
	PQfreemem(verifier);
	return 0;
}

void
password_fingerprint(const char *verifier, char ret_text[PASSWORD_FINGERPRINT_BYTES])
{
	unsigned char hash[crypto_generichash_BYTES];

	crypto_generichash(hash, sizeof(hash), (const unsigned char *) verifier, strlen(verifier), NULL, 0);
	sodium_bin2hex(ret_text, PASSWORD_FINGERPRINT_BYTES, hash, (PASSWORD_FINGERPRINT_BYTES - 1) / 2);
}
