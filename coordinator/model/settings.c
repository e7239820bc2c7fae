/* The settings of lttled: the table of keys and what holds between them; see settings.h. */
#include "model/settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "model/diagnostics.h"
#include "model/key_read.h"
#include "model/reference.h"

#define FILE_MAX_BYTES ((size_t) 1 << 20)
#define MIB			   UINT64_C(1048576)
#define SECOND		   UINT64_C(1000)
#define MINUTE		   (60 * SECOND)
#define DAY			   (UINT64_C(86400) * SECOND)

#define FIELD(member) .offset = offsetof(Settings, member), .bytes = sizeof(((Settings *) 0)->member)

/* The prefix becomes a part of link names, which have at most 15 characters. */
static const char *
name_prefix_check(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > 8 || text[0] < 'a' || text[0] > 'z' ||
		strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789") != length)
		return "must be 1 to 8 lower-case letters and digits, a letter first";
	return NULL;
}

static const char *
group_check(const char *text)
{
	size_t length = strlen(text);

	if (length == 0 || length > 32 || (text[0] >= '0' && text[0] <= '9') || text[0] == '-' ||
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != length)
		return "must be the name of a group";
	return NULL;
}

static const char *
address_check(const char *text)
{
	unsigned char address[4];

	return inet_pton(AF_INET, text, address) == 1 ? NULL : "must be an address of IPv4, such as 0.0.0.0";
}

static const Choice log_levels[] = {
	{.word = "error", .value = LOG_LEVEL_ERROR, .doc = "what failed"},
	{.word = "warning", .value = LOG_LEVEL_WARNING, .doc = "also what is not as it should be"},
	{.word = "info", .value = LOG_LEVEL_INFO, .doc = "also every change of a machine's phase"},
	{.word = "debug", .value = LOG_LEVEL_DEBUG, .doc = "everything"},
	{0},
};

static const Choice zram_modes[] = {
	{.word = "off", .value = ZRAM_OFF, .doc = "leave the host's swap as it is"},
	{.word = "on", .value = ZRAM_ON, .doc = "always make one"},
	{.word = "auto", .value = ZRAM_AUTO, .doc = "make one when the host has no swap"},
	{0},
};

static const Key zram_keys[] = {
	{.name = "mode",
	 .type = KEY_CHOICE,
	 .fallback = "off",
	 .choices = zram_modes,
	 FIELD(zram),
	 .example = "off",
	 .doc = "Whether to set up compressed swap in memory, undone when `lttled` ends."},
	{.name = "size",
	 .type = KEY_SIZE,
	 .fallback = "0",
	 .maximum = 16 * MIB * MIB,
	 FIELD(zram_bytes),
	 .example = "8Gi",
	 .doc = "How much it holds before compression; 0 is twice the host's memory."},
	{0},
};

static const Key pressure_keys[] = {
	{.name = "memory-available-min",
	 .type = KEY_NUMBER,
	 .fallback = "5",
	 .maximum = 100,
	 .unit = "percent",
	 FIELD(memory_available_min),
	 .example = "5",
	 .doc = "Less available memory than this share of all of it is pressure; 0: none is."},
	{.name = "swap-used-limit",
	 .type = KEY_NUMBER,
	 .fallback = "90",
	 .maximum = 100,
	 .unit = "percent",
	 FIELD(swap_used_limit),
	 .example = "90",
	 .doc = "More swap in use than this share of all of it is pressure; 100: none is."},
	{.name = "memory-pressure-limit",
	 .type = KEY_NUMBER,
	 .fallback = "10",
	 .minimum = 1,
	 .maximum = 100,
	 .unit = "percent",
	 FIELD(memory_pressure_limit),
	 .example = "10",
	 .doc = "Processes that wait for memory for more than this share of two seconds (PSI) are pressure too, while less "
			"than four times `memory-available-min` is available; 100: they are not."},
	{0},
};

