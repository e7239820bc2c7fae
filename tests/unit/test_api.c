/* The API's pure parts: frames, routes, statuses, the count of connections. Everything else: tests/cli. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/connections.h"
#include "api/frame.h"
#include "api/route.h"
#include "api/status.h"

/* ---- frames ---- */

static void
test_frame_headers_are_big_endian(void **state)
{
	static const uint8_t expected[FRAME_HEADER_BYTES] = {1, 0, 0, 0x12, 0x34};
	uint8_t bytes[FRAME_HEADER_BYTES];
	FrameHeader header;

	(void) state;
	frame_header_write(FRAME_STDOUT, 0x1234, bytes);
	assert_memory_equal(bytes, expected, sizeof(expected));
	assert_true(frame_header_read(bytes, &header));
	assert_int_equal(header.type, FRAME_STDOUT);
	assert_int_equal(header.payload_bytes, 0x1234);
}

/* Each type at the edges of what its payload may be. */
static void
test_frames_have_limits(void **state)
{
	static const struct
	{
		uint8_t type;
		uint32_t bytes;
		bool good;
	} cases[] = {
		{FRAME_STDIN, 0, true},			 {FRAME_STDIN, 65536, true},
		{FRAME_STDIN, 65537, false},	 {FRAME_STDERR, 65536, true},
		{FRAME_RESIZE, 4, true},		 {FRAME_RESIZE, 3, false},
		{FRAME_RESIZE, 5, false},		 {FRAME_EXIT, 4, true},
		{FRAME_EXIT, 0, false},			 {FRAME_STDIN_EOF, 0, true},
		{FRAME_STDIN_EOF, 1, false},	 {FRAME_ERROR, 65536, true},
		{FRAME_STDIN_EOF + 1, 0, false}, {255, 0, false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint8_t bytes[FRAME_HEADER_BYTES];
		FrameHeader header;

		frame_header_write((FrameType) cases[i].type, cases[i].bytes, bytes);
		assert_int_equal(frame_header_read(bytes, &header), cases[i].good);
	}
	assert_false(frame_header_read((const uint8_t[]){FRAME_STDIN, 0xff, 0xff, 0xff, 0xff}, &(FrameHeader){0}));
}

static void
test_frame_payloads_read_back(void **state)
{
	static const uint8_t expected[4] = {0, 24, 1, 0x40};
	uint8_t payload[4];
	FrameSize size;

	(void) state;
	frame_size_write((FrameSize){.rows = 24, .columns = 320}, payload);
	assert_memory_equal(payload, expected, sizeof(expected));
	size = frame_size_read(payload);
	assert_int_equal(size.rows, 24);
	assert_int_equal(size.columns, 320);
	for (int status = 0; status <= 255; status++)
	{
		frame_exit_write(status, payload);
		assert_int_equal(frame_exit_read(payload), status);
	}
}

/* ---- routes ---- */

static void
test_routes_give_parameters(void **state)
{
	RouteMatch match;
	Error error;

	(void) state;
	assert_int_equal(route_find("GET", "/v1/namespaces/a%20b/machines/c/logs", &match, &error), 0);
	assert_string_equal(match.route->pattern, "/v1/namespaces/{ns}/machines/{name}/logs");
	assert_int_equal(match.parameter_count, 2);
	assert_string_equal(match.parameters[0].name, "ns");
	assert_string_equal(match.parameters[0].value, "a b");
	assert_string_equal(match.parameters[1].value, "c");
	assert_int_equal(route_find("GET", "/v1/apps", &match, &error), 0);
	assert_int_equal(match.parameter_count, 0);
}

static void
test_paths_that_are_not_there(void **state)
{
	static const char *const paths[] = {
		"", "/", "v1/apps", "/v1/apps/", "/v1/app", "/v1/appss", "/v1/namespaces/a/apps"};
	RouteMatch match;
	Error error;

	(void) state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(route_find("GET", paths[i], &match, &error), -ENOENT);
	assert_int_equal(route_find("GET", "/v1/namespaces/%00/apps/x", &match, &error), -EINVAL);
	assert_int_equal(route_find("PUT", "/v1/images", &match, &error), -EOPNOTSUPP);
	assert_string_equal(match.allow, "GET, POST, DELETE");
}

/* Otherwise the first would hide the second. */
static void
test_no_two_routes_are_the_same(void **state)
{
	(void) state;
	for (size_t i = 0; i < api_route_count; i++)
	{
		RouteMatch match;
		Error error;

		assert_non_null(api_routes[i].handle);
		assert_int_equal(route_find(api_routes[i].method, api_routes[i].pattern, &match, &error), 0);
		assert_ptr_equal(match.route, &api_routes[i]);
		assert_true(strlen(api_routes[i].summary) > 0);
	}
}

/* ---- statuses ---- */

static void
test_statuses(void **state)
{
	(void) state;
	assert_int_equal(api_status_find(-ENOENT)->http, 404);
	assert_int_equal(api_status_find(-EBUSY)->http, 409);
	assert_string_equal(api_status_find(-EBUSY)->code, "busy");
	assert_int_equal(api_status_find(-EEXIST)->http, 409);
	assert_int_equal(api_status_find(-ETIMEDOUT)->http, 504);
	assert_int_equal(api_status_find(-EFBIG)->http, 413);
	assert_int_equal(api_status_find(-EIO)->http, 500);
	assert_int_equal(api_status_find(-ENOSPC)->http, 500);
	for (size_t i = 0; i < api_status_count; i++)
		assert_string_not_equal(api_status_phrase(api_statuses[i].http), "Unknown");
}

/* ---- connections ---- */

static void
test_closed_connections_make_room(void **state)
{
	ConnectionTable *table = connection_table_new(2);
	int first[2];
	int second[2];

	(void) state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, first), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, second), 0);
	assert_true(connection_table_add(table, first[0]));
	assert_true(connection_table_add(table, first[1]));
	assert_false(connection_table_add(table, second[0]));
	close(first[0]);
	assert_true(connection_table_add(table, second[0]));
	assert_false(connection_table_add(table, second[1]));
	/* The same number is another connection by now. */
	close(first[1]);
	assert_int_equal(dup2(second[1], first[1]), first[1]);
	assert_true(connection_table_add(table, second[1]));
	assert_true(connection_table_add(table, -1));
	close(first[1]);
	close(second[0]);
	close(second[1]);
	connection_table_free(table);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_headers_are_big_endian),
		cmocka_unit_test(test_frames_have_limits),
		cmocka_unit_test(test_frame_payloads_read_back),
		cmocka_unit_test(test_routes_give_parameters),
		cmocka_unit_test(test_paths_that_are_not_there),
		cmocka_unit_test(test_no_two_routes_are_the_same),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_closed_connections_make_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
