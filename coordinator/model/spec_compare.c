/* What differs between two specs, for people; see spec.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "model/spec.h"

#define NOTHING "(none)"

/* Adds "key: old → new" when they differ. Returns whether they do. NULL: not there. */
static bool
compare_text(SpecChanges *changes, const char *key, const char *old_text, const char *new_text)
{
	if (old_text == NULL && new_text == NULL)
		return false;
	if (old_text != NULL && new_text != NULL && strcmp(old_text, new_text) == 0)
		return false;
	changes->lines = memory_grow(changes->lines, &changes->capacity, changes->count + 1, sizeof(char *));
	changes->lines[changes->count++] =
		memory_printf("%s: %s → %s", key, old_text == NULL ? NOTHING : old_text, new_text == NULL ? NOTHING : new_text);
	return true;
}

static void
compare_number(SpecChanges *changes, const char *key, uint64_t old_number, uint64_t new_number, const char *unit)
{
	char old_text[48];
	char new_text[48];

	snprintf(old_text, sizeof(old_text), "%" PRIu64 "%s", old_number, unit);
	snprintf(new_text, sizeof(new_text), "%" PRIu64 "%s", new_number, unit);
	compare_text(changes, key, old_text, new_text);
}

static const char *
snapshot_place(const AppSpec *spec)
{
	if (spec->mode != MODE_FLASH)
		return NULL;
	return spec->snapshot == SNAPSHOT_DISK ? "disk" : "memory";
}

/* Memory is how it is without the key, so that a change between regular and flash alone need not name it. */
static void
compare_snapshot(SpecChanges *changes, const AppSpec *old_spec, const AppSpec *new_spec)
{
	if (old_spec->snapshot == SNAPSHOT_DISK || new_spec->snapshot == SNAPSHOT_DISK)
		compare_text(changes, "mode.flash.snapshot", snapshot_place(old_spec), snapshot_place(new_spec));
}

static void
compare_mode(SpecChanges *changes, const AppSpec *old_spec, const AppSpec *new_spec)
{
	char old_timeout[32];
	char new_timeout[32];
	char old_after[32];
	char new_after[32];
	bool old_flash = old_spec->mode == MODE_FLASH;
	bool new_flash = new_spec->mode == MODE_FLASH;

	duration_format(old_spec->timeout_ms, old_timeout);
	duration_format(new_spec->timeout_ms, new_timeout);
	compare_text(changes, "mode", old_flash ? "flash" : "regular", new_flash ? "flash" : "regular");
	compare_snapshot(changes, old_spec, new_spec);
	duration_format(old_spec->hibernate_after_ms, old_after);
	duration_format(new_spec->hibernate_after_ms, new_after);
	compare_text(changes, "mode.flash.hibernate-after", old_spec->hibernate_after_ms > 0 ? old_after : NULL,
				 new_spec->hibernate_after_ms > 0 ? new_after : NULL);
	compare_text(changes, "mode.flash.timeout", old_flash ? old_timeout : NULL, new_flash ? new_timeout : NULL);
}

/* Both are sorted by name, so that one walk sees every name once. */
static bool
compare_environment(SpecChanges *changes, const AppSpec *old_spec, const AppSpec *new_spec)
{
	size_t i = 0;
	size_t j = 0;
	bool differ = false;

	for (;;)
	{
		const EnvironmentVariable *old_one = i < old_spec->environment_count ? &old_spec->environment[i] : NULL;
		const EnvironmentVariable *new_one = j < new_spec->environment_count ? &new_spec->environment[j] : NULL;
		int order;
		const EnvironmentVariable *before;
		const EnvironmentVariable *after;
		char *key;

		if (old_one == NULL && new_one == NULL)
			return differ;
		order = old_one == NULL ? 1 : new_one == NULL ? -1 : strcmp(old_one->name, new_one->name);
		before = order <= 0 ? old_one : NULL;
		after = order >= 0 ? new_one : NULL;
		key = memory_printf("environment.%s", before != NULL ? before->name : after->name);
		if (compare_text(changes, key, before == NULL ? NULL : before->value, after == NULL ? NULL : after->value))
			differ = true;
		free(key);
		i += order <= 0;
		j += order >= 0;
	}
}

static const VolumeMount *
find_mount(const AppSpec *spec, const VolumeMount *like)
{
	for (size_t i = 0; i < spec->volume_count; i++)
	{
		if (strcmp(spec->volumes[i].name, like->name) == 0 &&
			strcmp(spec->volumes[i].name_space, like->name_space) == 0)
			return &spec->volumes[i];
	}
	return NULL;
}

static bool
compare_volumes(SpecChanges *changes, const AppSpec *old_spec, const AppSpec *new_spec)
{
	bool differ = false;

	for (size_t pass = 0; pass < 2; pass++)
	{
		const AppSpec *walked = pass == 0 ? old_spec : new_spec;

		for (size_t i = 0; i < walked->volume_count; i++)
		{
			const VolumeMount *mount = &walked->volumes[i];
			const VolumeMount *other = find_mount(pass == 0 ? new_spec : old_spec, mount);
			char *key = memory_printf("volumes.%s/%s", mount->name_space, mount->name);

			if (pass == 0)
				differ |= compare_text(changes, key, mount->path, other == NULL ? NULL : other->path);
			else if (other == NULL)
				differ |= compare_text(changes, key, NULL, mount->path);
			free(key);
		}
	}
	return differ;
}

