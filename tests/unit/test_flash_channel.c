/*
 * The coordinator's end of the flash channel, against real sockets: who is heard, what a bad or silent worker does to
 * itself, and that nothing it does harms its successor.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "engine/flash_channel.h"
#include "loop.h"

static struct event_base *loop;
static FlashChannel *channel;
static char directory[64];
static char path[80];

static struct
{
	unsigned messages;
	unsigned lost;
	char last_text[64]; /* value of HELLO, READY or TEST of the last message */
	char problem[128];
} heard;

static void
note_message(void *context, const LttleFlashMessage *message)
{
	static const char *const keys[] = {"HELLO", "READY", "TEST"};

	assert_ptr_equal(context, &heard);
	heard.messages++;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
	{
		const char *value = lttle_flash_message_get(message, keys[i]);

		if (value != NULL)
			snprintf(heard.last_text, sizeof(heard.last_text), "%s=%s", keys[i], value);
	}
}

static void
note_lost(void *context, const char *problem)
{
	assert_ptr_equal(context, &heard);
	heard.lost++;
	snprintf(heard.problem, sizeof(heard.problem), "%s", problem == NULL ? "(end)" : problem);
}

static const FlashChannelHandlers handlers = {.message = note_message, .lost = note_lost, .context = &heard};

static int
begin(void **state)
{
	(void) state;
	memset(&heard, 0, sizeof(heard));
	strcpy(directory, "/tmp/lttle-test-flash-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/flash.sock", directory);
	loop = event_base_new();
	return flash_channel_open(loop, path, getuid(), getgid(), &handlers, &channel, NULL);
}

static int
end(void **state)
{
	(void) state;
	flash_channel_close(channel);
	channel = NULL;
	event_base_free(loop);
	return file_remove_tree(directory, NULL);
}

static int
try_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int
connect_worker(void)
{
	int fd = try_connect();

	assert_true(fd >= 0);
	loop_run_ready(loop);
	return fd;
}

static void
say_bytes(int fd, const void *bytes, size_t size)
{
	assert_int_equal(send(fd, bytes, size, MSG_NOSIGNAL), size);
	loop_run_ready(loop);
}

static void
say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

/* What the coordinator has sent; "" when it has hung up. */
static const char *
listen_to(int fd)
{
	static char text[LTTLE_FLASH_MAX_BYTES + 1];
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	ssize_t got;

	assert_int_equal(poll(&readable, 1, 10000), 1);
	got = recv(fd, text, sizeof(text) - 1, 0);
	/* A close with unread input in its queue shows as a reset. */
	text[got > 0 ? got : 0] = '\0';
	return text;
}

static bool
is_hung_up(int fd)
{
	return listen_to(fd)[0] == '\0';
}

static LttleFlashWriter
message_of(const char *key, const char *value)
{
	LttleFlashWriter writer;

	lttle_flash_writer_begin(&writer);
	lttle_flash_writer_add(&writer, key, value);
	return writer;
}

