/* Programs that users run inside a machine. Each holds the machine awake until it has ended. */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/pidref.h"
#include "base/text.h"
#include "engine/engine_private.h"
#include "engine/machine_secrets.h"
#include "host/launch.h"

#define HANGUP_GRACE_MS 5000
#define WAKE_TIMEOUT_MS (10 * 60 * 1000)

struct EngineExec
{
	Engine *engine;
	char name_space[NAME_MAX_BYTES + 1]; /* by name: the machine may be deleted meanwhile */
	char name[NAME_MAX_BYTES + 1];
	PidRef process;
	struct event *kill_timer;
	EngineExecSpec spec; /* its own copy; `exited` is NULL when the client has gone */
	EngineWait *wait;	 /* while the machine comes from disk */
	bool running;
};

static const char *const *
exec_copy_strings(const char *const *strings)
{
	char **copy;
	size_t count = 0;

	if (strings == NULL)
		return NULL;
	while (strings[count] != NULL)
		count++;
	copy = memory_allocate((count + 1) * sizeof(char *));
	for (size_t i = 0; i < count; i++)
		copy[i] = memory_duplicate(strings[i]);
	return (const char *const *) copy;
}

static void
exec_free_strings(const char *const *strings)
{
	for (size_t i = 0; strings != NULL && strings[i] != NULL; i++)
		free((char *) strings[i]);
	free((void *) strings);
}

static void
exec_free(EngineExec *exec)
{
	event_free(exec->kill_timer);
	pidref_close(&exec->process);
	exec_free_strings(exec->spec.argv);
	exec_free_strings(exec->spec.environment);
	free(exec);
}

/* Idling counts from the end of the last program. */
static void
exec_release_hold(EngineExec *exec)
{
	Machine *machine = engine_find_machine(exec->engine, exec->name_space, exec->name);

	if (machine == NULL || machine->holds == 0)
		return;
	machine->holds--;
	machine->awake_since_ns = clock_monotonic_ns();
	machine_check_idle(machine);
}