static const Key log_keys[] = {
	{.name = "size",
	 .type = KEY_SIZE,
	 .fallback = "10Mi",
	 .minimum = 64 * 1024,
	 .maximum = 1024 * MIB,
	 FIELD(log_size_bytes),
	 .example = "10Mi",
	 .doc = "A machine's log that is longer is rotated: all but its end becomes an older part."},
	{.name = "files",
	 .type = KEY_NUMBER,
	 .fallback = "5",
	 .maximum = 100,
	 FIELD(log_files),
	 .example = "5",
	 .doc = "How many older parts of a log are kept."},
	{0},
};

static const Key settings_keys[] = {
	{.name = "state-directory",
	 .type = KEY_HOST_PATH,
	 .fallback = "/var/lib/lttle",
	 FIELD(state_directory),
	 .doc = "The database, images, volumes and machines: what survives a reboot."},
	{.name = "run-directory",
	 .type = KEY_HOST_PATH,
	 .fallback = "/run/lttle",
	 FIELD(run_directory),
	 .doc = "Sockets, pinned namespaces and the machines' run directories."},
	{.name = "socket",
	 .type = KEY_HOST_PATH,
	 .fallback_note = "`lttle.sock` in the run directory",
	 FIELD(socket_path),
	 .doc = "The Unix socket of the API."},
	{.name = "socket-group",
	 .type = KEY_WORD,
	 .fallback = "lttle",
	 .check = group_check,
	 FIELD(socket_group),
	 .doc = "The group that may use the socket. Whoever is in it can do with machines as root can."},
	{.name = "name-prefix",
	 .type = KEY_WORD,
	 .fallback = "lttle",
	 .check = name_prefix_check,
	 FIELD(name_prefix),
	 .doc = "What the names of control groups, links and nft tables begin with; 1 to 8 lower-case letters and digits."},
	{.name = "subnet",
	 .type = KEY_SUBNET,
	 .fallback = "10.88.0.0/16",
	 FIELD(subnet_address),
	 .count_offset = offsetof(Settings, subnet_bits),
	 .doc = "The addresses of machines."},
	{.name = "subnet6",
	 .type = KEY_SUBNET6,
	 .fallback = "fd6c:7474:6c65::/64",
	 FIELD(subnet6_address),
	 .count_offset = offsetof(Settings, subnet6_bits),
	 .doc = "The IPv6 addresses of machines: this network, and the machine's IPv4 address as the last 32 bits."},
	{.name = "edge-address",
	 .type = KEY_WORD,
	 .fallback = "127.0.0.1",
	 .check = address_check,
	 FIELD(edge_address),
	 .example = "0.0.0.0",
	 .doc = "The address of this host at which external services with a host name listen; `0.0.0.0`: all of them."},
	{.name = "certificates",
	 .type = KEY_HOST_PATH,
	 .fallback = "/etc/lttle/certificates",
	 FIELD(certificates),
	 .doc = "Certificates for `https` and `tls`: `<host>.pem`, or `_.<domain>.pem` for all names of a domain, each the "
			"certificate, its chain and the key."},
	{.name = "log-level",
	 .type = KEY_CHOICE,
	 .fallback = "info",
	 .choices = log_levels,
	 FIELD(log_level),
	 .doc = "How much is logged."},
	{.name = "reclaim",
	 .type = KEY_BOOLEAN,
	 .fallback = "true",
	 FIELD(reclaim),
	 .doc = "Give the memory of suspended machines back to the host."},
	{.name = "pin-images",
	 .type = KEY_BOOLEAN,
	 .fallback = "true",
	 FIELD(pin_images),
	 .doc = "Keep the program files of a server in memory, once per host, so that a wake never waits for the disk."},
	{.name = "rcu-expedited",
	 .type = KEY_BOOLEAN,
	 .fallback = "true",
	 FIELD(rcu_expedited),
	 .doc = "Let the kernel hurry its grace periods (`/sys/kernel/rcu_expedited`) while a machine comes back from "
			"disk: the wake is sooner, for interrupts of every processor."},
	{.name = "cpu-weight",
	 .type = KEY_NUMBER,
	 .fallback = "0",
	 .maximum = 10000,
	 FIELD(cpu_weight),
	 .example = "200",
	 .doc =
		 "What all machines together weigh against the host's other control groups while processors are short, on "
		 "systemd's scale (`CPUWeight=`), on which each of these has 100; 0: 100 for each processor. Among themselves "
		 "machines weigh what their `cpu` is."},
	{.name = "hot-set",
	 .type = KEY_SIZE,
	 .fallback = "4Mi",
	 .maximum = 1024 * MIB,
	 FIELD(hot_set_bytes),
	 .example = "4Mi",
	 .doc = "How much of a suspended machine's memory stays resident for a fast first answer; 0 keeps none."},
	{.name = "zram", .type = KEY_MAP, .keys = zram_keys, .doc = "Swap for suspended machines."},
	{.name = "pressure",
	 .type = KEY_MAP,
	 .keys = pressure_keys,
	 .doc =
		 "When memory runs short the machine that has been suspended for longest goes to disk, one at a time, the next "
		 "when that was not enough."},
	{.name = "logs", .type = KEY_MAP, .keys = log_keys, .doc = "What is kept of what machines write."},
	{.name = "prepare-timeout",
	 .type = KEY_DURATION,
	 .fallback = "5s",
	 .minimum = 100,
	 .maximum = 10 * MINUTE,
	 FIELD(prepare_timeout_ms),
	 .doc = "How long the extension may take to answer that a suspend is coming."},
	{.name = "freeze-timeout",
	 .type = KEY_DURATION,
	 .fallback = "2s",
	 .minimum = 10,
	 .maximum = MINUTE,
	 FIELD(freeze_timeout_ms),
	 .doc = "How long the kernel may take to freeze a machine; then it goes on running."},
	{.name = "boot-timeout",
	 .type = KEY_DURATION,
	 .fallback = "5m",
	 .minimum = SECOND,
	 .maximum = DAY,
	 FIELD(boot_timeout_ms),
	 .doc = "How long a machine may take from its launch until it is ready."},
	{.name = "stop-timeout",
	 .type = KEY_DURATION,
	 .fallback = "30s",
	 .minimum = 100,
	 .maximum = DAY,
	 FIELD(stop_timeout_ms),
	 .doc = "How long a machine may take to stop in order; then it is killed."},
	{.name = "restart-delay",
	 .type = KEY_DURATION,
	 .fallback = "500ms",
	 .minimum = 10,
	 .maximum = DAY,
	 FIELD(restart_delay_ms),
	 .doc = "How long to wait before a crashed machine is started again; doubled after each crash."},
	{.name = "restart-delay-max",
	 .type = KEY_DURATION,
	 .fallback = "1m",
	 .minimum = 10,
	 .maximum = DAY,
	 FIELD(restart_delay_max_ms),
	 .doc = "Where that doubling ends."},
	{.name = "criu",
	 .type = KEY_HOST_PATH,
	 .fallback_note = "the one that set-up has made, else the one in `PATH`",
	 FIELD(criu),
	 .doc = "The program that writes and restores snapshots on disk; 4.2 or newer."},
	{.name = "registry-auth-file",
	 .type = KEY_HOST_PATH,
	 .fallback_note = "`~/.docker/config.json` of root, and the other places where skopeo looks",
	 FIELD(registry_auth_file),
	 .doc = "Credentials for registries, as `docker login` writes them."},
	{.name = "max-boots",
	 .type = KEY_NUMBER,
	 .fallback = "4",
	 .minimum = 1,
	 .maximum = 1000,
	 FIELD(max_boots),
	 .doc = "How many machines are created and started at a time; the others wait in the order in which they were "
			"asked for."},
	{.name = "max-resumes",
	 .type = KEY_NUMBER,
	 .fallback = "4",
	 .minimum = 1,
	 .maximum = 1000,
	 FIELD(max_resumes),
	 .doc = "How many machines are restored from disk at a time; the others wait in the order of their clients."},
	{.name = "defer-accept",
	 .type = KEY_SECONDS,
	 .fallback = "60s",
	 .minimum = SECOND,
	 .maximum = 60 * MINUTE,
	 FIELD(defer_accept_seconds),
	 .doc = "How long a new connection that sends nothing is kept from the server, in whole seconds."},
	{0},
};

