/*
 * A gate's pure parts: the plan and its file, which is not trusted; the commands of its table; what a segment wants and
 * how it is answered; the frames that are kept.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/file.h"
#include "host/gate.h"
#include "host/gate_frames.h"
#include "host/gate_segment.h"
#include "host/gate_table.h"

static char directory[] = "/tmp/lttle-test-gate-plan-XXXXXX";
static char path[64];

static void
write_plan(const char *text)
{
	assert_int_equal(file_replace(path, text, strlen(text), 0600, NULL), 0);
}

static void
address_v4(const char *text, uint16_t port, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *) ret_address;

	*ret_address = (struct sockaddr_storage){.ss_family = AF_INET};
	v4->sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, text, &v4->sin_addr), 1);
}

static void
address_v6(const char *text, uint16_t port, struct sockaddr_storage *ret_address)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) ret_address;

	*ret_address = (struct sockaddr_storage){.ss_family = AF_INET6};
	v6->sin6_port = htons(port);
	assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
}

/* One session of each kind, and two ports. */
static void
make_plan(GatePlan *ret_plan)
{
	GatePlan plan = {.session_count = 3, .port_count = 2};

	plan.sessions = calloc(plan.session_count, sizeof(GateSession));
	plan.ports = calloc(plan.port_count, sizeof(GatePort));
	address_v4("10.88.0.5", 5432, &plan.sessions[0].local);
	address_v4("10.88.0.1", 51234, &plan.sessions[0].peer);
	plan.sessions[0].sequence_known = true;
	plan.sessions[0].receive_next = UINT32_MAX;
	plan.sessions[0].send_known = true;
	plan.sessions[0].send_next = 7;
	address_v6("fd00::5", 5432, &plan.sessions[1].local);
	address_v6("fd00::1", 51235, &plan.sessions[1].peer);
	address_v6("::ffff:10.88.0.5", 5432, &plan.sessions[2].local);
	address_v6("::ffff:10.88.0.1", 51236, &plan.sessions[2].peer);
	address_v4("0.0.0.0", 5432, &plan.ports[0].address);
	plan.ports[0].backlog = 200;
	address_v6("::", 5433, &plan.ports[1].address);
	plan.ports[1].backlog = 1;
	plan.ports[1].v6_only = true;
	*ret_plan = plan;
}

