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
	char config_path[400];	/* the image's configuration (OCI image spec, config.json), a file beside the root */
	char source_digest[80]; /* what the registry calls it: of a list of platforms, or of a manifest that was translated,
							 * another one than id. Empty: it comes from no registry */
} HostImage;

/*
 * Brings an image in from `source` (skopeo's notation: "docker://…", "oci-archive:/path", "oci:/path:tag"), whole or
 * not at all. Already unpacked digests are not unpacked again.
 */
int image_fetch(const HostLayout *layout, const char *source, uint64_t timeout_ms, HostImage *ret_image,
				Error *err) MUST_CHECK;

/* How a registry is asked. */
typedef struct ImagePull
{
	const char *name;		  /* as it was written: "nginx", "registry:5000/path:tag", "…@sha256:…" */
	const char *auth_file;	  /* credentials as in docker's config.json; empty: where skopeo looks for them */
	const char *known_digest; /* source_digest of what is there already under this name, or empty */
	const char *known_id;	  /* and its id */
	uint64_t timeout_ms;
} ImagePull;

/*
 * Asks the registry what the name stands for now, and brings that in unless it is there. A registry on this host's
 * loopback may be without TLS, as docker has it. -EACCES: credentials are missing or wrong; -ENOENT: it has no such
 * image; both with a sentence that says so.
 */
int image_pull(const HostLayout *layout, const ImagePull *pull, HostImage *ret_image, Error *err) MUST_CHECK;

typedef struct ImageBuild
{
	const char *name;			  /* for messages */
	unsigned number;			  /* another one for each that is built here */
	const char *context;		  /* absolute path of a directory */
	const char *dockerfile;		  /* below it */
	const char *const *arguments; /* NAME=value, for its ARG instructions */
	size_t argument_count;
	const char *auth_file; /* as in ImagePull */
	uint64_t timeout_ms;
} ImageBuild;

/* Builds by a Dockerfile. What its RUN instructions do is done as root, in a directory of its own (chroot) and on the
 * host's network: whoever may deploy is trusted with that. Errors carry the end of what the build has said. */
int image_build(const HostLayout *layout, const ImageBuild *build, HostImage *ret_image, Error *err) MUST_CHECK;

/* An image that is unpacked, by its id. -ENOENT. */
int image_find(const HostLayout *layout, const char *id, HostImage *ret_image, Error *err) MUST_CHECK;

/* What an unpacked image takes on the disk, which all machines of it share; 0 when that was not counted. */
uint64_t image_read_size(const HostLayout *layout, const char *id);

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