/* What holds between keys. document: for the places; NODE_NULL for defaults. */
static void
finish_settings(Settings *settings, const Node *document, DiagnosticList *diagnostics)
{
	static const SourceMark start = {.line = 1, .column = 1};
	const Node *value;

	if (settings->socket_path[0] == '\0')
	{
		value = node_find(document, "run-directory", NULL);
		if (strlen(settings->run_directory) + sizeof("/lttle.sock") > sizeof(settings->socket_path))
			diagnostic_add(diagnostics, value == NULL ? start : value->mark, "run-directory",
						   "is too long for a socket in it; give 'socket' too");
		else
			snprintf(settings->socket_path, sizeof(settings->socket_path), "%.96s/lttle.sock", settings->run_directory);
	}
	if (strcmp(settings->state_directory, settings->run_directory) == 0)
	{
		value = node_find(document, "run-directory", NULL);
		diagnostic_add(diagnostics, value == NULL ? start : value->mark, "run-directory",
					   "must not be the state directory");
	}
	if (settings->restart_delay_max_ms < settings->restart_delay_ms && diagnostics->count == 0)
	{
		value = node_find(document, "restart-delay-max", NULL);
		diagnostic_add(diagnostics, value == NULL ? start : value->mark, "restart-delay-max",
					   "must not be less than restart-delay");
	}
}

