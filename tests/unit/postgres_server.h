/*
 * A PostgreSQL 15 of Debian's for the tests of coordinator/postgres: in a directory of its own, on a Unix socket there,
 * as a user without privileges, with passwords asked for and every statement logged. It ends with the test, however
 * that ends.
 */
#ifndef TESTS_POSTGRES_SERVER_H
#define TESTS_POSTGRES_SERVER_H

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"
#include "base/text.h"
#include "postgres/connection.h"

#define SERVER_PROGRAMS "/usr/lib/postgresql/15/bin/"
#define SERVER_PASSWORD "pass word"

typedef struct PostgresServer
{
	char directory[64];
	pid_t pid;
} PostgresServer;

/* The one of a test program. */
static PostgresServer server;

/* Runs a program as the user of the server; it gets the signal when we die. */
static inline pid_t
server_spawn(const char *const *argv, int death_signal)
{
	char log[96];
	pid_t pid, parent = getpid();

	snprintf(log, sizeof(log), "%s/log", server.directory);
	pid = fork();
	if (pid == 0)
	{
		const struct passwd *user = getpwnam("postgres");
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

		if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
			_exit(125);
		if (geteuid() == 0 &&
			(user == NULL || setgroups(0, NULL) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0))
			_exit(126);
		/* After setuid(2), which would undo it. */
		prctl(PR_SET_PDEATHSIG, death_signal);
		if (getppid() != parent)
			_exit(124);
		execv(argv[0], (char *const *) argv);
		_exit(127);
	}
	return pid;
}

static inline bool
server_run_initdb(void)
{
	char data[96], password[96];
	const char *const argv[] = {
		SERVER_PROGRAMS "initdb", "--pgdata",  data,		 "--pwfile", password,	 "--username", "postgres", "--auth",
		"scram-sha-256",		  "--no-sync", "--encoding", "UTF8",	 "--locale", "C.UTF-8",	   NULL};
	FILE *file;
	int status = -1;

	snprintf(data, sizeof(data), "%s/data", server.directory);
	snprintf(password, sizeof(password), "%s/password", server.directory);
	file = fopen(password, "we");
	if (file == NULL)
		return false;
	fprintf(file, "%s\n", SERVER_PASSWORD);
	fclose(file);
	waitpid(server_spawn(argv, SIGKILL), &status, 0);
	return status == 0;
}

/* Starts and ends it for all tests of the program; what it said is in the log of the directory. */
static inline int
server_set_up(void **state)
{
	const struct passwd *user = getpwnam("postgres");
	char data[96];
	const char *const argv[] = {SERVER_PROGRAMS "postgres",
								"-D",
								data,
								"-k",
								server.directory,
								"-c",
								"listen_addresses=",
								"-c",
								"fsync=off",
								"-c",
								"shared_buffers=8MB",
								"-c",
								"log_statement=all",
								"-c",
								"log_min_duration_statement=0",
								"-c",
								"max_connections=40",
								NULL};

	(void) state;
	strcpy(server.directory, "/tmp/lttle-unit-XXXXXX");
	if (mkdtemp(server.directory) == NULL ||
		(geteuid() == 0 && (user == NULL || chown(server.directory, user->pw_uid, user->pw_gid) < 0)) ||
		!server_run_initdb())
		return -1;
	snprintf(data, sizeof(data), "%s/data", server.directory);
	/* SIGQUIT: at once, without a checkpoint. */
	server.pid = server_spawn(argv, SIGQUIT);
	return server.pid > 0 ? 0 : -1;
}

static inline int
server_tear_down(void **state)
{
	const char *const argv[] = {"rm", "-rf", server.directory, NULL};
	Error err;

	(void) state;
	if (server.pid > 0 && kill(server.pid, SIGQUIT) == 0)
		waitpid(server.pid, NULL, 0);
	if (process_run(argv, 30000, NULL, &err) < 0)
		fprintf(stderr, "%s\n", err.message);
	return 0;
}

static inline PostgresTarget
server_target(void)
{
	return (PostgresTarget){.host = server.directory,
							.port = 5432,
							.user = "postgres",
							.password = SERVER_PASSWORD,
							.database = "postgres"};
}

static inline uint64_t
server_deadline(unsigned seconds)
{
	return clock_monotonic_ns() + seconds * NS_PER_SECOND;
}

/* All that the server has logged. The caller frees. */
static inline char *
server_log(void)
{
	Text text = {0};
	char path[96], buffer[4096];
	FILE *file;
	size_t size;

	snprintf(path, sizeof(path), "%s/log", server.directory);
	file = fopen(path, "re");
	while (file != NULL && (size = fread(buffer, 1, sizeof(buffer), file)) > 0)
		text_append_bytes(&text, buffer, size);
	if (file != NULL)
		fclose(file);
	text_append(&text, "");
	return text.data;
}

#endif
