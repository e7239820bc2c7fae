/* lttle machine exec */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/frame.h"
#include "base/cleanup.h"
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/exec_relay.h"
#include "cli/output.h"
#include "cli/terminal.h"

/* What the coordinator is to run, as JSON. NULL when an argument is no UTF-8. The caller frees. */
static char *
exec_body(const CliInvocation *invocation)
{
	bool terminal = cli_has(invocation, OPTION_TERMINAL);
	FrameSize size = terminal ? terminal_size() : (FrameSize){0};
	const char *term = getenv("TERM");
	json_t *argv = json_array();
	json_t *body;
	char *text;
	bool valid = true;

	for (const char *const *word = invocation->program; *word != NULL; word++)
		valid = json_array_append_new(argv, json_string(*word)) == 0 && valid;
	body =
		json_pack("{s:o, s:b, s:b, s:i, s:i, s:{}}", "argv", argv, "terminal", terminal, "stdin",
				  cli_has(invocation, OPTION_INTERACTIVE), "rows", size.rows, "columns", size.columns, "environment");
	if (terminal && term != NULL && term[0] != '\0')
		json_object_set_new(json_object_get(body, "environment"), "TERM", json_string(term));
	text = valid ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(body);
	return text;
}

static int
exec_relay(const CliInvocation *invocation, HttpStream *stream)
{
	sigset_t before;
	_cleanup_fd_ int signal_fd = exec_relay_open_signals(&before);
	bool input = cli_has(invocation, OPTION_INTERACTIVE);
	bool terminal = cli_has(invocation, OPTION_TERMINAL);
	const ExecRelaySpec spec = {.stream = stream, .signal_fd = signal_fd, .input = input, .terminal = terminal};
	ExecRelayEnd end;
	Error error;
	int value;
	int result;

	if (signal_fd < 0)
	{
		output_complain("signalfd: %s", strerror(errno));
		return EXIT_CODE_FAILURE;
	}
	if (input && terminal)
		terminal_make_raw();
	result = exec_relay_run(&spec, &end, &value, &error);
	terminal_restore();
	if (result < 0)
		return api_report_connection(&error);
	return end == EXEC_RELAY_EXITED ? value : exec_relay_die_of(value, &before);
}

int
run_machine_exec(const CliInvocation *invocation)
{
	_cleanup_text_ Text target = {0};
	_cleanup_free_ char *body = exec_body(invocation);
	HttpRequest request = {.socket_path = cli_socket(invocation), .method = "POST", .upgrade = FRAME_UPGRADE_PROTOCOL};
	HttpStream stream;
	Error error;
	int code;

	if (body == NULL)
	{
		output_complain("the program and its arguments must be UTF-8");
		return EXIT_CODE_USAGE;
	}
	api_path(&target, invocation, "machines", invocation->arguments[0], "/exec");
	request.target = text_string(&target);
	request.body = body;
	request.body_bytes = strlen(body);
	if (http_open(&request, &stream, &error) < 0)
		return api_report_connection(&error);
	code = stream.status == 101 ? exec_relay(invocation, &stream) : api_report_refusal(&stream);
	http_close(&stream);
	return code;
}
