/* The page about phases; see fsm_reference.h. */
#include "engine/fsm_reference.h"

#include <string.h>

#include "engine/fsm.h"

static const char *const meanings[PHASE_COUNT] = {
	[PHASE_IDLE] = "deployed; nothing has been made yet",
	[PHASE_PULLING_IMAGE] = "the image is fetched and unpacked",
	[PHASE_WAITING] = "what it depends on is not ready yet",
	[PHASE_CREATING] = "volumes, root file system, network and control group are made, the first process is launched",
	[PHASE_BOOTING] = "the first process runs, the server is not ready yet",
	[PHASE_READY] = "the server is there and runs",
	[PHASE_PREPARING] = "about to suspend: the extension is asked whether it agrees",
	[PHASE_FREEZING] = "about to suspend: the processes are frozen, then comes the last look",
	[PHASE_SUSPENDED] = "frozen, its memory given back; the kernel keeps connections open and takes new ones",
	[PHASE_HIBERNATE_PREPARING] = "on its way to disk: the extension is asked whether it agrees",
	[PHASE_HIBERNATE_CLOSING] = "on its way to disk: the extension closes its channel",
	[PHASE_HIBERNATE_FREEZING] = "on its way to disk: the processes are frozen, then comes the last look",
	[PHASE_DUMPING] = "on its way to disk: the snapshot is written; the processes are still there",
	[PHASE_EVICTING] = "on its way to disk: the snapshot is whole, the processes are ended",
	[PHASE_HIBERNATED] = "a snapshot on disk, no process; its connections are kept, and clients wait at its gate",
	[PHASE_GROWING] = "on disk; a volume of it is made larger",
	[PHASE_RESUMING] = "the snapshot is restored, or waits for its turn",
	[PHASE_STOPPING] = "asked to stop; afterwards its mounts, links and groups are given back",
	[PHASE_STOPPED] = "nothing of it runs; starts when it is wanted",
	[PHASE_RESTARTING] = "it died; waiting for the next try",
	[PHASE_DELETING] = "its directories and records are removed",
	[PHASE_ERROR] = "it could not be fetched or made; the reason is in `lttle machine get`",
};

static void
print_phases(Text *out)
{
	text_append(out, "| phase | meaning |\n|---|---|\n");
	for (int i = 0; i < PHASE_COUNT; i++)
	{
		const char *key = fsm_phase_key((Phase) i);
		const char *name = phase_name((Phase) i);

		if (strcmp(key, name) == 0)
			text_printf(out, "| `%s` | %s |\n", name, meanings[i]);
		else
			text_printf(out, "| `%s` (%s) | %s |\n", name, key, meanings[i]);
	}
}

/* A phase as a state's name in Mermaid, where '-' is no letter. */
static void
print_state(Phase phase, Text *out)
{
	for (const char *c = fsm_phase_key(phase); *c != '\0'; c++)
		text_append_bytes(out, *c == '-' ? "_" : c, 1);
}

static bool
was_drawn(const FsmRow *rows, size_t index)
{
	for (size_t i = 0; i < index; i++)
	{
		if (rows[i].from == rows[index].from && rows[i].to == rows[index].to)
			return true;
	}
	return false;
}

/* One arrow for each pair of phases, with all events that lead from the one to the other. */
static void
print_arrow(const FsmRow *rows, size_t count, size_t index, Text *out)
{
	const char *separator = " : ";
	FsmEvent last = EVENT_COUNT;

	text_append(out, "    ");
	print_state(rows[index].from, out);
	text_append(out, " --> ");
	print_state(rows[index].to, out);
	for (size_t i = index; i < count; i++)
	{
		if (rows[i].from != rows[index].from || rows[i].to != rows[index].to || rows[i].event == last)
			continue;
		text_printf(out, "%s%s", separator, fsm_event_name(rows[i].event));
		separator = ", ";
		last = rows[i].event;
	}
	text_append(out, "\n");
}

static void
print_diagram(const FsmRow *rows, size_t count, Text *out)
{
	text_append(out, "```mermaid\nstateDiagram-v2\n    [*] --> idle\n");
	for (size_t i = 0; i < count; i++)
	{
		if (rows[i].from != rows[i].to && !was_drawn(rows, i))
			print_arrow(rows, count, i, out);
	}
	text_append(out, "    deleting --> [*]\n```\n");
}

static void
print_guard(const FsmRow *row, Text *out)
{
	for (const char *c = row->guard_name == NULL ? "" : row->guard_name; *c != '\0'; c++)
		text_append_bytes(out, *c == '_' ? " " : c, 1);
}

static void
print_rows(const FsmRow *rows, size_t count, Text *out)
{
	text_append(out, "| from | event | if | action | to | time limit | why |\n|---|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < count; i++)
	{
		const char *limit = fsm_limit_name(rows[i].limit);

		text_printf(out, "| %s | %s | ", fsm_phase_key(rows[i].from), fsm_event_name(rows[i].event));
		print_guard(&rows[i], out);
		text_printf(out, " | %s | %s | ", rows[i].action == ACTION_NONE ? "" : fsm_action_name(rows[i].action),
					fsm_phase_key(rows[i].to));
		if (*limit != '\0')
			text_printf(out, "`%s`", limit);
		text_printf(out, " | %s |\n", rows[i].why);
	}
}

void
fsm_reference_print(Text *out)
{
	size_t count;
	const FsmRow *rows = fsm_rows(&count);

	text_append(out, "# Phases\n\n"
					 "What a machine is in at any moment: `lttle machine list` and `lttle machine get` show it, "
					 "`lttle events` shows how it got there, `lttle machine wait --for PHASE` waits for it.\n\n"
					 "This page is written from the table in `coordinator/engine/fsm.c`, which the coordinator itself "
					 "runs on.\n\n");
	print_phases(out);
	text_append(out, "\n## Diagram\n\nEvents that do not change the phase are left out.\n\n");
	print_diagram(rows, count, out);
	text_append(out,
				"\n## All rows\n\n"
				"Of several rows for one phase and event the first holds whose condition is true. An event without "
				"a row means nothing in that phase and changes nothing. Time limits are "
				"[settings](settings.md); when one is over, the event is `time-out`.\n\n");
	print_rows(rows, count, out);
}
