/* The configuration that a cluster's server is given; see postgres_config.h. */
#include "model/postgres_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/diagnostics.h"
#include "model/postgres_spec.h"

#define MIB		  UINT64_C(1048576)
#define EXTENSION "lttle_pg"

static uint64_t
clamp(uint64_t number, uint64_t least, uint64_t most)
{
	return number < least ? least : number > most ? most : number;
}

static uint64_t
tuned_connections(uint64_t memory_mib)
{
	if (memory_mib <= 256)
		return 50;
	if (memory_mib <= 1024)
		return 100;
	return memory_mib <= 4096 ? 200 : 400;
}

static uint64_t
tuned_max_wal_mib(uint64_t memory_mib, uint64_t storage_bytes)
{
	uint64_t by_memory = memory_mib <= 512 ? 512 : memory_mib <= 2048 ? 1024 : memory_mib <= 8192 ? 4096 : 8192;
	uint64_t by_storage = storage_bytes / 4 / MIB;

	/* PostgreSQL wants two segments of 16 MiB at least. */
	return clamp(by_memory, 32, by_storage < 32 ? 32 : by_storage);
}

PostgresTuning
postgres_tuning(uint64_t memory_mib, uint64_t storage_bytes)
{
	PostgresTuning tuning = {.shared_buffers_mib = clamp(memory_mib / 4, 16, UINT64_MAX),
							 .effective_cache_size_mib = memory_mib * 3 / 4,
							 .maintenance_work_mem_mib = clamp(memory_mib / 16, 8, 2048),
							 .max_connections = tuned_connections(memory_mib),
							 .max_wal_size_mib = tuned_max_wal_mib(memory_mib, storage_bytes)};
	uint64_t left_kib = (memory_mib - clamp(tuning.shared_buffers_mib, 0, memory_mib)) * 1024;

	tuning.work_mem_kib = clamp(left_kib / (3 * tuning.max_connections), 1024, UINT64_MAX);
	tuning.min_wal_size_mib = clamp(tuning.max_wal_size_mib / 4, 32, 80);
	return tuning;
}

/* As guc.c reads it: a number, perhaps with a fraction, and a unit, with blanks around each. False: it is none. */
static bool
parse_memory(const char *text, uint64_t unit_bytes, double *ret_bytes)
{
	static const struct
	{
		const char *name;
		double bytes;
	} units[] = {{"kB", 0x1p10}, {"MB", 0x1p20}, {"GB", 0x1p30}, {"TB", 0x1p40}, {"B", 1}};
	char *unit;
	double number = strtod(text, &unit);
	size_t length;

	if (unit == text)
		return false;
	unit += strspn(unit, " ");
	length = strcspn(unit, " ");
	if (unit[length + strspn(unit + length, " ")] != '\0')
		return false;
	if (length == 0)
	{
		*ret_bytes = number * (double) unit_bytes;
		return true;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
	{
		if (strlen(units[i].name) != length || strncmp(unit, units[i].name, length) != 0)
			continue;
		*ret_bytes = number * units[i].bytes;
		return true;
	}
	return false;
}

bool
postgres_parameter_exceeds(const EnvironmentVariable *parameter, uint64_t memory_mib)
{
	/* The unit of a bare number: pages, or what guc_tables.c says. */
	static const struct
	{
		const char *name;
		uint64_t unit_bytes;
	} known[] = {{"shared_buffers", 8192},
				 {"wal_buffers", 8192},
				 {"min_dynamic_shared_memory", MIB},
				 {"temp_buffers", 8192},
				 {"work_mem", 1024},
				 {"maintenance_work_mem", 1024},
				 {"autovacuum_work_mem", 1024},
				 {"logical_decoding_work_mem", 1024}};
	double bytes;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		if (strcasecmp(known[i].name, parameter->name) == 0)
			return parse_memory(parameter->value, known[i].unit_bytes, &bytes) && bytes > (double) memory_mib * 0x1p20;
	}
	return false;
}

/* In quotes, with those in it doubled; a backslash would escape (guc-file.l). */
static void
print_value(const char *value, Text *out)
{
	text_append(out, "'");
	for (const char *c = value; *c != '\0'; c++)
	{
		if (*c == '\'' || *c == '\\')
			text_append_bytes(out, c, 1);
		text_append_bytes(out, c, 1);
	}
	text_append(out, "'\n");
}

