/* The manifest of a snapshot; see manifest.h. */
#include "host/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/text.h"

#define FORMAT			   1
#define MANIFEST_MAX_BYTES 16384
#define BOOT_ID_PATH	   "/proc/sys/kernel/random/boot_id"

typedef enum FieldType
{
	FIELD_TEXT,
	FIELD_NUMBER,
	FIELD_FLAG
} FieldType;

typedef struct Field
{
	const char *key;
	FieldType type;
	size_t offset;
	size_t size;
} Field;

#define FIELD(key, type, member)                                                                                       \
	{                                                                                                                  \
		key, type, offsetof(SnapshotManifest, member), sizeof(((SnapshotManifest *) 0)->member)                        \
	}

/* Feeds writer and reader. */
static const Field fields[] = {
	FIELD("boot-id", FIELD_TEXT, boot_id),
	FIELD("kernel", FIELD_TEXT, kernel),
	FIELD("criu-version", FIELD_TEXT, criu_version),
	FIELD("image-id", FIELD_TEXT, image_id),
	FIELD("extension-version", FIELD_TEXT, extension_version),
	FIELD("fingerprint", FIELD_TEXT, fingerprint),
	FIELD("images", FIELD_TEXT, images),
	FIELD("synced", FIELD_FLAG, synced),
	FIELD("created-ms", FIELD_NUMBER, created_ms),
	FIELD("image-bytes", FIELD_NUMBER, image_bytes),
	FIELD("dump-us", FIELD_NUMBER, dump_us),
	FIELD("reason", FIELD_TEXT, reason),
};

#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static json_t *
json_must(json_t *json)
{
	if (json == NULL)
	{
		fputs("JSON: out of memory\n", stderr);
		abort();
	}
	return json;
}

/* A reason may quote what a machine said: no more of it is kept than JSON can hold. */
static json_t *
text_json(const char *text)
{
	json_t *json = json_string(text);

	return json != NULL ? json : json_must(json_string("?"));
}

static json_t *
field_json(const Field *field, const SnapshotManifest *manifest)
{
	const char *at = (const char *) manifest + field->offset;

	switch (field->type)
	{
		case FIELD_TEXT:
			return text_json(at);
		case FIELD_NUMBER:
			return json_must(json_integer((json_int_t) * (const uint64_t *) (const void *) at));
		case FIELD_FLAG:
			return json_boolean(*(const bool *) at);
	}
	abort();
}

char *
manifest_format(const SnapshotManifest *manifest)
{
	json_t *object = json_must(json_object());
	char *text;

	json_object_set_new(object, "format", json_must(json_integer(FORMAT)));
	for (size_t i = 0; i < FIELD_COUNT; i++)
		json_object_set_new(object, fields[i].key, field_json(&fields[i], manifest));
	text = json_dumps(object, JSON_INDENT(2));
	json_decref(object);
	if (text == NULL)
		json_must(NULL);
	return text;
}

/* False when the value does not fit the field. */
static bool
field_read(const Field *field, const json_t *value, SnapshotManifest *manifest)
{
	char *at = (char *) manifest + field->offset;

	switch (field->type)
	{
		case FIELD_TEXT:
			/* Control characters would go to terminals and logs. */
			if (!json_is_string(value) || json_string_length(value) >= field->size)
				return false;
			for (const char *byte = json_string_value(value); *byte != '\0'; byte++)
				if ((unsigned char) *byte < ' ' || *byte == 127)
					return false;
			/* jansson lets no NUL through. */
			memcpy(at, json_string_value(value), json_string_length(value) + 1);
			return true;
		case FIELD_NUMBER:
			if (!json_is_integer(value) || json_integer_value(value) < 0)
				return false;
			*(uint64_t *) (void *) at = (uint64_t) json_integer_value(value);
			return true;
		case FIELD_FLAG:
			if (!json_is_boolean(value))
				return false;
			*(bool *) at = json_is_true(value);
			return true;
	}
	return false;
}

