/* See password.h. */
#include <errno.h>
#include <libpq-fe.h>
#include <sodium.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "postgres/password.h"

/* A statement with a verifier is in no log of the server, whatever that logs: only a superuser may set these. */
#define LOG_NOTHING                                                                                                    \
	"SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_duration = off; "                        \
	"SET log_min_error_statement = 'panic'; SET log_min_duration_sample = -1; SET log_transaction_sample_rate = 0"
#define LOG_AGAIN                                                                                                      \
	"RESET log_statement; RESET log_min_duration_statement; RESET log_duration; RESET log_min_error_statement; "       \
	"RESET log_min_duration_sample; RESET log_transaction_sample_rate"

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

int
password_execute(PostgresConnection *connection, const char *sql, Error *err)
{
	Error ignored;
	int result = postgres_execute(connection, LOG_NOTHING, err);

	if (result == 0)
		result = postgres_execute(connection, sql, err);
	/* Within a transaction that has failed only its end brings the settings back. */
	if (postgres_execute(connection, LOG_AGAIN, result == 0 ? err : &ignored) < 0 && result == 0)
		result = err != NULL ? err->code : -EREMOTEIO;
	return result;
}

int
password_set(PostgresConnection *connection, const char *role, const char *password, Error *err)
{
	_cleanup_free_ char *verifier = NULL;
	_cleanup_text_ Text sql = {0};
	int result = password_verifier(connection, role, password, &verifier, err);

	if (result < 0)
		return result;
	text_append(&sql, "ALTER ROLE ");
	postgres_append_identifier(connection, &sql, role);
	text_append(&sql, " PASSWORD ");
	postgres_append_literal(connection, &sql, verifier);
	return password_execute(connection, text_string(&sql), err);
}
