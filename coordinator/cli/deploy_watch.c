/*
 * Watching what a deploy has begun; see deploy_watch.h. The events are followed before the machines are looked at, so
 * that no change falls between the two, and nothing is asked again and again.
 */
#include "cli/deploy_watch.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/deploy_progress.h"
#include "cli/line_stream.h"
#include "cli/output.h"

/* A server may crash once and come; one that ends so often before it is ready does not. */
#define MOST_RESTARTS 3

/* A machine without services is ready when it runs: only after so long does that say that it has not ended at once. */
#define STEADY_MS 1000

/* ---- what is watched ---- */

static bool
result_is_machine(const json_t *result)
{
	const char *kind = member_text(result, "kind");

	return strcmp(kind, "app") == 0 || strcmp(kind, "machine") == 0;
}

static void
watch_fill(DeployWatch *watch, json_t *results)
{
	json_t *result;
	size_t index;

	watch->machines = memory_allocate((json_array_size(results) + 1) * sizeof(*watch->machines));
	json_array_foreach(results, index, result)
	{
		if (result_is_machine(result))
			watch->machines[watch->count++] = (WatchedMachine){
				.result = result, .name_space = member_text(result, "namespace"), .name = member_text(result, "name")};
	}
	watch->waiting = watch->count;
}

static WatchedMachine *
watch_find(DeployWatch *watch, const json_t *object)
{
	for (size_t i = 0; i < watch->count; i++)
	{
		WatchedMachine *machine = &watch->machines[i];

		if (strcmp(machine->name, member_text(object, "name")) == 0 &&
			strcmp(machine->name_space, member_text(object, "namespace")) == 0)
			return machine;
	}
	return NULL;
}

/* ---- judging ---- */

/* How it ended, and its last words: asked once, of a machine that has ended or failed. */
static json_t *
watch_ask(const DeployWatch *watch, const WatchedMachine *machine)
{
	_cleanup_text_ Text target = {0};
	ApiAnswer answer = {0};

	text_append(&target, "/v1/namespaces/");
	http_append_encoded(&target, machine->name_space);
	text_append(&target, "/machines/");
	http_append_encoded(&target, machine->name);
	if (api_send(watch->invocation, "GET", text_string(&target), NULL, 0, &answer) == EXIT_CODE_OK &&
		answer.status == 200)
		return answer.body;
	api_answer_clear(&answer);
	return NULL;
}

static void
watch_settle(DeployWatch *watch, WatchedMachine *machine, WatchState state)
{
	machine->state = state;
	watch->waiting--;
	watch->failed += state == WATCH_FAILED;
}

static void
watch_fail(DeployWatch *watch, WatchedMachine *machine)
{
	json_t *found = watch_ask(watch, machine);
	const char *last_error = member_text(found, "last-error");
	_cleanup_free_ char *error =
		memory_printf("is %s: %s", machine->phase, last_error[0] != '\0' ? last_error : machine->reason);

	json_object_set_new(machine->result, "error", json_string(error));
	if (member_is_set(found, "last-words"))
		json_object_set(machine->result, "last-words", json_object_get(found, "last-words"));
	json_decref(found);
	watch_settle(watch, machine, WATCH_FAILED);
}

/* A machine that has stopped has done what it was there for, or failed at it. */
static void
watch_judge_stopped(DeployWatch *watch, WatchedMachine *machine)
{
	json_t *found = watch_ask(watch, machine);
	double exit_status = member_number(found, "exit-status");
	bool unchanged = strcmp(member_text(machine->result, "action"), "unchanged") == 0;

	json_decref(found);
	if (exit_status != 0 && !unchanged)
		watch_fail(watch, machine);
	else
		watch_settle(watch, machine, WATCH_DONE);
}

static void
watch_judge(DeployWatch *watch, WatchedMachine *machine)
{
	const char *phase = machine->phase;

	if ((machine->steady_ms != 0 && clock_realtime_ms() >= machine->steady_ms) || strcmp(phase, "suspended") == 0 ||
		strcmp(phase, "hibernated") == 0)
		watch_settle(watch, machine, WATCH_DONE);
	else if (strcmp(phase, "stopped") == 0)
		watch_judge_stopped(watch, machine);
	else if (strcmp(phase, "error") == 0 || strcmp(phase, "deleting") == 0 || machine->restarts >= MOST_RESTARTS)
		watch_fail(watch, machine);
}

/* A machine or an event of it; time: the key that says when it came into its phase. */
static void
watch_take(DeployWatch *watch, WatchedMachine *machine, const json_t *object, const char *time)
{
	uint64_t since_ms = (uint64_t) member_number(object, time);

	if (machine->state != WATCH_WAITING)
		return;
	machine->steady_ms = 0;
	if (strcmp(member_text(object, "phase"), "booting") == 0)
		machine->booted_ms = since_ms;
	else if (strcmp(member_text(object, "phase"), "ready") == 0)
		machine->steady_ms = (machine->booted_ms != 0 ? machine->booted_ms : since_ms) + STEADY_MS;
	text_copy(machine->phase, sizeof(machine->phase), member_text(object, "phase"));
	text_copy(machine->reason, sizeof(machine->reason), member_text(object, "reason"));
	machine->since_ns = clock_monotonic_ns();
	json_object_set_new(machine->result, "phase", json_string(machine->phase));
	watch_judge(watch, machine);
	deploy_progress_note(watch, machine);
}

