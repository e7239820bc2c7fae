/*
 * Clients that go without a word: reset connections, killed processes, connections of which only the server's half is
 * left, and probes that connect and say nothing. They themselves see nothing of the server any more; the others must
 * not notice, and the money must be right.
 */
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HALF_OPEN_NAME "torture half-open"
#define HALF_OPEN_MAX  CLIENT_SESSIONS_MAX

typedef enum Parting
{
	PARTING_RESET,
	PARTING_KILLED,
	PARTING_HALF_OPEN,
} Parting;

/* What the one who goes was doing. Each in the middle of it, with accounts that nobody else touches. */
static void
begin_something(Client *client, PGconn *session)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "SELECT transfer(%" PRId64 ", %" PRId64 ", 7)", client_own_account(client),
			 client_own_account(client));
	switch (client_draw(client, 4))
	{
		case 0: /* nothing */
			break;
		case 1: /* a statement under way */
			PQsendQuery(session, sql);
			break;
		case 2: /* rows that it does not read */
			PQsendQuery(session, "SELECT repeat('x', 1000) FROM generate_series(1, 20000)");
			break;
		default: /* a COPY that does not end */
			PQclear(PQexec(session, "COPY told FROM STDIN"));
			PQputCopyData(session, "9999\t1\t", 7);
			PQflush(session);
			break;
	}
}

/* The connection is gone, and nobody told the server: as if the client's host had lost its power. */
static void
drop_silently(Client *client, int fd)
{
	int yes = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &yes, sizeof(yes)) < 0)
		client_fail(client, "cannot drop a connection silently: %s", strerror(errno));
	close(fd);
}

/* In a child of its own, because libpq would say goodbye. Tells its parent the backend's PID when that stays behind. */
static void __attribute__((noreturn)) vanish(Client *client, Parting parting, int report_fd)
{
	struct linger reset = {.l_onoff = 1};
	const char *encryption = client_draw(client, 3) == 0 ? "sslmode=require" : "";
	char more[100];
	PGconn *session;
	int backend;
	int fd;

	snprintf(more, sizeof(more), "%s%s", encryption,
			 parting == PARTING_HALF_OPEN ? " application_name='" HALF_OPEN_NAME "'" : "");
	session = client_connect(client, more);
	backend = PQbackendPID(session);
	fd = PQsocket(session);
	/* Only from a session that is idle: another one would keep the machine awake until the kernel gives the client up.
	 */
	if (parting != PARTING_HALF_OPEN)
		begin_something(client, session);
	client_think(client);
	if (parting == PARTING_HALF_OPEN)
	{
		if (write(report_fd, &backend, sizeof(backend)) != sizeof(backend))
			client_fail(client, "cannot tell the backend's PID");
		drop_silently(client, fd);
	}
	else if (parting == PARTING_RESET)
	{
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	else
		kill(getpid(), SIGKILL);
	_exit(EXIT_SUCCESS);
}

/*
 * Ends what only the server still believes in, as an administrator would. A number alone does not tell whose it is: the
 * backend may have ended by itself, and a restored server gives its number away soon.
 */
static void
end_half_open(Client *client)
{
	PGconn *session = client_session(client, 0, "");
	char sql[300];

	for (int i = 0; i < HALF_OPEN_MAX; i++)
	{
		if (client->memory[i] == 0)
			continue;
		snprintf(sql, sizeof(sql),
				 "SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 60000) AS ended FROM pg_stat_activity "
				 "WHERE pid = %" PRId64 " AND application_name = '" HALF_OPEN_NAME "') AS half WHERE NOT ended",
				 client->memory[i]);
		if (client_number(client, session, sql) != 0)
			client_fail(client, "the half-open session of backend %" PRId64 " does not end", client->memory[i]);
		client->memory[i] = 0;
	}
}

/* Remembers a backend until its place is needed again. */
static void
keep_half_open(Client *client, int backend)
{
	int place = 0;

	while (place < HALF_OPEN_MAX && client->memory[place] != 0)
		place++;
	if (place == HALF_OPEN_MAX)
	{
		end_half_open(client);
		place = 0;
	}
	client->memory[place] = backend;
}

static void
turn_vanish(Client *client)
{
	Parting parting = (Parting) client_draw(client, 3);
	int status;
	int backend = 0;
	int ends[2];
	pid_t child;

	if (pipe(ends) != 0)
		client_fail(client, "pipe: %s", strerror(errno));
	client_draw(client,
				2); /* the child goes on with the generator from here, and the parent draws other numbers then */
	child = fork();
	if (child < 0)
		client_fail(client, "fork: %s", strerror(errno));
	if (child == 0)
		vanish(client, parting, ends[1]);
	close(ends[1]);
	if (read(ends[0], &backend, sizeof(backend)) == sizeof(backend))
		keep_half_open(client, backend);
	close(ends[0]);
	waitpid(child, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) != EXIT_SUCCESS)
		client_fail(client, "the one who was to vanish has failed");
}

/* Connects by TCP and says nothing, or too little to be a client; its end comes in both ways. */
static void
turn_probe(Client *client)
{
	PQconninfoOption *options = PQconninfoParse(client->conninfo, NULL);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(5432)};
	struct linger reset = {.l_onoff = 1};
	struct timeval timeout = {.tv_sec = 60};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (PQconninfoOption *option = options; option->keyword != NULL; option++)
		if (strcmp(option->keyword, "hostaddr") == 0)
			address.sin_addr.s_addr = option->val != NULL ? inet_addr(option->val) : 0;
	PQconninfoFree(options);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	client_wait_begin(client, "tcp");
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) != 0)
		client_fail(client, "connect: %s", strerror(errno));
	client_wait_end(client, "tcp");
	if (client_draw(client, 2) == 0)
		client_think(client);
	if (client_draw(client, 3) == 0 && send(fd, "\0\0", 2, MSG_NOSIGNAL) != 2)
		client_fail(client, "send: %s", strerror(errno));
	if (client_draw(client, 2) == 0)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

const ClientKind client_kinds_vanish[] = {
	{"vanish", turn_vanish},
	{"probe", turn_probe},
	{0},
};