static int
parse_object(const json_t *object, SnapshotManifest *ret_manifest, Error *err)
{
	const json_t *format = json_object_get(object, "format");

	if (!json_is_object(object))
		return error_set(err, -EBADMSG, "manifest: is no JSON object");
	if (!json_is_integer(format) || json_integer_value(format) != FORMAT)
		return error_set(err, -EBADMSG, "manifest: is of another format than %d", FORMAT);
	for (size_t i = 0; i < FIELD_COUNT; i++)
	{
		const json_t *value = json_object_get(object, fields[i].key);

		if (value == NULL)
			return error_set(err, -EBADMSG, "manifest: has no \"%s\"", fields[i].key);
		if (!field_read(&fields[i], value, ret_manifest))
			return error_set(err, -EBADMSG, "manifest: \"%s\" is not what it should be", fields[i].key);
	}
	return 0;
}

int
manifest_parse(const char *text, SnapshotManifest *ret_manifest, Error *err)
{
	SnapshotManifest manifest = {0};
	json_error_t problem;
	json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &problem);
	int result;

	if (object == NULL)
	{
		text_make_printable(problem.text); /* it quotes what stands there */
		return error_set(err, -EBADMSG, "manifest: line %d: %s", problem.line, problem.text);
	}
	result = parse_object(object, &manifest, err);
	json_decref(object);
	if (result == 0)
		*ret_manifest = manifest;
	return result;
}

static int
sync_directory(const char *directory, Error *err)
{
	_cleanup_fd_ int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(err, errno, "%s: sync", directory);
	return 0;
}

int
manifest_write(const char *directory, const SnapshotManifest *manifest, Error *err)
{
	_cleanup_free_ char *text = manifest_format(manifest);
	_cleanup_free_ char *path = memory_printf("%s/" MANIFEST_NAME, directory);
	int result = file_replace(path, text, strlen(text), 0600, err);

	/* It may be there and not have reached the disk. */
	if (result < 0)
		unlink(path);
	return result;
}

int
manifest_spend(const char *directory, Error *err)
{
	_cleanup_free_ char *path = memory_printf("%s/" MANIFEST_NAME, directory);
	_cleanup_free_ char *spent = memory_printf("%s/" MANIFEST_SPENT_NAME, directory);
	int result;

	if (rename(path, spent) < 0)
		return errno == ENOENT ? error_set(err, -ENOENT, "%s: there is no snapshot that counts", directory)
							   : error_set_errno(err, errno, "%s: rename", path);
	result = fault_hit(FAULT_SPENDING, err);
	return result == 0 ? sync_directory(directory, err) : result;
}

int
snapshot_read_manifest(const char *directory, SnapshotManifest *ret_manifest, Error *err)
{
	_cleanup_free_ char *path = memory_printf("%s/" MANIFEST_NAME, directory);
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	int result = file_read(path, MANIFEST_MAX_BYTES, &text, &length, err);

	if (result == -EFBIG)
		return error_set(err, -EBADMSG, "manifest: is longer than %d bytes", MANIFEST_MAX_BYTES);
	if (result < 0)
		return result;
	if (strlen(text) != length)
		return error_set(err, -EBADMSG, "manifest: has a NUL byte in it");
	return manifest_parse(text, ret_manifest, err);
}

int
manifest_read_boot_id(char ret_boot_id[40], Error *err)
{
	_cleanup_free_ char *text = NULL;
	int result = file_read(BOOT_ID_PATH, 64, &text, NULL, err);

	if (result < 0)
		return result;
	text[strcspn(text, "\n")] = '\0';
	if (strlen(text) >= 40)
		return error_set(err, -EINVAL, BOOT_ID_PATH ": is no boot id");
	memcpy(ret_boot_id, text, strlen(text) + 1);
	return 0;
}