/* ---- following ---- */

static int
watch_look(DeployWatch *watch)
{
	const json_t *machine;
	json_t *machines;
	size_t index;
	int code = api_request(watch->invocation, "GET", "/v1/machines", &machines);

	if (code != EXIT_CODE_OK)
		return code;
	json_array_foreach(machines, index, machine)
	{
		WatchedMachine *watched = watch_find(watch, machine);

		if (watched == NULL)
			continue;
		if (strcmp(member_text(watched->result, "action"), "created") == 0)
			watched->restarts = (unsigned) member_number(machine, "restarts");
		watch_take(watch, watched, machine, "since-ms");
	}
	json_decref(machines);
	for (size_t i = 0; i < watch->count; i++)
	{
		WatchedMachine *watched = &watch->machines[i];

		if (watched->phase[0] != '\0')
			continue;
		text_copy(watched->phase, sizeof(watched->phase), "gone");
		text_copy(watched->reason, sizeof(watched->reason), "somebody has deleted it");
		watch_fail(watch, watched);
	}
	return EXIT_CODE_OK;
}

static void
watch_take_line(DeployWatch *watch, const char *line)
{
	json_t *event = json_loads(line, 0, NULL);
	WatchedMachine *machine = event != NULL ? watch_find(watch, event) : NULL;

	if (machine != NULL)
	{
		machine->restarts += strcmp(member_text(event, "phase"), "restarting") == 0;
		watch_take(watch, machine, event, "time-ms");
	}
	json_decref(event);
}

/* Judges those again that are ready for long enough now. Returns how long until the next one is, at most a second. */
static uint64_t
watch_settle_steady(DeployWatch *watch)
{
	uint64_t now_ms = clock_realtime_ms();
	uint64_t next_ms = 1000;

	for (size_t i = 0; i < watch->count; i++)
	{
		WatchedMachine *machine = &watch->machines[i];

		if (machine->state != WATCH_WAITING || machine->steady_ms == 0)
			continue;
		if (now_ms >= machine->steady_ms)
			watch_judge(watch, machine);
		else if (machine->steady_ms - now_ms < next_ms)
			next_ms = machine->steady_ms - now_ms;
	}
	return next_ms;
}

static int
watch_follow(DeployWatch *watch, LineStream *stream, uint64_t deadline_ns)
{
	for (;;)
	{
		uint64_t now_ns = clock_monotonic_ns();
		uint64_t left_ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / NS_PER_MS + 1 : 0;
		uint64_t next_ms = watch_settle_steady(watch);
		const char *line;
		Error error;
		int result;

		if (watch->waiting == 0)
			return watch->failed > 0 ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
		if (left_ms == 0)
			return EXIT_CODE_TIMED_OUT;
		deploy_progress_draw(watch);
		result = line_stream_next(stream, (int) (left_ms < next_ms ? left_ms : next_ms), &line, &error);
		if (result > 0)
			watch_take_line(watch, line);
		else if (result == 0)
		{
			deploy_progress_end(watch);
			output_complain("the coordinator has ended; what was deployed starts with the next one");
			return EXIT_CODE_NO_COORDINATOR;
		}
		else if (result != -ETIMEDOUT)
		{
			deploy_progress_end(watch);
			return api_report_connection(&error);
		}
	}
}

static void
watch_note_time_out(const DeployWatch *watch)
{
	for (size_t i = 0; i < watch->count; i++)
	{
		const WatchedMachine *machine = &watch->machines[i];
		_cleanup_free_ char *error =
			memory_printf("is not ready yet, and goes on: %s, %s", machine->phase, machine->reason);

		if (machine->state == WATCH_WAITING)
			json_object_set_new(machine->result, "error", json_string(error));
	}
}

int
deploy_watch(const CliInvocation *invocation, json_t *results, uint64_t timeout_ms)
{
	uint64_t begin_ns = clock_monotonic_ns();
	DeployWatch watch = {.invocation = invocation, .begin_ns = begin_ns};
	LineStream stream;
	int code = EXIT_CODE_OK;

	watch_fill(&watch, results);
	if (watch.count > 0)
		code = line_stream_open(invocation, "/v1/events?follow=true&last=0", &stream);
	if (watch.count > 0 && code == EXIT_CODE_OK)
	{
		deploy_progress_begin(&watch);
		code = watch_look(&watch);
		if (code == EXIT_CODE_OK)
			code = watch_follow(&watch, &stream, begin_ns + timeout_ms * NS_PER_MS);
		deploy_progress_end(&watch);
		line_stream_close(&stream);
	}
	if (code == EXIT_CODE_TIMED_OUT)
		watch_note_time_out(&watch);
	free(watch.machines);
	return code;
}
