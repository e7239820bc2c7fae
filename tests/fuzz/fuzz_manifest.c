/* The manifest of a snapshot, from its file: refused whole, or the same after it was written and read again. */
#include "fuzz.h"

#include "host/manifest.h"

static char *directory;
static char *path;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	directory = fuzz_make_directory();
	path = memory_printf("%s/" MANIFEST_NAME, directory);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	SnapshotManifest manifest;
	SnapshotManifest again;
	Error err = {0};
	char *text;
	char *text_again;

	fuzz_write_file(path, bytes, size);
	if (snapshot_read_manifest(directory, &manifest, &err) < 0)
	{
		FUZZ_CHECK(err.message[0] != '\0' && fuzz_text_is_clean(err.message));
		return 0;
	}
	text = manifest_format(&manifest);
	FUZZ_CHECK(manifest_parse(text, &again, NULL) == 0);
	text_again = manifest_format(&again);
	FUZZ_CHECK(strcmp(text, text_again) == 0);
	FUZZ_CHECK(fuzz_text_is_clean(manifest.reason));
	free(text_again);
	free(text);
	return 0;
}
