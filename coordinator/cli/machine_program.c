/* Programs of PostgreSQL inside machines; see machine_program.h. */
#include "cli/machine_program.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/frame.h"
#include "base/cleanup.h"
#include "cli/api.h"
#include "cli/output.h"

#define OUTPUT_MAX_BYTES ((size_t) 1 << 20)
#define ERRORS_MAX_BYTES ((size_t) 64 << 10)

/* As the image's own first start logs in: the superuser and the database that the environment names. */
static const char login_script[] =
	"unset PGHOST PGHOSTADDR PGSERVICE\n"
	"PGUSER=${POSTGRES_USER:-postgres}\n"
	"PGDATABASE=${LTTLE_DATABASE:-${POSTGRES_DB:-$PGUSER}}\n"
	"if [ -z \"${POSTGRES_PASSWORD-}\" ] && [ -r \"${POSTGRES_PASSWORD_FILE-}\" ]; then\n"
	"POSTGRES_PASSWORD=$(cat \"$POSTGRES_PASSWORD_FILE\")\n"
	"fi\n"
	"PGPASSWORD=${POSTGRES_PASSWORD-} PGAPPNAME=lttle\n"
	/* The server notices within a second that we have gone, also while it works or waits for a lock. */
	"if [ \"${PG_MAJOR:-0}\" -ge 14 ]; then export PGOPTIONS='-c client_connection_check_interval=1s'; fi\n"
	"export PGUSER PGDATABASE PGPASSWORD PGAPPNAME\n"
	"exec \"$@\"\n";

/* While it runs. */
typedef struct Running
{
	const MachineProgram *program;
	MachineProgramEnd *end;
} Running;

static void
collect(Text *text, size_t most, const void *bytes, size_t size)
{
	size_t room = most > text->length ? most - text->length : 0;

	text_append_bytes(text, bytes, size < room ? size : room);
}

static ssize_t
running_read(void *context, void *bytes, size_t size, Error *err)
{
	const Running *running = context;

	return running->program->read(running->program->context, bytes, size, err);
}

static int
running_write(void *context, int fd, const void *bytes, size_t size, Error *err)
{
	Running *running = context;

	if (fd == STDERR_FILENO)
		collect(&running->end->errors, ERRORS_MAX_BYTES, bytes, size);
	else if (running->program->write != NULL)
		return running->program->write(running->program->context, bytes, size, err);
	else
		collect(&running->end->output, OUTPUT_MAX_BYTES, bytes, size);
	return 0;
}

int
machine_program_wake(const CliInvocation *invocation, const char *machine)
{
	_cleanup_text_ Text target = {0};
	json_t *answer = NULL;
	int code;

	api_path(&target, invocation, "machines", machine, "/wake");
	code = api_request(invocation, "POST", text_string(&target), &answer);
	json_decref(answer);
	return code;
}

/* The caller frees. */
static char *
program_body(const MachineProgram *program)
{
	json_t *argv = json_pack("[s, s, s, s]", "sh", "-c", login_script, "lttle");
	json_t *environment = json_object();
	json_t *body;
	char *text = NULL;
	bool valid = true;

	for (const char *const *word = program->argv; *word != NULL; word++)
		valid = json_array_append_new(argv, json_string(*word)) == 0 && valid;
	if (program->database != NULL)
		valid = json_object_set_new(environment, "LTTLE_DATABASE", json_string(program->database)) == 0 && valid;
	body = json_pack("{s:o, s:b, s:b, s:o}", "argv", argv, "terminal", false, "stdin", program->input_fd >= 0,
					 "environment", environment);
	if (valid)
		text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	return text;
}

static int
program_relay(const MachineProgram *program, HttpStream *stream, MachineProgramEnd *end)
{
	Running running = {program, end};
	const ExecRelayEnds ends = {
		.input_fd = program->input_fd, .read = running_read, .write = running_write, .context = &running};
	const ExecRelaySpec spec = {
		.stream = stream, .signal_fd = program->signal_fd, .input = program->input_fd >= 0, .ends = &ends};
	ExecRelayEnd how;
	Error error;
	int value;

	if (exec_relay_run(&spec, &how, &value, &error) < 0)
		return api_report_connection(&error);
	if (how == EXEC_RELAY_EXITED)
		end->status = value;
	else
		end->signal_number = value;
	return EXIT_CODE_OK;
}

int
machine_program_run(const MachineProgram *program, MachineProgramEnd *ret_end)
{
	_cleanup_text_ Text target = {0};
	_cleanup_free_ char *body = program_body(program);
	HttpRequest request = {
		.socket_path = cli_socket(program->invocation), .method = "POST", .upgrade = FRAME_UPGRADE_PROTOCOL};
	HttpStream stream;
	Error error;
	int code;

	*ret_end = (MachineProgramEnd){0};
	if (body == NULL)
	{
		output_complain("the names must be UTF-8");
		return EXIT_CODE_USAGE;
	}
	api_path(&target, program->invocation, "machines", program->machine, "/exec");
	request.target = text_string(&target);
	request.body = body;
	request.body_bytes = strlen(body);
	if (http_open(&request, &stream, &error) < 0)
		return api_report_connection(&error);
	code = stream.status == 101 ? program_relay(program, &stream, ret_end) : api_report_refusal(&stream);
	http_close(&stream);
	return code;
}

void
machine_program_end_clear(MachineProgramEnd *end)
{
	text_clear(&end->output);
	text_clear(&end->errors);
}

void
machine_program_print_errors(MachineProgramEnd *end)
{
	char *rest = end->errors.data;
	char *line;

	while (rest != NULL && (line = strsep(&rest, "\n")) != NULL)
	{
		text_make_printable(line);
		if (line[0] != '\0')
			fprintf(stderr, "  | %s\n", line);
	}
}