static void
test_socket_is_the_servers(void **state)
{
	struct stat status;

	(void) state;
	assert_int_equal(stat(path, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(status.st_uid, getuid());
}

static void
test_hello_makes_a_worker(void **state)
{
	LttleFlashWriter writer = message_of("HELLO", "1");
	_cleanup_fd_ int worker = -1;

	(void) state;
	assert_false(flash_channel_is_connected(channel));
	worker = connect_worker();
	assert_false(flash_channel_is_connected(channel)); /* connected, but has not said who it is */
	assert_int_equal(flash_channel_send(channel, &writer, NULL), -ENOTCONN);
	say(worker, "HELLO=1\nVERSION=1\n");
	assert_true(flash_channel_is_connected(channel));
	assert_int_equal(heard.messages, 1);
	assert_string_equal(heard.last_text, "HELLO=1");
	assert_int_equal(flash_channel_send(channel, &writer, NULL), 0);
	assert_string_equal(listen_to(worker), "HELLO=1\n");
	say(worker, "READY=1\n");
	assert_string_equal(heard.last_text, "READY=1");
	assert_int_equal(heard.messages, 2);
	assert_int_equal(heard.lost, 0);
}

static void
test_worker_that_leaves(void **state)
{
	LttleFlashWriter writer = message_of("TEST", "1");
	int worker = connect_worker();

	(void) state;
	say(worker, "HELLO=1\n");
	close(worker);
	loop_run_ready(loop);
	assert_int_equal(heard.lost, 1);
	assert_string_equal(heard.problem, "(end)");
	assert_false(flash_channel_is_connected(channel));
	assert_int_equal(flash_channel_send(channel, &writer, NULL), -ENOTCONN);
	/* Its place is free for the next. */
	worker = connect_worker();
	say(worker, "HELLO=1\n");
	assert_true(flash_channel_is_connected(channel));
	close(worker);
}

static void
test_first_message_must_be_hello(void **state)
{
	_cleanup_fd_ int stranger = connect_worker();

	(void) state;
	say(stranger, "READY=1\n");
	assert_true(is_hung_up(stranger));
	assert_int_equal(heard.messages, 0);
	assert_int_equal(heard.lost, 0); /* it never was the worker */
}

static void
test_garbage_closes(void **state)
{
	static const struct
	{
		const char *bytes;
		size_t size;
		const char *problem;
	} cases[] = {
		{"no equals sign", 14, "a line has no '='"},
		{"lower=1\n", 8, "a key is not made of A-Z, 0-9 and '_'"},
		{"TEST=1\nTEST=2\n", 14, "a key stands twice"},
		{"TEST=\0\n", 7, "the message contains a NUL byte"},
		{"\xff\xfe\x00\x01", 4, "the message contains a NUL byte"},
		{"\n", 1, "a line has no '='"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		_cleanup_fd_ int worker = connect_worker();

		heard.lost = 0;
		heard.messages = 0;
		say(worker, "HELLO=1\n");
		say_bytes(worker, cases[i].bytes, cases[i].size);
		assert_true(is_hung_up(worker));
		assert_int_equal(heard.messages, 1);
		assert_int_equal(heard.lost, 1);
		assert_string_equal(heard.problem, cases[i].problem);
		assert_false(flash_channel_is_connected(channel));
	}
}

static void
test_too_many_fields_close(void **state)
{
	_cleanup_fd_ int worker = connect_worker();
	char text[LTTLE_FLASH_MAX_BYTES] = "";

	(void) state;
	say(worker, "HELLO=1\n");
	for (int i = 0; i <= LTTLE_FLASH_MAX_FIELDS; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "K%d=1\n", i);
	say(worker, text);
	assert_true(is_hung_up(worker));
	assert_string_equal(heard.problem, "there are too many fields");
}

/* The longest message is taken, one byte more is not: not even its beginning. */
static void
test_length_has_a_limit(void **state)
{
	_cleanup_fd_ int worker = connect_worker();
	char text[LTTLE_FLASH_MAX_BYTES + 1];

	(void) state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "TEST=", 5);
	say(worker, "HELLO=1\n");
	say_bytes(worker, text, LTTLE_FLASH_MAX_BYTES);
	assert_int_equal(heard.messages, 2);
	assert_int_equal(heard.lost, 0);
	say_bytes(worker, text, LTTLE_FLASH_MAX_BYTES + 1);
	assert_int_equal(heard.messages, 2);
	assert_int_equal(heard.lost, 1);
	assert_string_equal(heard.problem, "a message is too long");
	assert_true(is_hung_up(worker));
}

/* A worker that starts anew may come before its predecessor's end is seen. */
static void
test_new_worker_replaces_the_old(void **state)
{
	LttleFlashWriter writer = message_of("TEST", "for the new one");
	_cleanup_fd_ int old = connect_worker();
	_cleanup_fd_ int new = -1;

	(void) state;
	say(old, "HELLO=1\n");
	new = connect_worker();
	assert_int_equal(heard.messages, 1);
	say(old, "READY=1\n"); /* a mere connection replaces nobody */
	assert_int_equal(heard.messages, 2);
	say(new, "HELLO=2\n");
	assert_string_equal(heard.last_text, "HELLO=2");
	assert_true(is_hung_up(old));
	assert_int_equal(heard.lost, 0); /* there was a worker all the time */
	assert_int_equal(flash_channel_send(channel, &writer, NULL), 0);
	assert_string_equal(listen_to(new), "TEST=for the new one\n");
	say(new, "READY=2\n");
	assert_string_equal(heard.last_text, "READY=2");
}

/* Connections that say nothing fill the few places; whoever comes then is sent away, and comes back. */
static void
test_too_many_peers(void **state)
{
	int peers[4];
	_cleanup_fd_ int fifth = -1;
	_cleanup_fd_ int sixth = -1;

	(void) state;
	for (size_t i = 0; i < 4; i++)
		peers[i] = connect_worker();
	say(peers[0], "HELLO=1\n");
	fifth = connect_worker();
	assert_true(is_hung_up(fifth));
	assert_true(flash_channel_is_connected(channel)); /* the worker is not touched */
	say(peers[0], "READY=1\n");
	assert_int_equal(heard.messages, 2);
	close(peers[2]);
	loop_run_ready(loop);
	sixth = connect_worker();
	say(sixth, "HELLO=6\n");
	assert_string_equal(heard.last_text, "HELLO=6");
	for (size_t i = 0; i < 4; i++)
		if (i != 2)
			close(peers[i]);
}

/* A worker that does not read must not block the coordinator: it is dropped when its queue is full. */
static void
test_full_queue_drops_the_worker(void **state)
{
	LttleFlashWriter writer = message_of("TEST", "again");
	_cleanup_fd_ int worker = connect_worker();
	_cleanup_fd_ int next = -1;
	unsigned sent = 0;
	Error error;
	int result;

	(void) state;
	say(worker, "HELLO=1\n");
	while ((result = flash_channel_send(channel, &writer, &error)) == 0 && sent < 1000000)
		sent++;
	assert_int_equal(result, -EAGAIN);
	assert_true(sent > 0);
	assert_non_null(strstr(error.message, "the extension cannot be reached"));
	assert_int_equal(heard.lost, 1);
	assert_string_equal(heard.problem, "it does not read its messages");
	assert_false(flash_channel_is_connected(channel));
	next = connect_worker();
	say(next, "HELLO=2\n");
	assert_true(flash_channel_is_connected(channel));
}

static void
test_overflown_message_is_not_sent(void **state)
{
	_cleanup_fd_ int worker = connect_worker();
	char longer[LTTLE_FLASH_MAX_BYTES + 1];
	LttleFlashWriter writer;

	(void) state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	writer = message_of("TEST", longer);
	say(worker, "HELLO=1\n");
	assert_int_equal(flash_channel_send(channel, &writer, NULL), -EMSGSIZE);
	assert_true(flash_channel_is_connected(channel));
}

/* What a killed coordinator left at the path is replaced; what a closed one had is gone. */
static void
test_open_replaces_and_close_removes(void **state)
{
	FlashChannel *second = NULL;
	FlashChannelHandlers others = handlers;
	struct stat status;
	_cleanup_fd_ int worker = connect_worker();

	(void) state;
	say(worker, "HELLO=1\n");
	assert_int_equal(flash_channel_open(loop, path, getuid(), getgid(), &others, &second, NULL), 0);
	flash_channel_close(second);
	assert_int_equal(stat(path, &status), -1);
	assert_true(flash_channel_is_connected(channel)); /* that connection has nothing to do with the path */
	flash_channel_close(channel);
	channel = NULL;
	assert_true(is_hung_up(worker));
	assert_int_equal(heard.lost, 0); /* whoever closes knows it */
	assert_int_equal(try_connect(), -1);
}

/* For a machine that goes to disk: nobody connects from its freeze on, and who does at its wake is heard in time. */
static void
test_refusing_and_listening_again(void **state)
{
	int worker = connect_worker();
	int next;

	(void) state;
	say(worker, "HELLO=1\n");
	assert_false(flash_channel_refuses(channel));
	flash_channel_refuse(channel);
	assert_true(flash_channel_refuses(channel));
	assert_int_equal(try_connect(), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_true(flash_channel_is_connected(channel));
	say(worker, "TEST=still\n");
	assert_string_equal(heard.last_text, "TEST=still");
	close(worker);
	loop_run_ready(loop);
	assert_int_equal(heard.lost, 1);
	flash_channel_refuse(channel);
	flash_channel_accept(channel);
	assert_int_equal(try_connect(), -1);

	assert_int_equal(flash_channel_listen(channel, NULL), 0);
	next = connect_worker();
	say(next, "HELLO=2\n");
	assert_false(flash_channel_is_connected(channel));
	assert_int_equal(heard.messages, 2);
	flash_channel_accept(channel);
	flash_channel_accept(channel);
	loop_run_ready(loop);
	loop_run_ready(loop);
	assert_string_equal(heard.last_text, "HELLO=2");
	assert_true(flash_channel_is_connected(channel));
	close(next);
	flash_channel_refuse(NULL);
}

static void
test_open_says_why_not(void **state)
{
	FlashChannel *none = NULL;
	char longer[200];
	Error error;

	(void) state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(flash_channel_open(loop, longer, getuid(), getgid(), &handlers, &none, &error), -ENAMETOOLONG);
	assert_int_equal(flash_channel_open(loop, "/nonexistent/flash.sock", getuid(), getgid(), &handlers, &none, &error),
					 -ENOENT);
	assert_non_null(strstr(error.message, "flash channel /nonexistent/flash.sock: bind"));
	assert_null(none);
	flash_channel_close(NULL);
	assert_false(flash_channel_is_connected(NULL));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_socket_is_the_servers, begin, end),
		cmocka_unit_test_setup_teardown(test_hello_makes_a_worker, begin, end),
		cmocka_unit_test_setup_teardown(test_worker_that_leaves, begin, end),
		cmocka_unit_test_setup_teardown(test_first_message_must_be_hello, begin, end),
		cmocka_unit_test_setup_teardown(test_garbage_closes, begin, end),
		cmocka_unit_test_setup_teardown(test_too_many_fields_close, begin, end),
		cmocka_unit_test_setup_teardown(test_length_has_a_limit, begin, end),
		cmocka_unit_test_setup_teardown(test_new_worker_replaces_the_old, begin, end),
		cmocka_unit_test_setup_teardown(test_too_many_peers, begin, end),
		cmocka_unit_test_setup_teardown(test_full_queue_drops_the_worker, begin, end),
		cmocka_unit_test_setup_teardown(test_overflown_message_is_not_sent, begin, end),
		cmocka_unit_test_setup_teardown(test_open_replaces_and_close_removes, begin, end),
		cmocka_unit_test_setup_teardown(test_refusing_and_listening_again, begin, end),
		cmocka_unit_test_setup_teardown(test_open_says_why_not, begin, end),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(120); /* nothing here may hang for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
