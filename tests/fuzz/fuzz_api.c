/*
 * Requests to the API: the real server with its real handlers on a real socket, over the double of the engine that the
 * tests of the API have, whose exec here runs nothing.
 *
 * An input whose first byte is '!' is sent as it is. Every other one is a request line without its version, the body
 * from the second line on, and, behind a line "%%%%", bytes that follow the request: the frames of an exec. "upgrade "
 * before the method asks for an upgrade.
 */
#include "fuzz.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/server.h"
#include "api/status.h"
#include "base/log.h"
#include "fake_engine.h"

#define TURNS_AFTER 8 /* of the loop, in which everything that an answer needs has happened */

static Engine engine;
static ApiServer *server;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

/* ---- exec: a program that says a line, reads what is there, and ends ---- */

struct EngineExec
{
	void (*exited)(void *context, int exit_status);
	void *context;
	int stdin_fd;
	struct event *ends;
	EngineExec *next;
};

static void
exec_free(EngineExec *exec)
{
	EngineExec **place = &engine.execs;

	while (*place != exec)
		place = &(*place)->next;
	*place = exec->next;
	event_free(exec->ends);
	close(exec->stdin_fd);
	free(exec);
}

static void
exec_end(evutil_socket_t fd, short what, void *context)
{
	EngineExec *exec = context;
	char buffer[4096];
	ssize_t got = read(exec->stdin_fd, buffer, sizeof(buffer));

	(void) fd;
	(void) what;
	exec->exited(exec->context, got > 0 ? buffer[0] & 0xff : 0);
	exec_free(exec);
}

EngineExec *
engine_exec(Engine *unused, const EngineExecSpec *spec)
{
	static const char line[] = "said\n";
	EngineExec *exec = memory_allocate(sizeof(*exec));
	struct timeval soon = {0};

	(void) unused;
	FUZZ_CHECK(spec->argv[0] != NULL);
	for (size_t i = 0; spec->environment != NULL && spec->environment[i] != NULL; i++)
		FUZZ_CHECK(strchr(spec->environment[i], '=') != NULL);
	if (strcmp(spec->name, "postgresql") != 0)
	{
		Error error;

		error_set(&error, -EBUSY, "machine %s: is stopping", spec->name);
		spec->started(spec->context, -EBUSY, &error);
		free(exec);
		return NULL;
	}
	*exec = (EngineExec){.exited = spec->exited, .context = spec->context, .next = engine.execs};
	exec->stdin_fd = fcntl(spec->stdin_fd, F_DUPFD_CLOEXEC, 3);
	FUZZ_CHECK(exec->stdin_fd >= 0 && fcntl(exec->stdin_fd, F_SETFL, O_NONBLOCK) == 0);
	FUZZ_CHECK(write(spec->stdout_fd, line, sizeof(line) - 1) == sizeof(line) - 1);
	exec->ends = evtimer_new(engine.loop, exec_end, exec);
	evtimer_add(exec->ends, &soon);
	engine.execs = exec;
	spec->started(spec->context, 0, NULL);
	return exec;
}

void
engine_exec_cancel(EngineExec *exec)
{
	exec_free(exec);
}

/* ---- the client ---- */

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char *directory = fuzz_make_directory();
	ApiServerSpec spec = {.socket_path = address.sun_path};
	Error err = {0};

	(void) argc;
	(void) argv;
	log_set_level(LOG_LEVEL_ERROR);
	fake_engine_is_quiet = true;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
	engine.log_path = memory_printf("%s/log", directory);
	fuzz_write_file(engine.log_path, "one\ntwo\nthree\n", 14);
	engine.loop = event_base_new();
	if (api_server_start(engine.loop, &engine, &spec, &server, &err) < 0)
	{
		fprintf(stderr, "%s\n", err.message);
		abort();
	}
	free(directory);
	return 0;
}

/* The bytes of an input as they are sent. */
static void
request_write(const uint8_t *bytes, size_t size, Text *out)
{
	const char *text = (const char *) bytes;
	const char *line_end = memchr(text, '\n', size);
	const char *body = line_end == NULL ? text + size : line_end + 1;
	const char *end = text + size;
	const char *frames = memmem(body, (size_t) (end - body), "\n%%%%\n", 6);
	const char *body_end = frames == NULL ? end : frames;
	bool upgrade = size >= 8 && memcmp(text, "upgrade ", 8) == 0;

	if (upgrade)
		text += 8;
	text_append_bytes(out, text, line_end == NULL ? (size_t) (end - text) : (size_t) (line_end - text));
	text_printf(out, " HTTP/1.1\r\nContent-Length: %zu\r\n", (size_t) (body_end - body));
	text_append(out, upgrade ? "Connection: Upgrade\r\nUpgrade: lttle-exec\r\n\r\n" : "\r\n");
	text_append_bytes(out, body, (size_t) (body_end - body));
	if (frames != NULL)
		text_append_bytes(out, frames + 6, (size_t) (end - frames - 6));
}

static void
turn(void)
{
	FUZZ_CHECK(event_base_loop(engine.loop, EVLOOP_NONBLOCK) >= 0);
}

/* Takes what the server has said; false when nothing new came. */
static bool
answer_read(int fd, Text *answer)
{
	char buffer[16384];
	bool any = false;
	ssize_t got;

	while ((got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0)
	{
		text_append_bytes(answer, buffer, (size_t) got);
		any = true;
	}
	return any;
}

/* One connection from its beginning to its end. */
static void
talk(const Text *request, Text *answer)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	size_t sent = 0;

	FUZZ_CHECK(fd >= 0 && connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0);
	for (unsigned quiet = 0; quiet < TURNS_AFTER;)
	{
		ssize_t done = 0;

		if (sent < request->length)
			done = send(fd, request->data + sent, request->length - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (done > 0)
			sent += (size_t) done;
		turn();
		quiet = answer_read(fd, answer) || done > 0 ? 0 : quiet + 1;
	}
	close(fd);
	for (unsigned i = 0; i < TURNS_AFTER; i++)
		turn();
	fake_engine_end(&engine);
	turn();
}

/* ---- what every answer must be ---- */

static bool
status_is_ours(int status)
{
	for (size_t i = 0; i < api_status_count; i++)
	{
		if (api_statuses[i].http == status)
			return true;
	}
	return status == 200 || status == 101 || status == api_status_find(-EIO)->http;
}

/* An answer in JSON is JSON, and its status is one of the table's. */
static void
check_answer(const Text *answer)
{
	const char *text = text_string(answer);
	const char *body = strstr(text, "\r\n\r\n");
	json_t *json;

	if (answer->length == 0)
		return;
	FUZZ_CHECK(strncmp(text, "HTTP/1.1 ", 9) == 0 && body != NULL);
	if (memmem(text, (size_t) (body - text), "application/json", 16) == NULL)
		return;
	FUZZ_CHECK(status_is_ours(atoi(text + 9)));
	body += 4;
	json = json_loadb(body, answer->length - (size_t) (body - text), JSON_DISABLE_EOF_CHECK, NULL);
	FUZZ_CHECK(json != NULL);
	json_decref(json);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	_cleanup_text_ Text request = {0};
	_cleanup_text_ Text answer = {0};
	bool raw = size > 0 && bytes[0] == '!';
	bool has_body = size < 5 || memcmp(bytes, "HEAD ", 5) != 0;

	if (raw)
		text_append_bytes(&request, bytes + 1, size - 1);
	else
		request_write(bytes, size, &request);
	talk(&request, &answer);
	if (!raw && has_body)
		check_answer(&answer);
	FUZZ_CHECK(engine.execs == NULL);
	return 0;
}