static void
test_plan_survives_its_file(void **state)
{
	GatePlan plan;
	GatePlan loaded = {0};
	char *text;
	Error err = {0};

	(void) state;
	make_plan(&plan);
	assert_int_equal(gate_plan_save(&plan, path, &err), 0);
	assert_int_equal(file_read(path, 4096, &text, NULL, &err), 0);
	assert_string_equal(text, "{\"version\":1,\"sessions\":["
							  "{\"local\":\"10.88.0.5:5432\",\"peer\":\"10.88.0.1:51234\",\"next\":4294967295,"
							  "\"sent\":7},"
							  "{\"local\":\"[fd00::5]:5432\",\"peer\":\"[fd00::1]:51235\"},"
							  "{\"local\":\"[::ffff:10.88.0.5]:5432\",\"peer\":\"[::ffff:10.88.0.1]:51236\"}],"
							  "\"ports\":[{\"address\":\"0.0.0.0:5432\",\"v6-only\":false,\"backlog\":200},"
							  "{\"address\":\"[::]:5433\",\"v6-only\":true,\"backlog\":1}]}");
	free(text);
	if (gate_plan_load(path, &loaded, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(loaded.session_count, plan.session_count);
	assert_int_equal(loaded.port_count, plan.port_count);
	assert_memory_equal(loaded.sessions, plan.sessions, plan.session_count * sizeof(GateSession));
	assert_memory_equal(loaded.ports, plan.ports, plan.port_count * sizeof(GatePort));
	gate_plan_clear(&loaded);
	gate_plan_clear(&plan);
	gate_plan_clear(&plan);
}

static void
test_empty_plan(void **state)
{
	GatePlan plan = {0};
	Text script = {0};

	(void) state;
	assert_int_equal(gate_plan_save(&plan, path, NULL), 0);
	assert_int_equal(gate_plan_load(path, &plan, NULL), 0);
	assert_int_equal(plan.session_count + plan.port_count, 0);
	gate_table_script_close(&plan, &script);
	assert_null(strstr(text_string(&script), "elements"));
	text_clear(&script);
	gate_plan_clear(&plan);
}

#define PORT	"{\"address\":\"0.0.0.0:5432\",\"v6-only\":false,\"backlog\":200}"
#define SESSION "{\"local\":\"10.88.0.5:5432\",\"peer\":\"10.88.0.1:51234\"}"

static void
test_bad_files_are_refused(void **state)
{
	static const struct
	{
		const char *text;
		const char *message; /* after the path */
	} bad[] = {
		{"", ": line 1: '[' or '{' expected near end of file"},
		{"[]", ": is not {version, sessions, ports}"},
		{"{\"version\":1,\"sessions\":{},\"ports\":[]}", ": is not {version, sessions, ports}"},
		{"{\"version\":1,\"sessions\":[],\"ports\":[],\"more\":1}", ": is not {version, sessions, ports}"},
		{"{\"version\":2,\"sessions\":[],\"ports\":[]}", ": version 2 is not known"},
		{"{\"version\":1,\"version\":1,\"sessions\":[],\"ports\":[]}",
		 ": line 1: duplicate object key near '\"version\"'"},
		{"{\"version\":1,\"sessions\":[5],\"ports\":[]}", ": session 0: is not {local, peer, next, sent}"},
		{"{\"version\":1,\"sessions\":[" SESSION ",{\"local\":\"10.88.0.5:5432\"}],\"ports\":[]}",
		 ": session 1: is not {local, peer, next, sent}"},
		{"{\"version\":1,\"sessions\":[{\"local\":\"10.88.0.5\",\"peer\":\"10.88.0.1:1\"}],\"ports\":[]}",
		 ": session 0: '10.88.0.1:1' to '10.88.0.5' is no connection"},
		{"{\"version\":1,\"sessions\":[{\"local\":\"10.88.0.5:1\",\"peer\":\"[::1]:1\"}],\"ports\":[]}",
		 ": session 0: '[::1]:1' to '10.88.0.5:1' is no connection"},
		{"{\"version\":1,\"sessions\":[{\"local\":\"10.88.0.5:0\",\"peer\":\"10.88.0.1:1\"}],\"ports\":[]}",
		 ": session 0: '10.88.0.1:1' to '10.88.0.5:0' is no connection"},
		{"{\"version\":1,\"sessions\":[{\"local\":\"10.88.0.5:1\",\"peer\":\"10.88.0.1:65536\"}],\"ports\":[]}",
		 ": session 0: '10.88.0.1:65536' to '10.88.0.5:1' is no connection"},
		{"{\"version\":1,\"sessions\":[{\"local\":\"10.88.0.5:1\",\"peer\":\"10.88.0.1:1 }; flush "
		 "ruleset\"}],\"ports\":[]}",
		 ": session 0: '10.88.0.1:1 }; flush ruleset' to '10.88.0.5:1' is no connection"},
		{"{\"version\":1,\"sessions\":[{\"local\":\"[::1\",\"peer\":\"[]:1\"}],\"ports\":[]}",
		 ": session 0: '[]:1' to '[::1' is no connection"},
		{"{\"version\":1,\"sessions\":[{\"local\":\":1\",\"peer\":\"\"}],\"ports\":[]}",
		 ": session 0: '' to ':1' is no connection"},
		{"{\"version\":1,\"sessions\":[{\"local\":\"10.88.0.5:1\",\"peer\":\"10.88.0.1:1\",\"next\":4294967296}],"
		 "\"ports\":[]}",
		 ": session 0: next is no sequence number"},
		{"{\"version\":1,\"sessions\":[{\"local\":\"10.88.0.5:1\",\"peer\":\"10.88.0.1:1\",\"next\":-1}],\"ports\":[]}",
		 ": session 0: next is no sequence number"},
		{"{\"version\":1,\"sessions\":[{\"local\":\"10.88.0.5:1\",\"peer\":\"10.88.0.1:1\",\"sent\":\"1\"}],"
		 "\"ports\":[]}",
		 ": session 0: sent is no sequence number"},
		{"{\"version\":1,\"sessions\":[],\"ports\":[{\"address\":\"x:1\",\"v6-only\":false,\"backlog\":5}]}",
		 ": port 0: 'x:1' is no address with a port"},
		{"{\"version\":1,\"sessions\":[],\"ports\":[{\"address\":\"0.0.0.0:1\",\"v6-only\":false,\"backlog\":0}]}",
		 ": port 0: backlog 0 is not between 1 and 65535"},
		{"{\"version\":1,\"sessions\":[],\"ports\":[{\"address\":\"0.0.0.0:1\",\"v6-only\":1,\"backlog\":5}]}",
		 ": port 0: is not {address, v6-only, backlog}"},
		{"{\"version\":1,\"sessions\":[],\"ports\":[" PORT "," PORT "]}", ": ports 0 and 1 are the same"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		GatePlan plan = {.session_count = 99};
		Error err = {0};

		write_plan(bad[i].text);
		assert_int_equal(gate_plan_load(path, &plan, &err), -EBADMSG);
		assert_string_equal(err.message + strlen(path), bad[i].message);
		assert_int_equal(plan.session_count, 99);
		assert_int_equal(gate_plan_load(path, &plan, NULL), -EBADMSG);
	}
}

static void
test_missing_file(void **state)
{
	GatePlan plan;

	(void) state;
	unlink(path);
	assert_int_equal(gate_plan_load(path, &plan, NULL), -ENOENT);
}

static void
test_table_script(void **state)
{
	GatePlan plan;
	Text script = {0};

	(void) state;
	make_plan(&plan);
	gate_table_script_close(&plan, &script);
	/* The peer comes first, and what is IPv4 on the wire is IPv4 in the table. */
	assert_non_null(strstr(text_string(&script), "elements = { 10.88.0.1 . 51234 . 10.88.0.5 . 5432,\n"
												 "10.88.0.1 . 51236 . 10.88.0.5 . 5432 }\n"));
	assert_non_null(strstr(text_string(&script), "elements = { fd00::1 . 51235 . fd00::5 . 5432 }\n"));
	assert_non_null(strstr(text_string(&script), "elements = { 5432, 5433 }\n"));
	text_clear(&script);
	gate_plan_clear(&plan);
}

/* From real sockets: every connection, one port for two listeners on the same address. */
static void
test_plan_from_sockets(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MachineSocket sockets[4];
	SocketSet set = {.sockets = sockets, .count = 4};
	GatePlan plan;
	Error err = {0};

	(void) state;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 77), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &size), 0);
	assert_int_equal(connect(client, (struct sockaddr *) &address, sizeof(address)), 0);
	sockets[0] = (MachineSocket){.fd = listener, .kind = SOCKET_LISTENER};
	sockets[1] = (MachineSocket){.fd = accept(listener, NULL, NULL), .kind = SOCKET_CONNECTION};
	size = sizeof(sockets[1].peer);
	assert_int_equal(getpeername(sockets[1].fd, (struct sockaddr *) &sockets[1].peer, &size), 0);
	sockets[2] = sockets[0];
	sockets[3] = (MachineSocket){.fd = -1, .kind = SOCKET_UNIX_CONNECTION};
	if (gate_plan_from_sockets(&set, &plan, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(plan.port_count, 1);
	assert_int_equal(plan.ports[0].backlog, 77);
	assert_memory_equal(&plan.ports[0].address, &address, sizeof(address));
	assert_int_equal(plan.session_count, 1);
	assert_memory_equal(&plan.sessions[0].local, &address, sizeof(address));
	assert_memory_equal(&plan.sessions[0].peer, &sockets[1].peer, sizeof(address));
	gate_plan_clear(&plan);
	/* The connection works as before. */
	assert_int_equal(send(client, "x", 1, MSG_NOSIGNAL), 1);
	assert_int_equal(recv(sockets[1].fd, &(char){0}, 1, 0), 1);
	close(sockets[1].fd);
	close(listener);
	close(client);
}

/* ---- segments ---- */

#define NEXT 1000u

typedef struct TestFrame
{
	unsigned char bytes[160];
	size_t size;
	unsigned char *tcp;
} TestFrame;

/* A segment of 10.88.0.1:51234 to 10.88.0.5:5432, or the same over IPv6, with time stamps. */
static void
make_frame(bool v6, uint32_t sequence, unsigned flags, const void *payload, size_t payload_bytes, TestFrame *ret_frame)
{
	static const unsigned char ethernet[12] = {2, 0, 10, 88, 0, 5, 2, 1, 10, 88, 0, 5};
	unsigned char *ip = ret_frame->bytes + 14;
	uint16_t tcp_bytes = (uint16_t) (32 + payload_bytes);

	memset(ret_frame, 0, sizeof(*ret_frame));
	memcpy(ret_frame->bytes, ethernet, sizeof(ethernet));
	ret_frame->tcp = ip + (v6 ? 40 : 20);
	ret_frame->size = (size_t) (ret_frame->tcp - ret_frame->bytes) + tcp_bytes;
	if (v6)
	{
		memcpy(ret_frame->bytes + 12, "\x86\xdd\x60", 3);
		memcpy(ip + 4, &(uint16_t){htons(tcp_bytes)}, 2);
		ip[6] = IPPROTO_TCP;
		inet_pton(AF_INET6, "fd00::1", ip + 8);
		inet_pton(AF_INET6, "fd00::5", ip + 24);
	}
	else
	{
		memcpy(ret_frame->bytes + 12, "\x08\x00\x45", 3);
		memcpy(ip + 2, &(uint16_t){htons((uint16_t) (20 + tcp_bytes))}, 2);
		ip[9] = IPPROTO_TCP;
		inet_pton(AF_INET, "10.88.0.1", ip + 12);
		inet_pton(AF_INET, "10.88.0.5", ip + 16);
	}
	memcpy(ret_frame->tcp, &(uint16_t){htons(51234)}, 2);
	memcpy(ret_frame->tcp + 2, &(uint16_t){htons(5432)}, 2);
	memcpy(ret_frame->tcp + 4, &(uint32_t){htonl(sequence)}, 4);
	memcpy(ret_frame->tcp + 8, &(uint32_t){htonl(7777)}, 4);
	ret_frame->tcp[12] = 8 << 4;
	ret_frame->tcp[13] = (unsigned char) flags;
	memcpy(ret_frame->tcp + 20, "\1\1\x08\x0a\0\0\0\x11\0\0\0\x22", 12);
	memcpy(ret_frame->tcp + 32, payload, payload_bytes);
}

static void
test_segments_are_judged(void **state)
{
	static const struct
	{
		uint32_t sequence;
		unsigned flags;
		const char *payload;
		size_t payload_bytes;
		GateVerdict verdict;
		GateVerdict unknown; /* when the sequence number isn't known */
	} cases[] = {
		{NEXT, 0x10, "", 0, GATE_IGNORE, GATE_IGNORE},
		{NEXT - 1, 0x10, "", 0, GATE_ANSWER, GATE_IGNORE},
		{NEXT - 1, 0x10, "\0", 1, GATE_ANSWER, GATE_KNOCK},
		{NEXT - 5, 0x18, "Q\0\0\0\4", 5, GATE_ANSWER, GATE_KNOCK},
		{NEXT - 5, 0x18, "Q\0\0\0\4Q", 6, GATE_KNOCK, GATE_KNOCK},
		{NEXT, 0x18, "Q", 1, GATE_KNOCK, GATE_KNOCK},
		{NEXT + 9, 0x18, "Q", 1, GATE_KNOCK, GATE_KNOCK},
		{NEXT, 0x18, "X\0\0\0\4", 5, GATE_KEEP, GATE_KEEP},
		{NEXT, 0x19, "X\0\0\0\4", 5, GATE_KEEP, GATE_KEEP},
		{NEXT, 0x18, "X\0\0\0\4Q", 6, GATE_KNOCK, GATE_KNOCK},
		{NEXT, 0x18, "X\0\0\0", 4, GATE_KNOCK, GATE_KNOCK},
		{NEXT, 0x11, "", 0, GATE_KEEP, GATE_KEEP},
		{NEXT - 1, 0x11, "", 0, GATE_ANSWER, GATE_KEEP},
		{NEXT, 0x04, "", 0, GATE_KEEP, GATE_KEEP},
		{NEXT, 0x02, "", 0, GATE_IGNORE, GATE_IGNORE},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		TestFrame frame = {0};
		GateSegment segment;
		uint32_t next = NEXT;
		uint32_t wrapped = 2;

		make_frame(i % 2 == 0, cases[i].sequence, cases[i].flags, cases[i].payload, cases[i].payload_bytes, &frame);
		assert_true(gate_segment_parse(frame.bytes, frame.size, &segment));
		assert_int_equal(segment.payload_bytes, cases[i].payload_bytes);
		assert_int_equal(gate_segment_judge(&segment, &next), cases[i].verdict);
		assert_int_equal(gate_segment_judge(&segment, NULL), cases[i].unknown);
		/* The same where sequence numbers begin anew. */
		segment.sequence = segment.sequence - NEXT + wrapped;
		assert_int_equal(gate_segment_judge(&segment, &wrapped), cases[i].verdict);
	}
}

static void
test_padding_is_no_payload(void **state)
{
	TestFrame frame = {0};
	GateSegment segment;

	(void) state;
	make_frame(false, NEXT, 0x10, "", 0, &frame);
	assert_true(gate_segment_parse(frame.bytes, frame.size + 6, &segment));
	assert_int_equal(segment.payload_bytes, 0);
	assert_int_equal(((struct sockaddr_in *) &segment.sender)->sin_port, htons(51234));
	assert_int_equal(((struct sockaddr_in *) &segment.receiver)->sin_port, htons(5432));
	assert_true(segment.has_stamps);
	assert_int_equal(segment.stamp, 0x11);
	assert_int_equal(segment.stamp_echo, 0x22);
}

/* Cut anywhere and with any byte changed, a frame is read within its bounds (the sanitizers watch) or not at all. */
static void
test_torn_frames(void **state)
{
	(void) state;
	for (int v6 = 0; v6 < 2; v6++)
	{
		TestFrame frame = {0};
		GateSegment segment;

		make_frame(v6 == 1, NEXT, 0x18, "Query", 5, &frame);
		for (size_t size = 0; size < frame.size; size++)
		{
			unsigned char *copy = malloc(size == 0 ? 1 : size);

			memcpy(copy, frame.bytes, size);
			assert_false(gate_segment_parse(copy, size, &segment));
			free(copy);
		}
		for (size_t at = 0; at < frame.size; at++)
		{
			for (unsigned value = 0; value < 256; value++)
			{
				unsigned char *copy = malloc(frame.size);

				memcpy(copy, frame.bytes, frame.size);
				copy[at] = (unsigned char) value;
				if (gate_segment_parse(copy, frame.size, &segment))
					assert_true(segment.payload + segment.payload_bytes <= copy + frame.size);
				free(copy);
			}
		}
	}
}

/* The sum over a range with its own checksum in it is all ones. */
static uint16_t
sum_of(const unsigned char *bytes, size_t size, uint32_t sum)
{
	for (size_t i = 0; i < size; i += 2)
		sum += (uint32_t) bytes[i] << 8 | (i + 1 < size ? bytes[i + 1] : 0);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) sum;
}

static void
test_answer(void **state)
{
	(void) state;
	for (int v6 = 0; v6 < 2; v6++)
	{
		TestFrame frame = {0};
		GateSegment probe;
		GateSegment segment;
		unsigned char answer[GATE_ANSWER_BYTES];
		size_t size;
		size_t ip_bytes = v6 == 1 ? 40 : 20;

		make_frame(v6 == 1, NEXT - 1, 0x10, "", 0, &frame);
		assert_true(gate_segment_parse(frame.bytes, frame.size, &probe));
		size = gate_segment_answer(frame.bytes, &probe, NEXT, answer);
		assert_int_equal(size, 14 + ip_bytes + 32);
		assert_true(gate_segment_parse(answer, size, &segment));
		assert_memory_equal(answer, frame.bytes + 6, 6);
		assert_memory_equal(answer + 6, frame.bytes, 6);
		assert_memory_equal(&segment.sender, &probe.receiver, sizeof(segment.sender));
		assert_memory_equal(&segment.receiver, &probe.sender, sizeof(segment.sender));
		assert_int_equal(segment.sequence, 7777);
		assert_int_equal(segment.acknowledged, NEXT);
		assert_true(segment.ack && !segment.fin && !segment.rst && !segment.syn);
		assert_int_equal(segment.payload_bytes, 0);
		assert_int_equal(segment.stamp, 0x22);
		assert_int_equal(segment.stamp_echo, 0x11);
		if (v6 == 0)
			assert_int_equal(sum_of(answer + 14, 20, 0), 0xffff);
		assert_int_equal(sum_of(answer + 14 + (v6 == 1 ? 8 : 12), size - 14 - (v6 == 1 ? 8 : 12), IPPROTO_TCP + 32),
						 0xffff);
	}
}

/* ---- kept frames ---- */

static void
test_frames_are_bounded(void **state)
{
	static unsigned char bytes[60000];
	GateFrames frames = {0};
	GateFrame frame = {.bytes = bytes, .size = 100, .payload_bytes = 10};
	size_t kept = 0;

	(void) state;
	assert_true(gate_frames_keep(&frames, &frame));
	assert_false(gate_frames_keep(&frames, &frame)); /* sent again */
	frame.session = 1;
	assert_true(gate_frames_keep(&frames, &frame));
	for (uint32_t i = 1; i < 20; i++)
	{
		frame.sequence = i;
		assert_int_equal(gate_frames_keep(&frames, &frame), i < GATE_FRAMES_MAX_PER_SESSION);
	}
	frame.size = sizeof(bytes);
	for (frame.session = 2; frame.session < 100; frame.session++)
		kept += gate_frames_keep(&frames, &frame);
	assert_int_equal(kept, 4);
	assert_true(frames.bytes <= GATE_FRAMES_MAX_BYTES);
	gate_frames_clear(&frames);
	assert_int_equal(frames.count + frames.bytes, 0);
	assert_true(gate_frames_keep(&frames, &frame));
	gate_frames_clear(&frames);
}

static int
group_setup(void **state)
{
	(void) state;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/gate.json", directory);
	return 0;
}

static int
group_teardown(void **state)
{
	(void) state;
	return file_remove_tree(directory, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan_survives_its_file),
		cmocka_unit_test(test_empty_plan),
		cmocka_unit_test(test_bad_files_are_refused),
		cmocka_unit_test(test_missing_file),
		cmocka_unit_test(test_table_script),
		cmocka_unit_test(test_plan_from_sockets),
		cmocka_unit_test(test_segments_are_judged),
		cmocka_unit_test(test_padding_is_no_payload),
		cmocka_unit_test(test_torn_frames),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_frames_are_bounded),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
