/*
 * Running a program in a machine. The connection stays an ordinary request until the program runs, so that every
 * refusal is an ordinary answer; then it is upgraded to frames. A client that leaves ends the program.
 */
#include <errno.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/call.h"
#include "api/exec_stdio.h"
#include "api/exec_stream.h"
#include "api/frame.h"
#include "api/handlers.h"
#include "base/cleanup.h"
#include "base/text.h"

#define ARGUMENTS_MOST 4096

typedef struct ExecSession
{
	ApiCall *call;
	EngineExec *exec; /* NULL: engine_exec has not returned yet, or the program has ended */
	ExecStdio stdio;  /* until the stream takes it */
	ExecStream *stream;
	bool terminal;
	bool starting; /* engine_exec has not returned yet */
	bool exited;
	bool over; /* while starting: to be freed when it returns */
	struct event *close_later;
} ExecSession;

/* What the client wants, as the body said. */
typedef struct ExecRequest
{
	char **argv;		/* NULL-terminated */
	char **environment; /* NULL-terminated */
	bool terminal;
	bool input;
	FrameSize size;
} ExecRequest;

static void
strings_free(char **strings)
{
	for (size_t i = 0; strings != NULL && strings[i] != NULL; i++)
		free(strings[i]);
	free(strings);
}

static void
exec_request_clear(ExecRequest *request)
{
	strings_free(request->argv);
	strings_free(request->environment);
}

static int
request_read_argv(const json_t *body, ExecRequest *request, Error *err)
{
	const json_t *argv = json_object_get(body, "argv");
	size_t count = json_array_size(argv);

	if (count == 0 || count > ARGUMENTS_MOST)
		return error_set(err, -EINVAL, "argv: must be a list of 1 to %d texts", ARGUMENTS_MOST);
	request->argv = memory_allocate((count + 1) * sizeof(char *));
	for (size_t i = 0; i < count; i++)
	{
		const char *argument = json_string_value(json_array_get(argv, i));

		if (argument == NULL)
			return error_set(err, -EINVAL, "argv: must be a list of 1 to %d texts", ARGUMENTS_MOST);
		request->argv[i] = memory_duplicate(argument);
	}
	return 0;
}

static int
request_read_environment(json_t *body, ExecRequest *request, Error *err)
{
	json_t *environment = json_object_get(body, "environment");
	const char *name;
	json_t *value;
	size_t count = 0;

	if (environment != NULL && !json_is_object(environment))
		return error_set(err, -EINVAL, "environment: must be an object of texts");
	request->environment = memory_allocate((json_object_size(environment) + 1) * sizeof(char *));
	json_object_foreach(environment, name, value)
	{
		if (!json_is_string(value) || name[0] == '\0' || strchr(name, '=') != NULL)
			return error_set(err, -EINVAL, "environment: must be an object of texts, with names without '='");
		request->environment[count++] = memory_printf("%s=%s", name, json_string_value(value));
	}
	return 0;
}

static int
request_read(ApiCall *call, ExecRequest *request, Error *err)
{
	json_error_t problem;
	json_t *body;
	json_t *argv;
	json_t *environment = NULL;
	int terminal = 0;
	int input = 0;
	int rows = 0;
	int columns = 0;
	int result = api_call_read_json(call, &body, err);

	if (result < 0)
		return result;
	if (json_unpack_ex(body, &problem, 0, "{s:o, s?b, s?b, s?o, s?i, s?i !}", "argv", &argv, "terminal", &terminal,
					   "stdin", &input, "environment", &environment, "rows", &rows, "columns", &columns) < 0)
		result = error_set(err, -EINVAL, "body: %s", problem.text);
	else if (rows < 0 || rows > UINT16_MAX || columns < 0 || columns > UINT16_MAX)
		result = error_set(err, -EINVAL, "rows, columns: must be from 0 to %d", UINT16_MAX);
	request->terminal = terminal != 0;
	request->input = input != 0;
	request->size = (FrameSize){.rows = (uint16_t) rows, .columns = (uint16_t) columns};
	if (result == 0)
		result = request_read_argv(body, request, err);
	if (result == 0)
		result = request_read_environment(body, request, err);
	json_decref(body);
	return result;
}

