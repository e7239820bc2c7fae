/*
 * Settings of lttled, /etc/lttle/lttled.yaml. Every key has a default; the table in settings.c also prints
 * docs/reference/settings.md. Errors name file, line, column and key.
 */
#ifndef MODEL_SETTINGS_H
#define MODEL_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "model/spec.h"

typedef enum ZramMode
{
	ZRAM_OFF,
	ZRAM_ON,  /* always make one */
	ZRAM_AUTO /* only when the host has no swap */
} ZramMode;

typedef struct Settings
{
	char state_directory[256]; /* state-directory: /var/lib/lttle */
	char run_directory[256];   /* run-directory: /run/lttle */
	char socket_path[108];	   /* socket: <run-directory>/lttle.sock */
	char socket_group[64];	   /* socket-group: lttle; ignored with a warning when there is no such group */
	char name_prefix[16];	   /* name-prefix: lttle; cgroups, links, nft tables; [a-z][a-z0-9]{0,7} */
	uint32_t subnet_address;   /* subnet: 10.88.0.0/16 */
	unsigned subnet_bits;
	unsigned char subnet6_address[16]; /* subnet6: fd6c:7474:6c65::/64; network byte order */
	unsigned subnet6_bits;			   /* 0: none */
	LogLevel log_level;				   /* log-level: info */
	bool reclaim;					   /* reclaim: true; give the memory of suspended machines back */
	bool pin_images;				   /* pin-images: true; keep a server's program files in memory once per host */
	bool rcu_expedited;				   /* rcu-expedited: true; the kernel hurries while machines are restored */
	unsigned cpu_weight;			   /* cpu-weight: 0 is 100 for each processor; all machines against other groups */
	uint64_t hot_set_bytes;			   /* hot-set: 4Mi; 0 keeps none */
	ZramMode zram;					   /* zram.mode: off */
	uint64_t zram_bytes;			   /* zram.size: 0 is twice the host's memory */
	unsigned memory_pressure_limit;	   /* pressure.memory-pressure-limit: 10 percent of the time; 100: never */
	unsigned memory_available_min;	   /* pressure.memory-available-min: 5 percent; 0: never */
	unsigned swap_used_limit;		   /* pressure.swap-used-limit: 90 percent; 100: never */
	uint64_t prepare_timeout_ms;	   /* prepare-timeout: 5s; how long the extension may take to answer PREPARE */
	uint64_t freeze_timeout_ms;		   /* freeze-timeout: 2s */
	uint64_t boot_timeout_ms;		   /* boot-timeout: 5m; from launch to ready */
	uint64_t stop_timeout_ms;		   /* stop-timeout: 30s; then SIGKILL */
	uint64_t restart_delay_ms;		   /* restart-delay: 500ms; doubled after each crash ... */
	uint64_t restart_delay_max_ms;	   /* restart-delay-max: 1m; ... up to this */
	char criu[256];					   /* criu: the program; empty: found by itself */
	char registry_auth_file[256];	   /* registry-auth-file: docker's config.json; empty: where skopeo looks */
	unsigned max_boots;				   /* max-boots: 4; cold starts at a time, the rest wait in order */
	unsigned max_resumes;			   /* max-resumes: 4; restores from disk at a time, the rest wait in order */
	char edge_address[16];			   /* edge-address: 127.0.0.1; where services with a host name listen */
	char certificates[256];			   /* certificates: /etc/lttle/certificates */
	uint64_t log_size_bytes;		   /* logs.size: 10Mi; a machine's log that is longer is rotated */
	unsigned log_files;				   /* logs.files: 5; so many older parts are kept */
	uint64_t defer_accept_seconds;	   /* defer-accept: 60s; how long a silent new connection is kept from the server */
} Settings;

void settings_defaults(Settings *ret_settings);

/* Reads a file over the defaults. -ENOENT when it isn't there; -EINVAL with diagnostics. */
int settings_read(const char *path, Settings *ret_settings, DiagnosticList *diagnostics, Error *err) MUST_CHECK;

void settings_reference_print(Text *out);

#endif
