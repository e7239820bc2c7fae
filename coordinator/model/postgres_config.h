/*
 * The configuration that a cluster's server is given: settings that follow from its memory and storage, then what the
 * user has set. Pure functions; the file itself is written by the engine.
 */
#ifndef MODEL_POSTGRES_CONFIG_H
#define MODEL_POSTGRES_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "model/spec.h"

/* Where the server finds its files, in the machine. */
#define POSTGRES_DATA_DIRECTORY "/var/lib/postgresql/data"
#define POSTGRES_CONFIG_FILE	"/run/lttle/postgresql.conf"
#define POSTGRES_PASSWORD_NAME	"superuser-password" /* in the run directory; never in a snapshot */
#define POSTGRES_PASSWORD_FILE	"/run/lttle/" POSTGRES_PASSWORD_NAME

/* What a server of this size should be set to; numbers in the unit of their name. */
typedef struct PostgresTuning
{
	uint64_t shared_buffers_mib;
	uint64_t effective_cache_size_mib;
	uint64_t maintenance_work_mem_mib;
	uint64_t work_mem_kib; /* a sort of each of all sessions fits */
	uint64_t max_connections;
	uint64_t max_wal_size_mib; /* never more than a quarter of the storage */
	uint64_t min_wal_size_mib;
} PostgresTuning;

PostgresTuning postgres_tuning(uint64_t memory_mib, uint64_t storage_bytes);

/*
 * Whether this is a parameter that takes memory, by a value that is more than all that there is: the program of the
 * server does not mind, but it would not start, or be killed in the first session that uses it.
 */
bool postgres_parameter_exceeds(const EnvironmentVariable *parameter, uint64_t memory_mib);

/*
 * The file. with_data: it begins with what initdb wrote into the data directory; without, it can be checked where there
 * is none. storage_bytes: of the volume, whoever says so.
 */
void postgres_config_print(const PostgresSpec *spec, uint64_t storage_bytes, bool with_data, Text *out);

/*
 * What a server said of a file without data (lines of its log), as diagnostics at the places of the parameters that it
 * is about; what is about none of them is said at `owner`.
 */
void postgres_config_blame(const PostgresSpec *spec, const char *said, SourceMark owner, DiagnosticList *diagnostics);

#endif
