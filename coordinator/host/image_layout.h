/* The OCI layout on disk and the places of unpacked images; for image.c only. */
#ifndef HOST_IMAGE_LAYOUT_H
#define HOST_IMAGE_LAYOUT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "host/image.h"

#define IMAGE_SIZE_NAME "size" /* a file beside the root: a number of bytes */
#define IMAGE_HEX_BYTES 65	   /* the hexadecimal part of a SHA-256 digest, and NUL */

typedef struct ImagePaths
{
	char images[300];	 /* <state>/images */
	char layout[320];	 /* blobs and index.json */
	char roots[320];	 /* one directory a digest */
	char incoming[340];	 /* roots/.incoming: being unpacked */
	char temporary[320]; /* for skopeo */
} ImagePaths;

/* How skopeo reaches the source. */
typedef struct ImageAccess
{
	const char *auth_file; /* empty: its own choice */
	bool insecure;		   /* also without TLS */
} ImageAccess;

/* image_fetch, told how. */
int image_fetch_by(const HostLayout *layout, const char *source, const ImageAccess *reach, uint64_t timeout_ms,
				   HostImage *ret_image, Error *err) MUST_CHECK;

/* Of a line of skopeo's log ("… level=fatal msg=\"what it is about\"") only what it is about. */
void image_simplify_message(Error *err);

/* Adds "skopeo" and what belongs before the command; returns how many words. policy: see image.c. */
size_t image_skopeo_begin(const char *argv[]);

/* Counts what a root takes on the disk and writes it to a file. For the job that has unpacked it. */
int image_write_size(const char *rootfs, const char *path, Error *err) MUST_CHECK;

void image_paths(const HostLayout *layout, ImagePaths *ret_paths);

/* Checks "sha256:<64 hex digits>" and takes the digits out. False for anything else: digests become paths. */
bool image_digest_hex(const char *digest, char ret_hex[IMAGE_HEX_BYTES]);

/* Fills in where the image of a digest is, or would be, unpacked. */
void image_plan(const ImagePaths *paths, const char *hex, HostImage *ret_image);

/* The digest of the manifest that has a tag in the layout. -ENOENT. */
int image_layout_resolve(const ImagePaths *paths, const char *tag, char ret_digest[80], Error *err) MUST_CHECK;

/* The text of the image configuration that a manifest names; the caller frees. */
int image_layout_read_config(const ImagePaths *paths, const char *digest, char **ret_json, size_t *ret_bytes,
							 Error *err) MUST_CHECK;

/* Calls function for the tag of each manifest of the layout; no layout: none. A negative result stops. */
typedef int (*ImageTagFunction)(void *context, const char *tag, Error *err);
int image_layout_each_tag(const ImagePaths *paths, ImageTagFunction function, void *context, Error *err) MUST_CHECK;

#endif