static void
session_free(ExecSession *session)
{
	exec_stream_free(session->stream);
	exec_stdio_close(&session->stdio);
	if (session->close_later != NULL)
		event_free(session->close_later);
	free(session);
}

/* The client has gone, or the server goes: the program goes too. The call gives itself back. */
static void
session_handle_gone(void *context)
{
	ExecSession *session = context;

	if (session->exec != NULL)
		engine_exec_cancel(session->exec);
	session_free(session);
}

static void
session_close(evutil_socket_t fd, short what, void *context)
{
	ExecSession *session = context;
	ApiCall *call = session->call;

	(void) fd;
	(void) what;
	session_handle_gone(session);
	api_call_close(call);
}

/* The stream has nothing more to do. It still stands on the stack, so closing waits for the loop. */
static void
session_handle_stream_over(void *context)
{
	ExecSession *session = context;

	event_active(session->close_later, 0, 0);
}

static void
session_handle_started(void *context, int result, const Error *err)
{
	ExecSession *session = context;

	if (result < 0)
	{
		session->exec = NULL;
		api_call_reply_error(session->call, result, err);
		if (session->starting)
			session->over = true;
		else
			session_free(session);
		return;
	}
	exec_stdio_close_program(&session->stdio);
	session->stream =
		exec_stream_new(&(ExecStreamSpec){.loop = api_call_loop(session->call),
										  .client = api_call_upgrade(session->call, FRAME_UPGRADE_PROTOCOL),
										  .stdio = session->stdio,
										  .terminal = session->terminal,
										  .over = session_handle_stream_over,
										  .context = session});
	session->stdio = EXEC_STDIO_NONE;
}

static void
session_handle_exited(void *context, int exit_status)
{
	ExecSession *session = context;

	session->exec = NULL;
	session->exited = true;
	exec_stream_end(session->stream, exit_status);
}

static void
session_start(ApiCall *call, const ExecRequest *request, ExecStdio stdio)
{
	ExecSession *session = memory_allocate(sizeof(*session));
	EngineExec *exec;

	*session = (ExecSession){.call = call, .stdio = stdio, .terminal = request->terminal, .starting = true};
	session->close_later = event_new(api_call_loop(call), -1, 0, session_close, session);
	exec =
		engine_exec(api_call_engine(call), &(EngineExecSpec){.name_space = api_call_parameter(call, "ns"),
															 .name = api_call_parameter(call, "name"),
															 .argv = (const char *const *) request->argv,
															 .environment = (const char *const *) request->environment,
															 .terminal = request->terminal,
															 .stdin_fd = stdio.program_input_fd,
															 .stdout_fd = stdio.program_output_fd,
															 .stderr_fd = stdio.program_error_fd,
															 .started = session_handle_started,
															 .exited = session_handle_exited,
															 .context = session});
	session->starting = false;
	if (session->over)
	{
		session_free(session);
		return;
	}
	if (!session->exited)
		session->exec = exec;
	api_call_on_gone(call, session_handle_gone, session);
}

static int
check_upgrade(const ApiCall *call, Error *err)
{
	const char *upgrade = api_call_header(call, "Upgrade");

	if (upgrade == NULL || strcasecmp(upgrade, FRAME_UPGRADE_PROTOCOL) != 0)
		return error_set(err, -EPROTO, "exec needs the headers 'Connection: Upgrade' and 'Upgrade: %s'",
						 FRAME_UPGRADE_PROTOCOL);
	return 0;
}

void
handle_exec(ApiCall *call)
{
	ExecRequest request = {0};
	ExecStdio stdio = EXEC_STDIO_NONE;
	Error error = {0};
	int result = check_upgrade(call, &error);

	if (result == 0)
		result = request_read(call, &request, &error);
	if (result == 0)
		result = exec_stdio_open(request.terminal, request.input, request.size, &stdio, &error);
	if (result == 0)
		session_start(call, &request, stdio);
	else
		api_call_reply_error(call, result, &error);
	exec_request_clear(&request);
}
