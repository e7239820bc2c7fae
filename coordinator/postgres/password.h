/* Passwords of users: how they are made, and in which form they are told to a server. */
#ifndef POSTGRES_PASSWORD_H
#define POSTGRES_PASSWORD_H

#include "base/error.h"
#include "postgres/connection.h"

#define PASSWORD_CHARACTERS 32

/* 32 characters of A-Z a-z 0-9 - _, each drawn by libsodium: 192 bits, and nothing in them that a URL would quote. */
void password_generate(char ret_password[PASSWORD_CHARACTERS + 1]);

/*
 * The SCRAM-SHA-256 verifier of a password, reckoned on this side: what CREATE ROLE is given, so that the server never
 * sees the password, nor its log. The caller frees.
 * Errors: -EREMOTEIO: libpq's own.
 */
int password_verifier(PostgresConnection *connection, const char *user, const char *password, char **ret_verifier,
					  Error *err) MUST_CHECK;

/* Runs a statement that holds a verifier, so that it is in no log of the server. Errors: those of postgres_execute. */
int password_execute(PostgresConnection *connection, const char *sql, Error *err) MUST_CHECK;

/* Gives a role this password, in a statement of its own. */
int password_set(PostgresConnection *connection, const char *role, const char *password, Error *err) MUST_CHECK;

/* 16 hexadecimal digits of a hash of a verifier: tells whether it is still the one that was set, and nothing else. */
#define PASSWORD_FINGERPRINT_BYTES 17
void password_fingerprint(const char *verifier, char ret_text[PASSWORD_FINGERPRINT_BYTES]);

#endif