static void
print_parameter(const EnvironmentVariable *parameter, Text *out)
{
	char *libraries;

	text_printf(out, "%s = ", parameter->name);
	/* Without it the server could not suspend, and whoever adds a library does not mean that. */
	if (strcasecmp(parameter->name, "shared_preload_libraries") == 0 && strstr(parameter->value, EXTENSION) == NULL)
	{
		libraries = memory_printf(EXTENSION "%s%s", parameter->value[0] == '\0' ? "" : ",", parameter->value);
		print_value(libraries, out);
		free(libraries);
		return;
	}
	print_value(parameter->value, out);
}

void
postgres_config_print(const PostgresSpec *spec, uint64_t storage_bytes, bool with_data, Text *out)
{
	PostgresTuning tuning;
	unsigned cpus;
	uint64_t memory_mib;

	postgres_spec_resources(spec, &cpus, &memory_mib);
	tuning = postgres_tuning(memory_mib, storage_bytes);
	text_append(out, "# Written by lttled; the keys are those of the cluster's file.\n");
	text_append(out, with_data ? "include '" POSTGRES_DATA_DIRECTORY "/postgresql.conf'\n" : "#\n");
	text_printf(out, "shared_buffers = %" PRIu64 "MB\n", tuning.shared_buffers_mib);
	text_printf(out, "effective_cache_size = %" PRIu64 "MB\n", tuning.effective_cache_size_mib);
	text_printf(out, "maintenance_work_mem = %" PRIu64 "MB\n", tuning.maintenance_work_mem_mib);
	text_printf(out, "work_mem = %" PRIu64 "kB\n", tuning.work_mem_kib);
	text_printf(out, "max_connections = %" PRIu64 "\n", tuning.max_connections);
	text_printf(out, "max_wal_size = %" PRIu64 "MB\n", tuning.max_wal_size_mib);
	text_printf(out, "min_wal_size = %" PRIu64 "MB\n", tuning.min_wal_size_mib);
	for (size_t i = 0; i < spec->parameter_count; i++)
		print_parameter(&spec->parameters[i], out);
}

/* The parameter that a message names, or NULL. */
static const EnvironmentVariable *
find_named(const PostgresSpec *spec, const char *message)
{
	static const char word[] = "parameter \"";
	const char *name = strstr(message, word);

	if (name == NULL)
		return NULL;
	name += strlen(word);
	for (size_t i = 0; i < spec->parameter_count; i++)
	{
		size_t length = strlen(spec->parameters[i].name);

		if (strncasecmp(spec->parameters[i].name, name, length) == 0 && name[length] == '"')
			return &spec->parameters[i];
	}
	return NULL;
}

static void
blame(const PostgresSpec *spec, char *message, const char *hint, SourceMark owner, DiagnosticList *diagnostics)
{
	const EnvironmentVariable *parameter = find_named(spec, message);
	char *file = strstr(message, " in file \"");
	char path[KEY_PATH_BYTES] = "postgres";

	/* Where it stands in the file that was made of it helps nobody. */
	if (file != NULL)
		*file = '\0';
	if (parameter != NULL)
		snprintf(path, sizeof(path), "postgres.parameters.%.100s", parameter->name);
	diagnostic_add(diagnostics, parameter != NULL && parameter->mark.line != 0 ? parameter->mark : owner, path,
				   "PostgreSQL says: %s%s%s", message, hint == NULL ? "" : "; ", hint == NULL ? "" : hint);
}

/* What stands behind a word such as "LOG:  " of a log's line, or NULL. */
static char *
message_behind(char *line, const char *word)
{
	char *found = strstr(line, word);

	return found == NULL ? NULL : found + strlen(word);
}

void
postgres_config_blame(const PostgresSpec *spec, const char *said, SourceMark owner, DiagnosticList *diagnostics)
{
	char *copy = memory_duplicate(said);
	char *rest = copy;
	char *pending = NULL;
	char *line;
	size_t before = diagnostics->count;

	while ((line = strsep(&rest, "\n")) != NULL)
	{
		char *hint = message_behind(line, "HINT:  ");
		char *message = message_behind(line, "LOG:  ");

		if (message == NULL)
			message = message_behind(line, "FATAL:  ");
		if (message == NULL && hint == NULL)
			continue;
		if (pending != NULL)
			blame(spec, pending, hint, owner, diagnostics);
		pending = message;
		/* That it is refused as a whole, and that nobody has used ALTER SYSTEM, is no news. */
		if (message != NULL &&
			(strstr(message, "contains errors") != NULL || strstr(message, "skipping missing") != NULL))
			pending = NULL;
	}
	if (pending != NULL)
		blame(spec, pending, NULL, owner, diagnostics);
	if (diagnostics->count == before)
		diagnostic_add(diagnostics, owner, "postgres", "%s", said);
	free(copy);
}
