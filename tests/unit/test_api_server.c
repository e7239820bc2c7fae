/* What the API server does with the descriptors of its clients, in one process over a double of the engine. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/server.h"
#include "fake_engine.h"
#include "loop.h"

#define SUCCESSORS 8 /* more descriptors than one request may leave free below the client's */

EngineExec *
engine_exec(Engine *engine, const EngineExecSpec *spec)
{
	(void) engine;
	(void) spec;
	fail();
	return NULL;
}

void
engine_exec_cancel(EngineExec *exec)
{
	(void) exec;
	fail();
}

static bool
client_sees_the_end(void *context)
{
	char bytes[4096];
	ssize_t got;

	while ((got = recv(*(int *) context, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		;
	return got == 0;
}

static void
note_event(evutil_socket_t fd, short what, void *context)
{
	(void) fd;
	(void) what;
	*(bool *) context = true;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
	return fd;
}

/*
 * A child that was forked while the client was connected has a copy of its descriptor. What happens on that copy must
 * not be taken for news of whoever has the number now.
 */
static void
test_a_client_that_has_gone_is_not_heard_through_a_copy(void **state)
{
	static const char request[] = "GET /v1/version HTTP/1.1\r\nConnection: close\r\n\r\n";
	char directory[] = "/tmp/lttle-api-XXXXXX";
	Engine engine = {.loop = event_base_new()};
	struct event *events[SUCCESSORS];
	ApiServerSpec spec = {0};
	bool heard = false;
	char path[64];
	ApiServer *server;
	pid_t keeper;
	int client;

	(void) state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/socket", directory);
	spec.socket_path = path;
	assert_int_equal(api_server_start(engine.loop, &engine, &spec, &server, NULL), 0);
	client = connect_to(path);
	loop_run_ready(engine.loop);
	keeper = fork();
	assert_true(keeper >= 0);
	if (keeper == 0)
	{
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(client);
		pause();
		_exit(0);
	}
	assert_int_equal(write(client, request, sizeof(request) - 1), sizeof(request) - 1);
	assert_true(loop_run_until(engine.loop, client_sees_the_end, &client));
	loop_run_ready(engine.loop);
	for (int i = 0; i < SUCCESSORS; i++)
	{
		events[i] = event_new(engine.loop, eventfd(0, EFD_CLOEXEC), EV_READ, note_event, &heard);
		event_add(events[i], NULL);
	}
	close(client);
	loop_run_ready(engine.loop);
	assert_false(heard);

	kill(keeper, SIGKILL);
	assert_int_equal(waitpid(keeper, NULL, 0), keeper);
	for (int i = 0; i < SUCCESSORS; i++)
	{
		int fd = event_get_fd(events[i]);

		event_free(events[i]);
		close(fd);
	}
	api_server_free(server);
	fake_engine_end(&engine);
	event_base_free(engine.loop);
	assert_int_equal(rmdir(directory), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_client_that_has_gone_is_not_heard_through_a_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