/* "connection-aware", "traffic-aware, 10s" */
static void
describe_tracking(const Expose *expose, char text[64])
{
	char timeout[32];

	duration_format(expose->inactivity_timeout_ms, timeout);
	if (expose->tracking == TRACKING_TRAFFIC_AWARE)
		snprintf(text, 64, "traffic-aware, %s", timeout);
	else
		snprintf(text, 64, "connection-aware");
}

static void
compare_expose(SpecChanges *changes, const char *name, const Expose *old_one, const Expose *new_one)
{
	static const struct
	{
		const char *key;
		bool internal;
	} ports[] = {{"port", false}, {"internal.port", true}};
	char *key;
	char old_text[64];
	char new_text[64];

	for (size_t i = 0; i < 2; i++)
	{
		key = memory_printf("expose.%s.%s", name, ports[i].key);
		if (old_one != NULL)
			snprintf(old_text, sizeof(old_text), "%u", ports[i].internal ? old_one->internal_port : old_one->port);
		if (new_one != NULL)
			snprintf(new_text, sizeof(new_text), "%u", ports[i].internal ? new_one->internal_port : new_one->port);
		compare_text(changes, key, old_one == NULL ? NULL : old_text, new_one == NULL ? NULL : new_text);
		free(key);
	}
	if (old_one != NULL)
		describe_tracking(old_one, old_text);
	if (new_one != NULL)
		describe_tracking(new_one, new_text);
	key = memory_printf("expose.%s.connection-tracking", name);
	compare_text(changes, key, old_one == NULL ? NULL : old_text, new_one == NULL ? NULL : new_text);
	free(key);
}

static const Expose *
find_expose(const AppSpec *spec, const char *name)
{
	for (size_t i = 0; i < spec->expose_count; i++)
	{
		if (strcmp(spec->exposes[i].name, name) == 0)
			return &spec->exposes[i];
	}
	return NULL;
}

static void
compare_exposes(SpecChanges *changes, const AppSpec *old_spec, const AppSpec *new_spec)
{
	for (size_t i = 0; i < old_spec->expose_count; i++)
	{
		const char *name = old_spec->exposes[i].name;

		compare_expose(changes, name, &old_spec->exposes[i], find_expose(new_spec, name));
	}
	for (size_t i = 0; i < new_spec->expose_count; i++)
	{
		const char *name = new_spec->exposes[i].name;

		if (find_expose(old_spec, name) == NULL)
			compare_expose(changes, name, NULL, &new_spec->exposes[i]);
	}
}

/* The command as one line; NULL when the image's is used. The caller frees. */
static char *
command_text(char *const *command)
{
	Text text = {0};

	if (command == NULL)
		return NULL;
	for (; *command != NULL; command++)
		text_printf(&text, "%s%s", text.length == 0 ? "" : " ", *command);
	return text.data == NULL ? memory_duplicate("") : text.data;
}

static bool
is_same_command(char *const *a, char *const *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	for (; *a != NULL && *b != NULL; a++, b++)
	{
		if (strcmp(*a, *b) != 0)
			return false;
	}
	return *a == NULL && *b == NULL;
}

static bool
compare_command(SpecChanges *changes, const AppSpec *old_spec, const AppSpec *new_spec)
{
	char *old_text;
	char *new_text;

	if (is_same_command(old_spec->command, new_spec->command))
		return false;
	old_text = command_text(old_spec->command);
	new_text = command_text(new_spec->command);
	/* ["a b"] and ["a", "b"] look alike in one line and differ all the same. */
	if (old_text != NULL && new_text != NULL && strcmp(old_text, new_text) == 0)
		compare_text(changes, "command", "the same words", "divided in another way");
	else
		compare_text(changes, "command", old_text, new_text);
	free(old_text);
	free(new_text);
	return true;
}

void
app_spec_compare(const AppSpec *old_spec, const AppSpec *new_spec, SpecChanges *ret_changes)
{
	SpecChanges changes = {0};

	changes.needs_restart |= compare_text(&changes, "image", old_spec->image, new_spec->image);
	compare_number(&changes, "resources.cpu", old_spec->cpus, new_spec->cpus, "");
	compare_number(&changes, "resources.memory", old_spec->memory_mib, new_spec->memory_mib, " MiB");
	compare_mode(&changes, old_spec, new_spec);
	changes.needs_restart |= compare_environment(&changes, old_spec, new_spec);
	changes.needs_restart |= compare_volumes(&changes, old_spec, new_spec);
	compare_exposes(&changes, old_spec, new_spec);
	changes.needs_restart |= compare_command(&changes, old_spec, new_spec);
	*ret_changes = changes;
}

void
volume_spec_compare(const VolumeSpec *old_spec, const VolumeSpec *new_spec, SpecChanges *ret_changes)
{
	static const char *const modes[] = {[VOLUME_WRITEABLE] = "writeable", [VOLUME_READ_ONLY] = "read-only"};
	SpecChanges changes = {0};
	char old_size[32];
	char new_size[32];

	size_format(old_spec->size_bytes, old_size);
	size_format(new_spec->size_bytes, new_size);
	changes.needs_restart |= compare_text(&changes, "mode", modes[old_spec->mode], modes[new_spec->mode]);
	compare_text(&changes, "size", old_size, new_size);
	*ret_changes = changes;
}

void
spec_changes_clear(SpecChanges *changes)
{
	for (size_t i = 0; i < changes->count; i++)
		free(changes->lines[i]);
	free(changes->lines);
	*changes = (SpecChanges){0};
}
