/*
 * Messages of the flash channel, the Unix SOCK_SEQPACKET socket between the extension's background worker and the
 * coordinator. One datagram is one message: KEY=value lines in UTF-8, separated by a newline, as in sd_notify(3).
 *
 * A key is 1 to 31 characters of A-Z, 0-9 and '_', beginning with a letter, and stands once in a message. A value
 * is anything but NUL and newline. At most LTTLE_FLASH_MAX_BYTES a message and LTTLE_FLASH_MAX_FIELDS fields.
 * An unknown key is ignored, so that either side can be newer than the other.
 *
 * From the extension:
 *   HELLO=1 VERSION= PG_VERSION= SYSTEM_ID= PID=   first message; PID is the postmaster's, in its own PID namespace
 *   READY=1                                        recovery is over, connections are accepted
 *   SNAPSHOT=1 TIMEOUT_MS=                         the manual trigger: snapshot and suspend now; answered by OK=1 or
 *                                                  ERROR=reason before the machine is frozen
 *   AGREE=1                                        answer to PREPARE
 *   DECLINE=reason RETRY_MS=                       answer to PREPARE: not now; ask again after RETRY_MS
 *   WAKE_AT=                                       be awake by then, milliseconds since the epoch; empty: no wish
 *   STOPPING=1                                     orderly shutdown has begun
 *
 * From the coordinator:
 *   HELLO=1 VERSION=                               answer to HELLO
 *   OK=1 / ERROR=reason                            answer to SNAPSHOT
 *   PREPARE=suspend|hibernate DEADLINE_MS=         about to suspend
 *   RESUMED=1 SLEPT_MS= FROM=suspended|hibernated WOKEN_BY=   after a wake
 *   CANCEL=1                                       the PREPARE that was agreed to came to nothing; nothing was frozen
 *
 * Plain C without PostgreSQL or libc beyond string.h, because both sides compile it.
 */
#ifndef LTTLE_FLASH_MESSAGE_H
#define LTTLE_FLASH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LTTLE_FLASH_PROTOCOL_VERSION "1"
#define LTTLE_FLASH_MAX_BYTES		 4096
#define LTTLE_FLASH_MAX_FIELDS		 32

typedef struct LttleFlashField
{
	const char *key;
	const char *value;
} LttleFlashField;

/* A parsed message. Keys and values point into `text`. */
typedef struct LttleFlashMessage
{
	char text[LTTLE_FLASH_MAX_BYTES + 1];
	size_t field_count;
	LttleFlashField fields[LTTLE_FLASH_MAX_FIELDS];
} LttleFlashMessage;

/* A message being written. `overflow` is set, and nothing more is added, when it would grow past the limit. */
typedef struct LttleFlashWriter
{
	char text[LTTLE_FLASH_MAX_BYTES + 1];
	size_t length;
	bool overflow;
} LttleFlashWriter;

/*
 * Parses one datagram of `size` bytes.
 * Returns NULL, or a sentence that says what is wrong with it (a static string); `ret_message` is then unusable.
 */
const char *lttle_flash_message_parse(LttleFlashMessage *ret_message, const void *bytes, size_t size);

/* The value of `key`, or NULL when the message does not have it. */
const char *lttle_flash_message_get(const LttleFlashMessage *message, const char *key);

/*
 * Reads `key` as a decimal number of at most `max`.
 * Returns false when it is missing, not a number, or larger; `ret_value` is then untouched.
 */
bool lttle_flash_message_get_number(const LttleFlashMessage *message, const char *key, uint64_t max,
									uint64_t *ret_value);

/* Starts an empty message. */
void lttle_flash_writer_begin(LttleFlashWriter *writer);

/* Adds a field. A newline or control character in `value` is replaced by a space, so that a value stays one line. */
void lttle_flash_writer_add(LttleFlashWriter *writer, const char *key, const char *value);

/* Adds a field whose value is a decimal number. */
void lttle_flash_writer_add_number(LttleFlashWriter *writer, const char *key, uint64_t value);

#endif
