/*
 * Images: fetched with skopeo into one OCI layout, unpacked with umoci, once per digest. Functions that run programs
 * are for a job's child.
 *
 * Files: <state>/images/layout (OCI layout), <state>/images/roots/<digest>/rootfs.
 */
#ifndef HOST_IMAGE_H
#define HOST_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "host/names.h"

typedef struct HostImage
{
	char id[80]; /* digest of the manifest, "sha256:…" */
	char root[400];
	char config_path[400]; /* the image's configuration (OCI image spec, config.json), a file beside the root */
} HostImage;

/*
 * Brings an image in from `source` (skopeo's notation: "docker://…", "oci-archive:/path", "oci:/path:tag"), whole or
 * not at all. Already unpacked digests are not unpacked again.
 */
int image_fetch(const HostLayout *layout, const char *source, uint64_t timeout_ms, HostImage *ret_image,
				Error *err) MUST_CHECK;

/* Removes the unpacked roots and layout blobs of every digest that is not in keep. */
int image_prune(const HostLayout *layout, const char *const *keep_ids, size_t keep_count, Error *err) MUST_CHECK;

/* What of the configuration matters for a launch. Strings are owned by the struct. */
typedef struct ImageConfig
{
	char **entrypoint; /* NULL-terminated, or NULL */
	char **command;
	char **environment; /* KEY=value */
	char *working_directory;
	char *stop_signal; /* "SIGINT", or NULL */
	uint16_t *ports;   /* TCP ports that the image says it listens on */
	size_t port_count;
	char **volumes; /* absolute paths that the image keeps data below, NULL-terminated, or NULL */
	uid_t uid;
	gid_t gid;
	char *user; /* as written */
} ImageConfig;

/* Reads a configuration (JSON text, untrusted) and resolves its user against the image's own passwd and group
 * files, which are read without following links out of root. */
int image_config_parse(const char *json, const char *root, ImageConfig *ret_config, Error *err) MUST_CHECK;
void image_config_clear(ImageConfig *config);

/* "SIGINT", "INT" or "2" to a number; -EINVAL. */
int image_stop_signal(const char *text, int *ret_signal, Error *err) MUST_CHECK;

#endif
