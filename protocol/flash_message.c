/*
 * Codec of the flash channel's messages. See lttle/flash_message.h for the format and for who sends what.
 */
#include "lttle/flash_message.h"

#include <string.h>

#define KEY_MAX_BYTES 31

static bool
key_is_valid(const char *key, size_t length)
{
	if (length == 0 || length > KEY_MAX_BYTES || key[0] < 'A' || key[0] > 'Z')
		return false;
	for (size_t i = 1; i < length; i++)
	{
		char c = key[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return true;
}

/* Takes one NUL-terminated KEY=value line into the message. Returns NULL or what is wrong. */
static const char *
message_take_line(LttleFlashMessage *message, char *line)
{
	char *equals = strchr(line, '=');

	if (equals == NULL)
		return "a line has no '='";
	if (!key_is_valid(line, (size_t) (equals - line)))
		return "a key is not made of A-Z, 0-9 and '_'";
	*equals = '\0';
	if (lttle_flash_message_get(message, line) != NULL)
		return "a key stands twice";
	if (message->field_count == LTTLE_FLASH_MAX_FIELDS)
		return "there are too many fields";
	message->fields[message->field_count++] = (LttleFlashField){.key = line, .value = equals + 1};
	return NULL;
}

const char *
lttle_flash_message_parse(LttleFlashMessage *ret_message, const void *bytes, size_t size)
{
	char *line = ret_message->text;

	ret_message->field_count = 0;
	if (size == 0)
		return "the message is empty";
	if (size > LTTLE_FLASH_MAX_BYTES)
		return "the message is too long";
	if (memchr(bytes, '\0', size) != NULL)
		return "the message contains a NUL byte";
	memcpy(ret_message->text, bytes, size);
	ret_message->text[size] = '\0';

	while (*line != '\0')
	{
		char *end = strchr(line, '\n');
		const char *problem;

		if (end != NULL)
			*end = '\0';
		problem = message_take_line(ret_message, line);
		if (problem != NULL)
			return problem;
		if (end == NULL)
			break;
		line = end + 1;
	}
	return ret_message->field_count == 0 ? "the message has no field" : NULL;
}

const char *
lttle_flash_message_get(const LttleFlashMessage *message, const char *key)
{
	for (size_t i = 0; i < message->field_count; i++)
	{
		if (strcmp(message->fields[i].key, key) == 0)
			return message->fields[i].value;
	}
	return NULL;
}

bool
lttle_flash_message_get_number(const LttleFlashMessage *message, const char *key, uint64_t max, uint64_t *ret_value)
{
	const char *text = lttle_flash_message_get(message, key);
	uint64_t value = 0;

	if (text == NULL || *text == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		uint64_t digit = (uint64_t) (*text - '0');

		if (*text < '0' || *text > '9' || digit > max || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret_value = value;
	return true;
}

void
lttle_flash_writer_begin(LttleFlashWriter *writer)
{
	writer->length = 0;
	writer->overflow = false;
	writer->text[0] = '\0';
}

void
lttle_flash_writer_add(LttleFlashWriter *writer, const char *key, const char *value)
{
	size_t key_bytes = strlen(key);
	size_t value_bytes = strlen(value);
	char *out;

	if (writer->overflow || writer->length + key_bytes + value_bytes + 2 > LTTLE_FLASH_MAX_BYTES)
	{
		writer->overflow = true;
		return;
	}
	out = writer->text + writer->length;
	memcpy(out, key, key_bytes);
	out += key_bytes;
	*out++ = '=';
	for (size_t i = 0; i < value_bytes; i++)
	{
		unsigned char c = (unsigned char) value[i];

		*out++ = (char) (c < 0x20 || c == 0x7f ? ' ' : c);
	}
	*out++ = '\n';
	*out = '\0';
	writer->length = (size_t) (out - writer->text);
}

void
lttle_flash_writer_add_number(LttleFlashWriter *writer, const char *key, uint64_t value)
{
	char digits[21] = {0};
	char *start = digits + sizeof(digits) - 1;

	do
	{
		*--start = (char) ('0' + value % 10);
		value /= 10;
	} while (value != 0);
	lttle_flash_writer_add(writer, key, start);
}
