/* How services become reachable; see reach.h. */
#include "engine/reach.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/job.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "engine/reach_plan.h"
#include "host/directory_watch.h"
#include "host/edge.h"
#include "host/forward.h"
#include "host/helper.h"
#include "host/network.h"
#include "host/network_wall.h"
#include "host/resolver.h"

#define HELPER_SHORTEST_MS 200
#define HELPER_LONGEST_MS  30000
#define EDGE_TIMEOUT_MS	   60000
/* A certificate may be written in several steps, and its key after it. */
#define CERTIFICATE_QUIET_MS 500

struct Reach
{
	Engine *engine;
	struct event *change_event;
	ExposurePlan plan; /* as of the last time */
	bool host_forwarded;
	bool is_applied; /* the plan's wall and translation stand */
	Helper *resolver;
	Helper *edge;
	DirectoryWatch *certificates; /* while there is an edge */
	Job *edge_work;
	bool edge_again;	 /* something has changed while the work ran */
	char complaint[256]; /* logged last, so that it is not logged each time */
};

/* Logs what went wrong, once for as long as it is the same. */
static void
reach_complain(Reach *reach, const char *what, const Error *err)
{
	char complaint[sizeof(reach->complaint)];

	snprintf(complaint, sizeof(complaint), "%.80s: %.160s", what, err->message);
	if (strcmp(complaint, reach->complaint) == 0)
		return;
	memcpy(reach->complaint, complaint, sizeof(complaint));
	log_warning(what, "reason", err->message);
}

/* ---- names ---- */

static void
reach_resolver_ended(void *context, const char *why, uint64_t again_ms)
{
	char delay[32];

	(void) context;
	snprintf(delay, sizeof(delay), "%llu ms", (unsigned long long) again_ms);
	log_warning("dnsmasq does not run, names of services are not found", "reason", why, "again-in", delay);
}

/* Frees the arguments. */
static Helper *
reach_open_helper(Reach *reach, const char *record_path, char **arguments,
				  void (*ended)(void *context, const char *why, uint64_t again_ms))
{
	HelperSpec spec = {.loop = reach->engine->loop,
					   .record_path = record_path,
					   .argv = (const char *const *) arguments,
					   .shortest_ms = HELPER_SHORTEST_MS,
					   .longest_ms = HELPER_LONGEST_MS,
					   .ended = ended,
					   .context = reach};
	Helper *helper = helper_open(&spec);

	memory_free_texts(arguments);
	return helper;
}

static void
reach_open_resolver(Reach *reach)
{
	const HostLayout *layout = &reach->engine->layout;
	char record[320];
	Error error;

	resolver_record_path(layout, record);
	if (network_hold_gateway(layout, true, &error) < 0)
		reach_complain(reach, "dnsmasq has no address to listen on", &error);
	else
		reach->resolver = reach_open_helper(reach, record, resolver_arguments(layout), reach_resolver_ended);
}

static void
reach_close_resolver(Reach *reach)
{
	Error error;

	helper_end(reach->resolver);
	reach->resolver = NULL;
	if (network_hold_gateway(&reach->engine->layout, false, &error) < 0)
		reach_complain(reach, "the gateway's address stays", &error);
}

static void
reach_apply_names(Reach *reach)
{
	bool changed = false;
	Error error;

	if (reach->plan.machine_count == 0)
	{
		reach_close_resolver(reach);
		return;
	}
	if (resolver_write_names(&reach->engine->layout, &reach->plan, &changed, &error) < 0)
		reach_complain(reach, "names of services not written", &error);
	if (reach->resolver == NULL)
		reach_open_resolver(reach);
	if (changed)
		helper_signal(reach->resolver, SIGHUP);
}

/* ---- the edge ---- */

static void reach_apply_edge(Reach *reach);

static void
reach_edge_ended(void *context, const char *why, uint64_t again_ms)
{
	char delay[32];

	(void) context;
	snprintf(delay, sizeof(delay), "%llu ms", (unsigned long long) again_ms);
	log_warning("HAProxy does not run, services with tls, http and https are not reachable", "reason", why, "again-in",
				delay);
}

static void
reach_open_edge(Reach *reach)
{
	const HostLayout *layout = &reach->engine->layout;
	char record[320];

	edge_record_path(layout, record);
	reach->edge = reach_open_helper(reach, record, edge_arguments(layout), reach_edge_ended);
}

static int
edge_job(const void *input, void *output, Error *err)
{
	const Reach *reach = input;

	return edge_write(&reach->engine->layout, &reach->plan, reach->engine->settings.certificates, output, err);
}

static void
reach_edge_written(void *context, int result, const void *output, const Error *err)
{
	Reach *reach = context;
	bool changed = false;

	reach->edge_work = NULL;
	if (result < 0)
		reach_complain(reach, "services with tls, http and https stay as they were", err);
	else
	{
		memcpy(&changed, output, sizeof(changed));
		reach->complaint[0] = '\0'; /* what comes next is news again */
	}
	if (reach->edge_again)
	{
		reach_apply_edge(reach);
		return;
	}
	if (result < 0)
		return;
	if (reach->edge == NULL)
		reach_open_edge(reach);
	if (changed)
		helper_signal(reach->edge, SIGUSR2);
}

