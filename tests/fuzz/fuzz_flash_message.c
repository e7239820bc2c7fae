/*
 * Messages of the flash channel. A datagram that is taken has the fields that it seems to have: written again and read
 * again they are the same, but for control characters, which the writer makes blanks.
 */
#include "fuzz.h"

#include "lttle/flash_message.h"

/* What the engine reads as numbers, with the limits of its own. */
static const struct
{
	const char *key;
	uint64_t max;
} numbers[] = {
	{"TIMEOUT_MS", UINT64_MAX}, {"RETRY_MS", 3600000}, {"WAKE_AT", INT64_MAX}, {"PID", INT32_MAX}, {"HELLO", 0}};

static void
check_numbers(const LttleFlashMessage *message)
{
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
	{
		uint64_t value = 4711;
		char *end;

		if (!lttle_flash_message_get_number(message, numbers[i].key, numbers[i].max, &value))
			FUZZ_CHECK(value == 4711);
		else
		{
			FUZZ_CHECK(value <= numbers[i].max);
			FUZZ_CHECK(strtoull(lttle_flash_message_get(message, numbers[i].key), &end, 10) == value);
		}
	}
}

static void
check_same_value(const char *before, const char *after)
{
	FUZZ_CHECK(after != NULL && strlen(after) == strlen(before));
	for (size_t i = 0; before[i] != '\0'; i++)
	{
		unsigned char byte = (unsigned char) before[i];

		FUZZ_CHECK(after[i] == (char) (byte < 0x20 || byte == 0x7f ? ' ' : byte));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	LttleFlashMessage message;
	LttleFlashMessage again;
	LttleFlashWriter writer;

	if (lttle_flash_message_parse(&message, bytes, size) != NULL)
		return 0;
	FUZZ_CHECK(message.field_count > 0 && message.field_count <= LTTLE_FLASH_MAX_FIELDS);
	check_numbers(&message);
	lttle_flash_writer_begin(&writer);
	for (size_t i = 0; i < message.field_count; i++)
	{
		FUZZ_CHECK(lttle_flash_message_get(&message, message.fields[i].key) == message.fields[i].value);
		lttle_flash_writer_add(&writer, message.fields[i].key, message.fields[i].value);
	}
	/* The last line of a message of full length need not have the newline that a writer gives it. */
	if (writer.overflow)
	{
		FUZZ_CHECK(size == LTTLE_FLASH_MAX_BYTES);
		return 0;
	}
	FUZZ_CHECK(lttle_flash_message_parse(&again, writer.text, writer.length) == NULL);
	FUZZ_CHECK(again.field_count == message.field_count);
	for (size_t i = 0; i < message.field_count; i++)
		check_same_value(message.fields[i].value, lttle_flash_message_get(&again, message.fields[i].key));
	return 0;
}
