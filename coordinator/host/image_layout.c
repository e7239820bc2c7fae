/* Reading an OCI layout (OCI image specification, image-layout.md); see image_layout.h. */
#include "host/image_layout.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define JSON_MAX_BYTES ((size_t) 4 << 20)
#define TAG_ANNOTATION "org.opencontainers.image.ref.name"

static void
json_cleanup(json_t **json)
{
	json_decref(*json);
}
#define _cleanup_json_ _cleanup_(json_cleanup)

void
image_paths(const HostLayout *layout, ImagePaths *ret_paths)
{
	snprintf(ret_paths->images, sizeof(ret_paths->images), "%s/images", layout->state_directory);
	snprintf(ret_paths->layout, sizeof(ret_paths->layout), "%s/layout", ret_paths->images);
	snprintf(ret_paths->roots, sizeof(ret_paths->roots), "%s/roots", ret_paths->images);
	snprintf(ret_paths->incoming, sizeof(ret_paths->incoming), "%s/.incoming", ret_paths->roots);
	snprintf(ret_paths->temporary, sizeof(ret_paths->temporary), "%s/tmp", ret_paths->images);
}

bool
image_digest_hex(const char *digest, char ret_hex[IMAGE_HEX_BYTES])
{
	static const char prefix[] = "sha256:";
	const char *hex = digest + sizeof(prefix) - 1;

	if (strncmp(digest, prefix, sizeof(prefix) - 1) != 0 || strlen(hex) != IMAGE_HEX_BYTES - 1 ||
		strspn(hex, "0123456789abcdef") != IMAGE_HEX_BYTES - 1)
		return false;
	memcpy(ret_hex, hex, IMAGE_HEX_BYTES);
	return true;
}

/* The directory is named without "sha256:", because overlayfs takes ':' as a separator of lower directories. */
void
image_plan(const ImagePaths *paths, const char *hex, HostImage *ret_image)
{
	snprintf(ret_image->id, sizeof(ret_image->id), "sha256:%s", hex);
	snprintf(ret_image->root, sizeof(ret_image->root), "%s/%s/rootfs", paths->roots, hex);
	snprintf(ret_image->config_path, sizeof(ret_image->config_path), "%s/%s/config.json", paths->roots, hex);
}

static int
read_json(const char *path, json_t **ret_json, Error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	json_error_t problem;
	json_t *json;
	int result = file_read(path, JSON_MAX_BYTES, &text, &length, err);

	if (result < 0)
		return result;
	json = json_loadb(text, length, 0, &problem);
	if (json == NULL)
		return error_set(err, -EBADMSG, "%s: line %d: %s", path, problem.line, problem.text);
	*ret_json = json;
	return 0;
}

static int
read_index(const ImagePaths *paths, json_t **ret_index, Error *err)
{
	_cleanup_free_ char *path = memory_printf("%s/index.json", paths->layout);

	return read_json(path, ret_index, err);
}

static const char *
manifest_tag(const json_t *manifest)
{
	return json_string_value(json_object_get(json_object_get(manifest, "annotations"), TAG_ANNOTATION));
}

int
image_layout_resolve(const ImagePaths *paths, const char *tag, char ret_digest[80], Error *err)
{
	_cleanup_json_ json_t *index = NULL;
	char hex[IMAGE_HEX_BYTES];
	size_t i;
	json_t *manifest;
	int result = read_index(paths, &index, err);

	if (result < 0)
		return result;
	json_array_foreach(json_object_get(index, "manifests"), i, manifest)
	{
		const char *name = manifest_tag(manifest);
		const char *digest = json_string_value(json_object_get(manifest, "digest"));

		if (name == NULL || strcmp(name, tag) != 0)
			continue;
		if (digest == NULL || !image_digest_hex(digest, hex))
			return error_set(err, -EBADMSG, "%s: tag %s has no SHA-256 digest", paths->layout, tag);
		snprintf(ret_digest, 80, "%s", digest);
		return 0;
	}
	return error_set(err, -ENOENT, "%s: no tag %s", paths->layout, tag);
}

int
image_layout_each_tag(const ImagePaths *paths, ImageTagFunction function, void *context, Error *err)
{
	_cleanup_json_ json_t *index = NULL;
	size_t i;
	json_t *manifest;
	int result = read_index(paths, &index, err);

	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return result;
	json_array_foreach(json_object_get(index, "manifests"), i, manifest)
	{
		const char *tag = manifest_tag(manifest);

		result = tag == NULL ? 0 : function(context, tag, err);
		if (result < 0)
			return result;
	}
	return 0;
}

int
image_layout_read_config(const ImagePaths *paths, const char *digest, char **ret_json, size_t *ret_bytes, Error *err)
{
	_cleanup_json_ json_t *manifest = NULL;
	_cleanup_free_ char *manifest_path = NULL;
	_cleanup_free_ char *config_path = NULL;
	char hex[IMAGE_HEX_BYTES];
	const char *config;
	int result;

	if (!image_digest_hex(digest, hex))
		return error_set(err, -EINVAL, "'%s' is no SHA-256 digest", digest);
	manifest_path = memory_printf("%s/blobs/sha256/%s", paths->layout, hex);
	result = read_json(manifest_path, &manifest, err);
	if (result < 0)
		return result;
	config = json_string_value(json_object_get(json_object_get(manifest, "config"), "digest"));
	if (config == NULL || !image_digest_hex(config, hex))
		return error_set(err, -EBADMSG, "%s: names no configuration; is it an image for another platform?",
						 manifest_path);
	config_path = memory_printf("%s/blobs/sha256/%s", paths->layout, hex);
	return file_read(config_path, JSON_MAX_BYTES, ret_json, ret_bytes, err);
}
