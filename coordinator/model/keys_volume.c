/* The keys of the resource `volume`; see keys.h. */
#include "model/keys_private.h"

static const Choice volume_modes[] = {
	{.word = "writeable", .value = VOLUME_WRITEABLE, .doc = "one machine may write to it"},
	{.word = "read-only", .value = VOLUME_READ_ONLY, .doc = "any number of machines may read it"},
	{0},
};

const Key volume_keys[] = {
	{.name = "name",
	 .type = KEY_NAME,
	 .required = true,
	 FIELD(VolumeSpec, name),
	 .example = "pgdata",
	 .doc = "The name of the volume, unique in its namespace."},
	{.name = "namespace",
	 .type = KEY_NAME,
	 .fallback = "default",
	 FIELD(VolumeSpec, name_space),
	 .example = "samples",
	 .doc = "The namespace that it belongs to."},
	TAGS_KEY(VolumeSpec),
	{.name = "mode",
	 .type = KEY_CHOICE,
	 .fallback = "writeable",
	 .choices = volume_modes,
	 .restarts = true,
	 FIELD(VolumeSpec, mode),
	 .example = "writeable",
	 .doc = "Whether machines may write to it."},
	{.name = "size",
	 .type = KEY_SIZE,
	 .required = true,
	 .minimum = 16 * MIB,
	 .maximum = 16 * MIB * MIB,
	 FIELD(VolumeSpec, size_bytes),
	 .example = "100Mi",
	 .doc = "How much it holds. A real limit: writing more fails with \"No space left on device\"."},
	{0},
};
