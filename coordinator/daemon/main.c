/*
 * lttled: the coordinator's process. Reads the settings, raises what limits it may, starts engine and API, tells the
 * service manager, and runs the loop until it is asked to end. Its machines stay.
 */
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/server.h"
#include "base/cleanup.h"
#include "base/fault.h"
#include "base/job.h"
#include "base/log.h"
#include "base/service.h"
#include "engine/engine.h"
#include "host/swap.h"
#include "model/settings.h"

#define DEFAULT_SETTINGS_PATH "/etc/lttle/lttled.yaml"

/* Exit statuses, as sysexits.h and systemd name them. */
#define EXIT_USAGE	64
#define EXIT_CONFIG 78

/* Swap that is in use beyond this is taken for sleeping machines. */
#define ZRAM_KEPT_BYTES (UINT64_C(1) << 20)

typedef struct Arguments
{
	const char *settings_path;
	bool settings_named;
	bool check_config;
} Arguments;

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'C'},
	{"foreground", no_argument, NULL, 'f'},	  {"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'v'},	  {NULL, 0, NULL, 0},
};

static void
print_usage(FILE *out)
{
	fputs("Usage: lttled [--config FILE] [--check-config] [--foreground]\n"
		  "\n"
		  "The coordinator of lttle machines on this host.\n"
		  "\n"
		  "  --config FILE    settings; default " DEFAULT_SETTINGS_PATH ", which need not exist\n"
		  "  --check-config   read the settings, say what is wrong with them, and end\n"
		  "  --foreground     stay in the foreground; lttled always does, the option is for service files\n"
		  "  --version        print the version\n"
		  "\n"
		  "Exit status: 0 ended in order, 1 failure, 64 wrong usage, 78 wrong settings.\n",
		  out);
}

