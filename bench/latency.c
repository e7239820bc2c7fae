/*
 * Measures what a client waits for: the time from its first byte to the first row. Speaks PostgreSQL's protocol over a
 * plain socket, so that nothing of a driver is in the figures. The server must let the user in without a password.
 *
 * usage: latency ADDRESS PORT USER DATABASE
 *
 * Reads commands from standard input, one a line, and answers each with one line, nanoseconds or "ok":
 *   connect   a new connection and `select 1`; from before connect(2) to the row. The connection is then closed.
 *   await     the same, tried again every millisecond until a server answers; from the first try to the row
 *   open      opens the session that `query` uses
 *   query     `select 1` on that session; from before send(2) to the row
 *   sql TEXT  any statement on that session; from before send(2) to its first row
 *   close     closes the session
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_MAX_BYTES 65536
#define WAIT_SECONDS	  600
#define LINE_MAX_BYTES	  1024
#define PING			  "select 1"

static struct sockaddr_in server;
static const char *user;
static const char *database;

/* While a server is awaited, what goes wrong means that it isn't there yet. */
static bool awaiting;
static jmp_buf next_try;
static int tried_fd = -1;

static void __attribute__((noreturn)) fail(const char *what)
{
	if (awaiting)
		longjmp(next_try, 1);
	fprintf(stderr, "latency: %s: %s\n", what, errno != 0 ? strerror(errno) : "unexpected end");
	exit(EXIT_FAILURE);
}

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

static void
send_all(int fd, const char *bytes, size_t size)
{
	if (send(fd, bytes, size, MSG_NOSIGNAL) != (ssize_t) size)
		fail("send");
}

static void
receive_all(int fd, char *bytes, size_t size)
{
	while (size > 0)
	{
		ssize_t got;

		errno = 0;
		got = recv(fd, bytes, size, 0);
		if (got <= 0)
			fail("receive");
		bytes += got;
		size -= (size_t) got;
	}
}

/* Reads one message and returns its type; its text is in `body`, ended by NUL. */
static char
receive_message(int fd, char body[MESSAGE_MAX_BYTES])
{
	char head[5];
	uint32_t length;

	receive_all(fd, head, sizeof(head));
	memcpy(&length, head + 1, sizeof(length));
	length = ntohl(length) - 4;
	if (length >= MESSAGE_MAX_BYTES)
		fail("a message is too long");
	receive_all(fd, body, length);
	body[length] = '\0';
	if (head[0] == 'E')
	{
		if (awaiting)
			longjmp(next_try, 1);
		fprintf(stderr, "latency: the server says: %s\n", body + 1);
		exit(EXIT_FAILURE);
	}
	return head[0];
}

/* Reads up to a message of this type. */
static void
receive_until(int fd, char type)
{
	char body[MESSAGE_MAX_BYTES];

	while (receive_message(fd, body) != type)
		;
}

static size_t
append_text(char *message, size_t at, const char *text)
{
	size_t size = strlen(text) + 1;

	if (at + size > 1024)
		fail("a name is too long");
	memcpy(message + at, text, size);
	return at + size;
}

static void
send_startup(int fd)
{
	char message[1025] = {0, 0, 0, 0, 0, 3, 0, 0};
	size_t size = 8;
	uint32_t length;

	size = append_text(message, size, "user");
	size = append_text(message, size, user);
	size = append_text(message, size, "database");
	size = append_text(message, size, database);
	size++; /* a NUL ends the list */
	length = htonl((uint32_t) size);
	memcpy(message, &length, sizeof(length));
	send_all(fd, message, size);
}

static void
send_query(int fd, const char *text)
{
	char message[5 + LINE_MAX_BYTES] = "Q";
	uint32_t length = htonl((uint32_t) (4 + strlen(text) + 1)); /* its NUL belongs to it */

	memcpy(message + 1, &length, sizeof(length));
	memcpy(message + 5, text, strlen(text) + 1);
	send_all(fd, message, 5 + strlen(text) + 1);
}

static int
session_open(void)
{
	struct timeval limit = {.tv_sec = WAIT_SECONDS};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	tried_fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *) &server, sizeof(server)) < 0)
		fail("connect");
	send_startup(fd);
	receive_until(fd, 'Z'); /* ReadyForQuery */
	return fd;
}

/* Ends a session in order and waits until the server has, too. */
static void
session_close(int fd)
{
	char ignored[64];

	send_all(fd, "X\0\0\0\4", 5);
	while (recv(fd, ignored, sizeof(ignored), 0) > 0)
		;
	close(fd);
}

/* From before the query to its row; then on to the end of its answer. */
static void
query_first_row(int fd, const char *text)
{
	send_query(fd, text);
	receive_until(fd, 'D');
}

static uint64_t
measure_connect(void)
{
	uint64_t begin_ns = now_ns();
	int fd = session_open();
	uint64_t took_ns;

	query_first_row(fd, PING);
	took_ns = now_ns() - begin_ns;
	receive_until(fd, 'Z');
	session_close(fd);
	return took_ns;
}

static uint64_t
measure_await(void)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	/* Kept over the jump. */
	static uint64_t begin_ns;
	uint64_t took_ns;

	begin_ns = now_ns();
	awaiting = true;
	if (setjmp(next_try) != 0)
	{
		close(tried_fd);
		if (now_ns() - begin_ns > WAIT_SECONDS * UINT64_C(1000000000))
		{
			awaiting = false;
			fail("no server answers");
		}
		nanosleep(&pause, NULL);
	}
	session_open();
	query_first_row(tried_fd, PING);
	took_ns = now_ns() - begin_ns;
	awaiting = false;
	receive_until(tried_fd, 'Z');
	session_close(tried_fd);
	return took_ns;
}

static uint64_t
measure_query(int fd, const char *text)
{
	uint64_t begin_ns = now_ns();
	uint64_t took_ns;

	query_first_row(fd, text);
	took_ns = now_ns() - begin_ns;
	receive_until(fd, 'Z');
	return took_ns;
}

int
main(int argc, char **argv)
{
	char line[LINE_MAX_BYTES];
	int session_fd = -1;

	if (argc != 5 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
	{
		fputs("usage: latency ADDRESS PORT USER DATABASE\n", stderr);
		return EXIT_FAILURE;
	}
	server.sin_family = AF_INET;
	server.sin_port = htons((uint16_t) strtoul(argv[2], NULL, 10));
	user = argv[3];
	database = argv[4];
	while (fgets(line, sizeof(line), stdin) != NULL)
	{
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line, "connect") == 0)
			printf("%llu\n", (unsigned long long) measure_connect());
		else if (strcmp(line, "await") == 0)
			printf("%llu\n", (unsigned long long) measure_await());
		else if (strcmp(line, "query") == 0 && session_fd >= 0)
			printf("%llu\n", (unsigned long long) measure_query(session_fd, PING));
		else if (strncmp(line, "sql ", 4) == 0 && session_fd >= 0)
			printf("%llu\n", (unsigned long long) measure_query(session_fd, line + 4));
		else if (strcmp(line, "open") == 0 && session_fd < 0)
		{
			session_fd = session_open();
			puts("ok");
		}
		else if (strcmp(line, "close") == 0 && session_fd >= 0)
		{
			session_close(session_fd);
			session_fd = -1;
			puts("ok");
		}
		else
			fail(line);
		fflush(stdout);
	}
	return EXIT_SUCCESS;
}
