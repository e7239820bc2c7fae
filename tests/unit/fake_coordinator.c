/*
 * A coordinator for the tests of the API and of lttle: the real API server over a double of the engine (fake_engine.h),
 * whose exec runs programs on the host, as the user that runs the tests.
 *
 *     fake_coordinator SOCKET LOG [MAX-CONNECTIONS [CLIENT-TIMEOUT-MS]]
 *     fake_coordinator --routes
 *
 * It says "ready" on standard output when it listens, and later, a line each, what nobody outside could see.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/route.h"
#include "api/server.h"
#include "api/status.h"
#include "fake_engine.h"

/* ---- exec ---- */

struct EngineExec
{
	Engine *engine;
	pid_t pid;
	void (*exited)(void *context, int exit_status);
	void *context;
	EngineExec *next;
};

static void
exec_child(const EngineExecSpec *spec)
{
	for (size_t i = 0; spec->environment != NULL && spec->environment[i] != NULL; i++)
		putenv(memory_duplicate(spec->environment[i]));
	setsid();
	dup2(spec->stdin_fd, STDIN_FILENO);
	dup2(spec->stdout_fd, STDOUT_FILENO);
	dup2(spec->stderr_fd, STDERR_FILENO);
	if (spec->terminal)
		ioctl(STDIN_FILENO, TIOCSCTTY, 0);
	execvp(spec->argv[0], (char *const *) spec->argv);
	_exit(127);
}

EngineExec *
engine_exec(Engine *engine, const EngineExecSpec *spec)
{
	EngineExec *exec;
	json_t *machine;
	Error error = {0};
	int result = engine_get_machine(engine, spec->name_space, spec->name, &machine, &error);

	if (result == 0)
		json_decref(machine);
	if (result == 0 && strcmp(spec->name, "busy") == 0)
		result = error_set(&error, -EBUSY, "machine %s: is stopping; nothing can run inside now", spec->name);
	if (result < 0)
	{
		spec->started(spec->context, result, &error);
		return NULL;
	}
	exec = memory_allocate(sizeof(*exec));
	*exec = (EngineExec){.engine = engine, .exited = spec->exited, .context = spec->context, .next = engine->execs};
	exec->pid = fork();
	if (exec->pid == 0)
		exec_child(spec);
	engine->execs = exec;
	say("exec %s", spec->argv[0]);
	spec->started(spec->context, 0, &error);
	return exec;
}

void
engine_exec_cancel(EngineExec *exec)
{
	say("%s", "exec cancelled");
	kill(exec->pid, SIGHUP);
	exec->exited = NULL;
}

static void
handle_children(evutil_socket_t fd, short what, void *context)
{
	Engine *engine = context;
	int status;
	pid_t pid;

	(void) fd;
	(void) what;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
	{
		EngineExec **place = &engine->execs;
		EngineExec *exec;

		while (*place != NULL && (*place)->pid != pid)
			place = &(*place)->next;
		if ((exec = *place) == NULL)
			continue;
		*place = exec->next;
		if (exec->exited != NULL)
			exec->exited(exec->context, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
		else
			say("%s", "cancelled program has ended");
		free(exec);
	}
}

/* ---- the process ---- */

static int
print_tables(void)
{
	for (size_t i = 0; i < api_route_count; i++)
		printf("route\t%s\t%s\t%s\t%s\n", api_routes[i].method, api_routes[i].pattern,
			   api_routes[i].query != NULL ? api_routes[i].query : "", api_routes[i].summary);
	for (size_t i = 0; i < api_status_count; i++)
		printf("status\t%d\t%s\n", api_statuses[i].http, api_statuses[i].code);
	return 0;
}

static void
handle_term(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	event_base_loopbreak(context);
}

static void
forget_programs(Engine *engine)
{
	while (engine->execs != NULL)
	{
		EngineExec *exec = engine->execs;

		engine->execs = exec->next;
		free(exec);
	}
}

int
main(int argc, char **argv)
{
	Engine engine = {0};
	ApiServerSpec spec = {0};
	ApiServer *server;
	struct event *children;
	struct event *term;
	Error error;

	if (argc == 2 && strcmp(argv[1], "--routes") == 0)
		return print_tables();
	if (argc < 3)
		return 2;
	spec.socket_path = argv[1];
	engine.log_path = argv[2];
	spec.max_connections = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	spec.client_timeout_ms = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
	engine.loop = event_base_new();
	children = evsignal_new(engine.loop, SIGCHLD, handle_children, &engine);
	term = evsignal_new(engine.loop, SIGTERM, handle_term, engine.loop);
	evsignal_add(children, NULL);
	evsignal_add(term, NULL);
	if (api_server_start(engine.loop, &engine, &spec, &server, &error) < 0)
	{
		fprintf(stderr, "%s\n", error.message);
		return 1;
	}
	say("%s", "ready");
	event_base_dispatch(engine.loop);
	api_server_free(server);
	fake_engine_end(&engine);
	forget_programs(&engine);
	event_free(children);
	event_free(term);
	event_base_free(engine.loop);
	return 0;
}
