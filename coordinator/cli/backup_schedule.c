/* Schedules of backups; see backup_schedule.h. */
#include "cli/backup_schedule.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/api.h"
#include "cli/backup_format.h"
#include "cli/backup_keep.h"
#include "cli/commands.h"
#include "cli/output.h"

/* As lttled has to know it: absolute. The caller frees. */
static char *
absolute(const char *path)
{
	char here[PATH_MAX];

	if (path[0] == '/' || getcwd(here, sizeof(here)) == NULL)
		return memory_duplicate(path);
	return memory_printf("%s/%s", here, path);
}

/* NULL, with a complaint and an exit code, when an option is wrong. The caller decrefs. */
static json_t *
schedule_plan(const CliInvocation *invocation, int *ret_code)
{
	BackupKeep keep = {0};
	BackupFormat format;
	json_t *plan = NULL;

	*ret_code = backup_format_read(invocation, &format);
	if (*ret_code == EXIT_CODE_OK)
		*ret_code = backup_keep_read(invocation, &keep);
	if (*ret_code != EXIT_CODE_OK)
		return NULL;
	plan =
		json_pack("{s:s, s:s}", "schedule", invocation->values[OPTION_SCHEDULE], "format", backup_format_name(format));
	if (cli_has(invocation, OPTION_OUTPUT))
	{
		_cleanup_free_ char *directory = absolute(invocation->values[OPTION_OUTPUT]);

		json_object_set_new(plan, "directory", json_string(directory));
	}
	if (cli_has(invocation, OPTION_DATABASE))
		json_object_set_new(plan, "database", json_string(invocation->values[OPTION_DATABASE]));
	if (keep.count > 0)
		json_object_set_new(plan, "keep", json_integer(keep.count));
	if (keep.age_ms > 0)
		json_object_set_new(plan, "keep-for-ms", json_integer((json_int_t) keep.age_ms));
	return plan;
}

static int
schedule_end(const CliInvocation *invocation, const char *target)
{
	json_t *answer = NULL;
	int code = api_request(invocation, "DELETE", target, &answer);

	json_decref(answer);
	if (code == EXIT_CODE_OK)
		output_succeed("%s/%s is not backed up by schedule any more; its files stay.", cli_namespace(invocation),
					   invocation->arguments[0]);
	return code;
}

static void
schedule_tell(const CliInvocation *invocation, const json_t *backup)
{
	char next[OUTPUT_TEXT_BYTES];

	output_format_time(member_number(backup, "next-ms"), next);
	if (cli_has(invocation, OPTION_JSON))
		output_json(backup);
	else
		output_succeed("%s/%s is backed up by schedule (%s), next at %s, into %s", cli_namespace(invocation),
					   invocation->arguments[0], member_text(backup, "schedule"), next,
					   member_text(backup, "directory"));
}

int
backup_schedule_set(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	_cleanup_free_ char *body = NULL;
	ApiAnswer answer = {0};
	json_t *plan;
	int code;

	api_path(&target, invocation, "backups", invocation->arguments[0], "");
	if (strcmp(invocation->values[OPTION_SCHEDULE], "off") == 0)
		return schedule_end(invocation, text_string(&target));
	plan = schedule_plan(invocation, &code);
	if (plan == NULL)
		return code;
	body = json_dumps(plan, JSON_COMPACT);
	json_decref(plan);
	code = api_send(invocation, "PUT", text_string(&target), body, strlen(body), &answer);
	if (code == EXIT_CODE_OK && answer.status != 200)
		code = api_report(&answer);
	else if (code == EXIT_CODE_OK)
		schedule_tell(invocation, answer.body);
	api_answer_clear(&answer);
	return code;
}

void
backup_result_format(const json_t *last, char text[BACKUP_RESULT_BYTES])
{
	char size[OUTPUT_TEXT_BYTES];
	char when[OUTPUT_TEXT_BYTES];

	if (!json_is_object(last))
	{
		snprintf(text, BACKUP_RESULT_BYTES, "none yet");
		return;
	}
	output_format_time(member_number(last, "time-ms"), when);
	output_format_bytes(member_number(last, "bytes"), size);
	if (json_is_true(json_object_get(last, "ok")))
		snprintf(text, BACKUP_RESULT_BYTES, "%s: ok, %s", when, size);
	else
		snprintf(text, BACKUP_RESULT_BYTES, "%s: failed: %.400s", when, member_text(last, "error"));
	for (char *at = text; *at != '\0'; at++)
	{
		if (*at == '\n')
			*at = ' ';
	}
}

static void
backups_print(const json_t *backups)
{
	static const char *const headers[] = {"NAMESPACE", "NAME", "DATABASE", "SCHEDULE", "NEXT", "DIRECTORY", "LAST"};
	const json_t *backup;
	size_t index;
	Table table;

	table_begin(&table, 7, headers);
	json_array_foreach(backups, index, backup)
	{
		char next[OUTPUT_TEXT_BYTES];
		char last[BACKUP_RESULT_BYTES];

		output_format_time(member_number(backup, "next-ms"), next);
		backup_result_format(json_object_get(backup, "last"), last);
		table_add(&table, "%s", member_text(backup, "namespace"));
		table_add(&table, "%s", member_text(backup, "name"));
		table_add(&table, "%s", member_text(backup, "database"));
		table_add(&table, "%s", member_text(backup, "schedule"));
		table_add(&table, "%s", json_is_true(json_object_get(backup, "running")) ? "runs" : next);
		table_add(&table, "%s", member_text(backup, "directory"));
		table_add(&table, "%s", last);
	}
	table_print(&table);
}

int
run_postgres_backups(const CliInvocation *invocation)
{
	json_t *backups = NULL;
	int code = api_list(invocation, "backups", &backups);

	return api_show(invocation, code, backups, backups_print);
}