/* Returns -1 to go on, or an exit status. */
static int
parse_arguments(int argc, char **argv, Arguments *ret_arguments)
{
	int option;

	*ret_arguments = (Arguments){.settings_path = DEFAULT_SETTINGS_PATH};
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1)
	{
		switch (option)
		{
			case 'c':
				ret_arguments->settings_path = optarg;
				ret_arguments->settings_named = true;
				break;
			case 'C':
				ret_arguments->check_config = true;
				break;
			case 'f':
				break;
			case 'h':
				print_usage(stdout);
				return EXIT_SUCCESS;
			case 'v':
				puts("lttled " LTTLE_VERSION);
				return EXIT_SUCCESS;
			default:
				print_usage(stderr);
				return EXIT_USAGE;
		}
	}
	if (optind < argc)
	{
		fprintf(stderr, "lttled: unexpected argument '%s'\n", argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}

/* Returns -1 to go on, or an exit status. */
static int
read_settings(const Arguments *arguments, Settings *ret_settings)
{
	DiagnosticList diagnostics = {0};
	Error error = {0};
	int result = settings_read(arguments->settings_path, ret_settings, &diagnostics, &error);

	if (result == -ENOENT && !arguments->settings_named)
	{
		settings_defaults(ret_settings);
		result = 0;
	}
	else if (result < 0 && diagnostics.count == 0)
		fprintf(stderr, "lttled: %s\n", error.message);
	for (size_t i = 0; i < diagnostics.count; i++)
	{
		_cleanup_free_ char *line = diagnostic_format(arguments->settings_path, &diagnostics.items[i]);

		fprintf(stderr, "%s\n", line);
	}
	diagnostic_list_clear(&diagnostics);
	return result < 0 ? EXIT_CONFIG : -1;
}

/* Three listeners and a few descriptors more a sleeping machine: as many as the hard limit lets. */
static void
raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void
handle_end_signal(evutil_socket_t number, short what, void *context)
{
	(void) what;
	log_info("ending; machines stay as they are", "signal", strsignal((int) number));
	event_base_loopexit(context, NULL);
}

/* ---- compressed swap ---- */

typedef struct SwapWork
{
	const Settings *settings;
	char record_path[320];
	Job *job;
} SwapWork;

static int
create_zram_job(const void *input, void *output, Error *err)
{
	const SwapWork *work = input;
	uint64_t bytes = work->settings->zram_bytes;

	if (bytes == 0)
		bytes = (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE) * 2;
	return swap_zram_create(bytes, work->record_path, output, err);
}

static void
zram_created(void *context, int result, const void *output, const Error *err)
{
	SwapWork *work = context;
	const unsigned *number = output;
	char device[32];

	work->job = NULL;
	if (result < 0)
	{
		log_warning("no compressed swap; suspended machines keep their anonymous memory", "reason", err->message);
		return;
	}
	snprintf(device, sizeof(device), "/dev/zram%u", *number);
	log_info("compressed swap is on", "device", device);
}

static void
start_zram(struct event_base *loop, SwapWork *work)
{
	JobSpec spec = {.name = "set up zram",
					.function = create_zram_job,
					.input = work,
					.output_bytes = sizeof(unsigned),
					.timeout_ms = 30000,
					.done = zram_created,
					.context = work};
	SwapState swap = {0};
	uint64_t used_bytes;
	Error error = {0};

	if (work->settings->zram == ZRAM_OFF)
		return;
	if (swap_zram_read_used(work->record_path, &used_bytes, &error) == 0)
	{
		log_info("compressed swap of an earlier run is used");
		return;
	}
	/* A record without its device: of a run that was killed in between, or from before a reboot. */
	if (swap_zram_remove(work->record_path, &error) < 0)
		log_warning("compressed swap of an earlier run not removed", "reason", error.message);
	if (work->settings->zram == ZRAM_AUTO && swap_read(&swap, &error) == 0 && swap.total_bytes > 0)
		return;
	if (job_start(loop, &spec, &work->job, &error) < 0)
		log_warning("no compressed swap", "reason", error.message);
}

/* Undone at the end, unless machines sleep in it: taking it away would bring all of their memory back at once. */
static void
stop_zram(SwapWork *work)
{
	uint64_t used_bytes;
	Error error = {0};

	job_cancel(work->job);
	if (work->settings->zram == ZRAM_OFF || access(work->record_path, F_OK) < 0)
		return;
	if (swap_zram_read_used(work->record_path, &used_bytes, &error) == 0 && used_bytes > ZRAM_KEPT_BYTES)
	{
		log_info("compressed swap stays: machines sleep in it");
		return;
	}
	if (swap_zram_remove(work->record_path, &error) < 0)
		log_warning("compressed swap not removed", "reason", error.message);
	else
		log_info("compressed swap is off");
}

/* ---- the loop ---- */

static int
run(struct event_base *loop, const Settings *settings)
{
	ApiServerSpec api_spec = {.socket_path = settings->socket_path, .socket_group = settings->socket_group};
	SwapWork swap = {.settings = settings};
	Engine *engine = NULL;
	ApiServer *api = NULL;
	Error error = {0};
	int result = engine_start(loop, settings, &engine, &error);

	if (result == 0)
		result = api_server_start(loop, engine, &api_spec, &api, &error);
	if (result < 0)
	{
		log_error("cannot start", "reason", error.message);
		engine_free(engine);
		return EXIT_FAILURE;
	}
	snprintf(swap.record_path, sizeof(swap.record_path), "%s/zram", settings->run_directory);
	start_zram(loop, &swap);
	log_info("ready", "version", LTTLE_VERSION, "socket", settings->socket_path, "state", settings->state_directory);
	service_notify("READY=1");

	event_base_dispatch(loop);

	service_notify("STOPPING=1");
	api_server_free(api);
	engine_free(engine);
	stop_zram(&swap);
	return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	Arguments arguments;
	Settings settings;
	struct event_base *loop;
	struct event *end_events[2];
	int status = parse_arguments(argc, argv, &arguments);

	if (status < 0)
		status = read_settings(&arguments, &settings);
	if (status >= 0)
		return status;
	if (arguments.check_config)
	{
		printf("%s: all is well\n", arguments.settings_path);
		return EXIT_SUCCESS;
	}
	if (geteuid() != 0)
	{
		fputs("lttled: must be run as root: it makes namespaces, mounts and control groups\n", stderr);
		return EXIT_FAILURE;
	}
	log_set_level(settings.log_level);
	umask(022);
	fault_start();
	service_receive_fds();
	raise_open_files();
	signal(SIGPIPE, SIG_IGN);
	loop = event_base_new();
	if (loop == NULL)
	{
		log_error("cannot make an event loop");
		return EXIT_FAILURE;
	}
	end_events[0] = evsignal_new(loop, SIGTERM, handle_end_signal, loop);
	end_events[1] = evsignal_new(loop, SIGINT, handle_end_signal, loop);
	event_add(end_events[0], NULL);
	event_add(end_events[1], NULL);
	status = run(loop, &settings);
	event_free(end_events[0]);
	event_free(end_events[1]);
	event_base_free(loop);
	return status;
}