static void
read_document(const Node *document, Settings *ret_settings, DiagnosticList *diagnostics)
{
	static const SourceMark start = {.line = 1, .column = 1};

	keys_read(settings_keys, document, start, "", ret_settings, diagnostics);
	finish_settings(ret_settings, document, diagnostics);
}

void
settings_defaults(Settings *ret_settings)
{
	static const Node nothing = {.type = NODE_NULL};
	DiagnosticList problems = {0};

	*ret_settings = (Settings){0};
	read_document(&nothing, ret_settings, &problems);
	/* The table's own defaults are part of the program. */
	if (problems.count > 0)
		abort();
}

static void
parse_settings(const char *text, size_t size, Settings *ret_settings, DiagnosticList *problems)
{
	static const Node nothing = {.type = NODE_NULL};
	NodeDocuments documents = {0};

	if (node_documents_parse(text, size, 0, &documents, problems) < 0)
		return;
	if (documents.count > 1)
		diagnostic_add(problems, documents.items[1].mark, "", "the settings are one document");
	if (documents.count == 0 || documents.items[0].type == NODE_NULL)
		read_document(&nothing, ret_settings, problems);
	else if (documents.items[0].type == NODE_MAP)
		read_document(&documents.items[0], ret_settings, problems);
	else if (documents.items[0].type != NODE_REFUSED)
		diagnostic_add(problems, documents.items[0].mark, "", "must be a map of settings");
	node_documents_clear(&documents);
}

int
settings_read(const char *path, Settings *ret_settings, DiagnosticList *diagnostics, Error *err)
{
	_cleanup_free_ char *text = NULL;
	DiagnosticList problems = {0};
	Settings settings = {0};
	size_t size;
	int result = file_read(path, FILE_MAX_BYTES, &text, &size, err);

	if (result < 0)
		return result;
	parse_settings(text, size, &settings, &problems);
	if (problems.count > 0)
	{
		diagnostic_list_sort(&problems);
		diagnostic_list_append(diagnostics, &problems);
		result = error_set(err, -EINVAL, "%s: %zu %s wrong with the settings", path, problems.count,
						   problems.count == 1 ? "thing is" : "things are");
	}
	else
		*ret_settings = settings;
	diagnostic_list_clear(&problems);
	return result;
}

void
settings_reference_print(Text *out)
{
	text_append(out, "# Settings\n\n"
					 "`/etc/lttle/lttled.yaml`, a map of these keys. Every key has a default, and the file may be "
					 "missing. `lttled --check-config` says what is wrong with it, by line and column.\n\n"
					 "This page is written from the table in `coordinator/model/settings.c`.\n\n");
	reference_print_table(settings_keys, "", out);
	reference_print_below(settings_keys, "", 2, out);
	text_append(out, "\n" REFERENCE_NOTATION);
}