/* One that came, went or was renewed: who speaks TLS may have changed, and HAProxy has to read what it has anew. */
static void
reach_certificates_changed(void *context)
{
	Reach *reach = context;

	reach_apply_now(reach);
	reach_apply_edge(reach);
}

static void
reach_watch_certificates(Reach *reach)
{
	if (reach->certificates == NULL)
		reach->certificates = directory_watch_open(reach->engine->loop, reach->engine->settings.certificates,
												   CERTIFICATE_QUIET_MS, reach_certificates_changed, reach);
	else
		directory_watch_retry(reach->certificates);
}

static void
reach_close_edge(Reach *reach)
{
	char path[320];

	directory_watch_close(reach->certificates);
	reach->certificates = NULL;
	edge_record_path(&reach->engine->layout, path);
	if (reach->edge == NULL)
		helper_end_recorded(path);
	helper_end(reach->edge);
	reach->edge = NULL;
	snprintf(path, sizeof(path), "%s/edge", reach->engine->layout.run_directory);
	(void) !file_remove_tree(path, NULL);
}

static void
reach_apply_edge(Reach *reach)
{
	JobSpec spec = {.name = "configuration of HAProxy",
					.function = edge_job,
					.input = reach,
					.output_bytes = sizeof(bool),
					.timeout_ms = EDGE_TIMEOUT_MS,
					.done = reach_edge_written,
					.context = reach};
	Error error;

	reach->edge_again = reach->edge_work != NULL;
	if (reach->edge_again)
		return;
	if (!edge_is_needed(&reach->plan))
	{
		reach_close_edge(reach);
		return;
	}
	reach_watch_certificates(reach);
	if (job_start(reach->engine->loop, &spec, &reach->edge_work, &error) < 0)
		reach_complain(reach, "services with tls, http and https stay as they were", &error);
}

/* ---- all of it ---- */

/* The wall comes first: links forward only behind it. */
static int
reach_apply_kernel(Reach *reach, Error *err)
{
	const HostLayout *layout = &reach->engine->layout;
	int result = network_wall_raise(layout, &reach->plan, reach->host_forwarded, err);

	if (result == 0)
		result = forward_apply(layout, &reach->plan, err);
	return result < 0 ? result : forward_open_links(layout, &reach->plan, err);
}

static void
reach_apply(Reach *reach)
{
	bool host_forwards = forward_host_forwards();
	ExposurePlan plan;
	Error error;

	reach_plan_fill(reach->engine, &plan);
	if (reach->is_applied && reach->host_forwarded == host_forwards && reach_plans_equal(&plan, &reach->plan))
	{
		exposure_plan_clear(&plan);
		return;
	}
	exposure_plan_clear(&reach->plan);
	reach->plan = plan;
	reach->host_forwarded = host_forwards;
	reach->is_applied = reach_apply_kernel(reach, &error) == 0;
	if (!reach->is_applied)
		reach_complain(reach, "who reaches machines, and whom they reach, is not as it should be", &error);
	reach_apply_names(reach);
	reach_apply_edge(reach);
}

static void
reach_handle_change(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	reach_apply(context);
}

Reach *
reach_start(Engine *engine)
{
	Reach *reach = memory_allocate(sizeof(*reach));

	reach->engine = engine;
	reach->change_event = event_new(engine->loop, -1, 0, reach_handle_change, reach);
	reach_apply(reach);
	return reach;
}

void
reach_note_change(Reach *reach)
{
	if (reach != NULL)
		event_active(reach->change_event, 0, 0);
}

void
reach_apply_now(Reach *reach)
{
	if (reach != NULL)
		reach_apply(reach);
}

void
reach_note_link(Reach *reach, const Machine *machine)
{
	Error error;

	if (reach != NULL && reach->is_applied &&
		forward_open_link(machine->network.host_link, machine->network.address, &reach->plan, &error) < 0)
		reach_complain(reach, "a machine's link does not forward", &error);
}

static void
reach_clear_host(Reach *reach)
{
	const HostLayout *layout = &reach->engine->layout;
	char path[320];
	Error error;

	exposure_plan_clear(&reach->plan);
	if (forward_open_links(layout, &reach->plan, &error) < 0 || forward_apply(layout, &reach->plan, &error) < 0 ||
		network_wall_remove(layout, &error) < 0)
		log_debug("the wall stays", "reason", error.message);
	reach_close_resolver(reach);
	reach_close_edge(reach);
	snprintf(path, sizeof(path), "%s/names", layout->run_directory);
	(void) !file_remove_tree(path, NULL);
}

void
reach_end(Reach *reach, bool deserted)
{
	if (reach == NULL)
		return;
	event_free(reach->change_event);
	job_cancel(reach->edge_work);
	directory_watch_close(reach->certificates);
	reach->certificates = NULL;
	if (deserted)
		reach_clear_host(reach);
	helper_leave(reach->resolver);
	helper_leave(reach->edge);
	exposure_plan_clear(&reach->plan);
	free(reach);
}

pid_t
reach_edge_pid(const Reach *reach)
{
	return reach == NULL ? 0 : helper_pid(reach->edge);
}