static void
exec_handle_end(void *context, pid_t pid, int status)
{
	EngineExec *exec = context;

	(void) pid;
	exec_release_hold(exec);
	if (exec->spec.exited != NULL)
		exec->spec.exited(exec->spec.context, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	exec_free(exec);
}

static void
exec_handle_grace(evutil_socket_t fd, short what, void *context)
{
	EngineExec *exec = context;

	(void) fd;
	(void) what;
	(void) pidref_kill(&exec->process, SIGKILL, NULL);
}

static bool
environment_is_named(const char *assignment, const char *name)
{
	size_t length = strlen(name);

	return strncmp(assignment, name, length) == 0 && assignment[length] == '=';
}

/*
 * The machine's own environment, and what the user's terminal adds. The first of a name is the one that getenv(3)
 * finds, so the image's come last. The strings are borrowed.
 */
static const char **
exec_environment(const Machine *machine, const MachineSecrets *secrets, const char *const *extra)
{
	const AppSpec *spec = &machine->spec;
	char **image = machine->image_config.environment;
	const char **environment;
	size_t count = spec->environment_count;

	for (size_t i = 0; image != NULL && image[i] != NULL; i++)
		count++;
	for (size_t i = 0; extra != NULL && extra[i] != NULL; i++)
		count++;
	environment = memory_allocate((count + 1) * sizeof(char *));
	count = 0;
	for (size_t i = 0; i < spec->environment_count; i++)
	{
		bool replaced = false;

		for (size_t k = 0; extra != NULL && extra[k] != NULL; k++)
			replaced = replaced || environment_is_named(extra[k], spec->environment[i].name);
		if (!replaced)
			environment[count++] = secrets->environment[i];
	}
	for (size_t i = 0; extra != NULL && extra[i] != NULL; i++)
		environment[count++] = extra[i];
	for (size_t i = 0; image != NULL && image[i] != NULL; i++)
		environment[count++] = image[i];
	return environment;
}

/* Wakes the machine if it sleeps. 1: it comes, later. -EBUSY when it is in no phase in which something can run. */
static int
exec_ensure_awake(Machine *machine, Error *err)
{
	switch (machine->phase)
	{
		case PHASE_READY:
		case PHASE_BOOTING:
			return 0;
		case PHASE_STOPPED:
		case PHASE_ERROR:
		case PHASE_STOPPING:
		case PHASE_DELETING:
			return error_set(err, -EBUSY, "machine %s: is %s; nothing can run inside now", machine->label,
							 phase_name(machine->phase));
		default:
			machine_dispatch(machine, EVENT_WAKE, "exec");
			return machine->phase == PHASE_READY ? 0 : 1;
	}
}

static int
exec_launch(Machine *machine, const EngineExecSpec *spec, PidRef *ret_process, Error *err)
{
	LaunchExecSpec launch = {.cgroups = machine->engine->cgroups,
							 .cgroup = machine->group,
							 .machine_pid = machine->process.pid,
							 .argv = spec->argv,
							 .working_directory = machine->image_config.working_directory,
							 .uid = machine->image_config.uid,
							 .gid = machine->image_config.gid,
							 .stdin_fd = spec->stdin_fd,
							 .stdout_fd = spec->stdout_fd,
							 .stderr_fd = spec->stderr_fd,
							 .terminal = spec->terminal};
	MachineSecrets *secrets = NULL;
	const char **environment;
	pid_t pid = 0;
	int result = machine_secrets_resolve(machine, true, &secrets, err);

	if (result < 0)
		return result;
	environment = exec_environment(machine, secrets, spec->environment);
	launch.environment = environment;
	result = launch_exec(&launch, &pid, err);
	free(environment);
	machine_secrets_free(secrets);
	/* Nothing reaps before the loop runs again: even one that has ended already is still there to be opened. */
	return result < 0 ? result : pidref_open(pid, ret_process, err);
}

/* Launches the program, or says why it could not be. False: the exec is gone. */
static bool
exec_start(EngineExec *exec, Machine *machine)
{
	Error error = {0};
	int result = exec_launch(machine, &exec->spec, &exec->process, &error);

	if (result < 0)
	{
		exec->spec.started(exec->spec.context, result, &error);
		exec_free(exec);
		return false;
	}
	exec->running = true;
	machine->holds++;
	child_watch(exec->process.pid, exec_handle_end, exec);
	exec->spec.started(exec->spec.context, 0, &error);
	return true;
}

static void
exec_machine_came(void *context, int result, struct json_t *body, const Error *err)
{
	EngineExec *exec = context;
	Machine *machine = engine_find_machine(exec->engine, exec->name_space, exec->name);

	(void) body;
	exec->wait = NULL;
	/* It may sleep again by the time this is called; then it is woken as any sleeping one. */
	if (result == 0 && machine != NULL && exec_ensure_awake(machine, NULL) == 0)
	{
		exec_start(exec, machine);
		return;
	}
	exec->spec.started(exec->spec.context, result < 0 ? result : -EBUSY, err);
	exec_free(exec);
}

EngineExec *
engine_exec(Engine *engine, const EngineExecSpec *spec)
{
	Machine *machine = engine_find_machine(engine, spec->name_space, spec->name);
	EngineExec *exec;
	Error error = {0};
	int result;

	if (machine == NULL)
		result = error_set(&error, -ENOENT, "machine %s/%s: not found", spec->name_space, spec->name);
	else
		result = engine_check_open(engine, &error);
	if (machine != NULL && result == 0)
		result = exec_ensure_awake(machine, &error);
	if (result < 0)
	{
		spec->started(spec->context, result, &error);
		return NULL;
	}
	exec = memory_allocate(sizeof(*exec));
	exec->engine = engine;
	memcpy(exec->name_space, machine->spec.name_space, sizeof(exec->name_space));
	memcpy(exec->name, machine->spec.name, sizeof(exec->name));
	exec->process = PIDREF_NONE;
	exec->spec = *spec;
	exec->spec.argv = exec_copy_strings(spec->argv);
	exec->spec.environment = exec_copy_strings(spec->environment);
	exec->kill_timer = evtimer_new(engine->loop, exec_handle_grace, exec);
	if (result == 0)
		return exec_start(exec, machine) ? exec : NULL;
	exec->wait = machine_wait(machine, WAIT_RUNNING, NULL, WAKE_TIMEOUT_MS, exec_machine_came, exec);
	return exec;
}

void
engine_exec_cancel(EngineExec *exec)
{
	if (exec->wait != NULL)
		engine_wait_cancel(exec->wait);
	if (!exec->running)
	{
		exec_free(exec);
		return;
	}
	exec->spec.exited = NULL;
	(void) pidref_kill(&exec->process, SIGHUP, NULL);
	machine_start_timer(exec->kill_timer, HANGUP_GRACE_MS);
}
