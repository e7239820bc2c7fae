/* The BPF program, its ring, and who reads it; see listen_watch.h, and the kernel's bpf/ringbuf.rst. */
#include "host/listen_watch.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define RECORD_OFFSET (-8) /* on the program's stack */
#define RECORD_BYTES  8
#define RING_STEP	  (BPF_RINGBUF_HDR_SZ + RECORD_BYTES)
#define RING_BYTES	  4096 /* a page, the least there is; it is full with one record less than fits */
#define WATCH_NAME	  "lttle_listen"

_Static_assert(RING_BYTES / RING_STEP == LISTEN_WATCH_MAX + 1, "the ring holds as many as its header says");

struct ListenWatch
{
	int ring_fd;
	const unsigned char *pages; /* the producer's position, then the data */
	size_t page_bytes;
	size_t known; /* reported already */
	struct event *event;
	ListenNoticed noticed;
	void *context;
};

static int
bpf(enum bpf_cmd command, union bpf_attr *attributes)
{
	return (int) syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

static int
open_group(const CgroupHierarchy *cgroups, const char *group, int *ret_fd, Error *err)
{
	char path[PATH_MAX];
	int fd;
	int result = cgroup_freezer_path(cgroups, group, path, err);

	if (result < 0)
		return result;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, errno, "%s", path);
	*ret_fd = fd;
	return 0;
}

/* ---- the program ---- */

/*
 * if (context->op == TCP_LISTEN_CB) ringbuf_output(ring, &(uint64_t){context->local_port}, 8, FORCE_WAKEUP); return 1.
 * The reader never catches up in the kernel's eyes, hence the forced wake-up.
 */
static int
load_program(int ring_fd, int *ret_fd, Error *err)
{
	const struct bpf_insn program[] = {
		{.code = BPF_LDX | BPF_MEM | BPF_W,
		 .dst_reg = BPF_REG_2,
		 .src_reg = BPF_REG_1,
		 .off = offsetof(struct bpf_sock_ops, op)},
		{.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = BPF_REG_2, .off = 9, .imm = BPF_SOCK_OPS_TCP_LISTEN_CB},
		{.code = BPF_LDX | BPF_MEM | BPF_W,
		 .dst_reg = BPF_REG_3,
		 .src_reg = BPF_REG_1,
		 .off = offsetof(struct bpf_sock_ops, local_port)},
		{.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .src_reg = BPF_REG_3, .off = RECORD_OFFSET},
		{.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = ring_fd},
		{0}, /* the second half of the map's address */
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10},
		/* NOLINTNEXTLINE(misc-redundant-expression): both are 0, and say what they are */
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = RECORD_OFFSET},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = RECORD_BYTES},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4, .imm = BPF_RB_FORCE_WAKEUP},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ringbuf_output},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_SOCK_OPS,
		.insns = (uint64_t) (uintptr_t) program,
		.insn_cnt = sizeof(program) / sizeof(program[0]),
		.license = (uint64_t) (uintptr_t) "", /* nothing here asks for one */
		.prog_name = WATCH_NAME,
	};
	int fd = bpf(BPF_PROG_LOAD, &load);

	if (fd < 0)
		return error_set_errno(err, errno, "load the program that notices listening");
	*ret_fd = fd;
	return 0;
}

int
listen_watch_attach(const CgroupHierarchy *cgroups, const char *group, Error *err)
{
	union bpf_attr map = {.map_type = BPF_MAP_TYPE_RINGBUF, .max_entries = RING_BYTES, .map_name = WATCH_NAME};
	_cleanup_fd_ int group_fd = -1;
	_cleanup_fd_ int ring_fd = -1;
	_cleanup_fd_ int program_fd = -1;
	union bpf_attr place;
	int result = open_group(cgroups, group, &group_fd, err);

	if (result < 0)
		return result;
	ring_fd = bpf(BPF_MAP_CREATE, &map);
	if (ring_fd < 0)
		return error_set_errno(err, errno, "make the ring that notices listening");
	result = load_program(ring_fd, &program_fd, err);
	if (result < 0)
		return result;
	place = (union bpf_attr){
		.target_fd = (uint32_t) group_fd, .attach_bpf_fd = (uint32_t) program_fd, .attach_type = BPF_CGROUP_SOCK_OPS};
	/* Without flags it takes the place of the one before. */
	if (bpf(BPF_PROG_ATTACH, &place) < 0)
		return error_set_errno(err, errno, "control group %s: attach the program that notices listening", group);
	return 0;
}

int
listen_watch_detach(const CgroupHierarchy *cgroups, const char *group, Error *err)
{
	_cleanup_fd_ int group_fd = -1;
	union bpf_attr place;
	int result = open_group(cgroups, group, &group_fd, err);

	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return result;
	place = (union bpf_attr){.target_fd = (uint32_t) group_fd, .attach_type = BPF_CGROUP_SOCK_OPS};
	if (bpf(BPF_PROG_DETACH, &place) < 0 && errno != ENOENT)
		return error_set_errno(err, errno, "control group %s: detach the program that notices listening", group);
	return 0;
}

/* ---- the reader ---- */

/* From the group to its program, from that to its ring. */
static int
find_ring(int group_fd, int *ret_fd, Error *err)
{
	uint32_t program_id = 0;
	uint32_t map_id = 0;
	struct bpf_prog_info information = {.nr_map_ids = 1, .map_ids = (uint64_t) (uintptr_t) &map_id};
	union bpf_attr query = {0};
	union bpf_attr by_id;
	union bpf_attr about;
	_cleanup_fd_ int program_fd = -1;
	int fd;

	query.query.target_fd = (uint32_t) group_fd;
	query.query.attach_type = BPF_CGROUP_SOCK_OPS;
	query.query.prog_ids = (uint64_t) (uintptr_t) &program_id;
	query.query.prog_cnt = 1;
	if (bpf(BPF_PROG_QUERY, &query) < 0)
		return error_set_errno(err, errno, "find the program that notices listening");
	if (query.query.prog_cnt == 0)
		return error_set(err, -ENOENT, "no program notices listening");
	by_id = (union bpf_attr){.prog_id = program_id};
	program_fd = bpf(BPF_PROG_GET_FD_BY_ID, &by_id);
	if (program_fd < 0)
		return error_set_errno(err, errno, "open the program that notices listening");
	about = (union bpf_attr){.info = {.bpf_fd = (uint32_t) program_fd,
									  .info_len = sizeof(information),
									  .info = (uint64_t) (uintptr_t) &information}};
	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &about) < 0)
		return error_set_errno(err, errno, "ask for the ring of listening");
	if (strcmp(information.name, WATCH_NAME) != 0 || information.nr_map_ids != 1)
		return error_set(err, -ENOENT, "another program is in the place of the one that notices listening");
	by_id = (union bpf_attr){.map_id = map_id};
	fd = bpf(BPF_MAP_GET_FD_BY_ID, &by_id);
	if (fd < 0)
		return error_set_errno(err, errno, "open the ring of listening");
	*ret_fd = fd;
	return 0;
}

/* The records that are complete, in order. */
static size_t
read_ports(const ListenWatch *watch, uint16_t ports[LISTEN_WATCH_MAX])
{
	const unsigned long *producer = (const unsigned long *) (const void *) watch->pages;
	unsigned long end = __atomic_load_n(producer, __ATOMIC_ACQUIRE);
	const unsigned char *data = watch->pages + watch->page_bytes;
	size_t count = 0;

	while (count < LISTEN_WATCH_MAX && (count + 1) * RING_STEP <= end)
	{
		const unsigned char *record = data + count * RING_STEP;
		uint32_t length = __atomic_load_n((const uint32_t *) (const void *) record, __ATOMIC_ACQUIRE);
		uint64_t port;

		if (length != RECORD_BYTES) /* being written by another processor: its own wake-up follows */
			break;
		memcpy(&port, record + BPF_RINGBUF_HDR_SZ, sizeof(port));
		ports[count++] = (uint16_t) port;
	}
	return count;
}

static void
watch_handle(evutil_socket_t fd, short what, void *context)
{
	ListenWatch *watch = context;
	uint16_t ports[LISTEN_WATCH_MAX];
	size_t count = read_ports(watch, ports);

	(void) fd;
	(void) what;
	if (count <= watch->known)
		return;
	watch->known = count;
	watch->noticed(watch->context, ports, count); /* the last thing: the watch may be gone afterwards */
}

/* The page of the consumer's position comes first and is left alone, so that a mapping for reading is enough. */
static int
map_ring(ListenWatch *watch, Error *err)
{
	void *pages;

	watch->page_bytes = (size_t) sysconf(_SC_PAGESIZE);
	pages =
		mmap(NULL, watch->page_bytes + RING_BYTES, PROT_READ, MAP_SHARED, watch->ring_fd, (off_t) watch->page_bytes);
	if (pages == MAP_FAILED)
		return error_set_errno(err, errno, "map the ring of listening");
	watch->pages = pages;
	return 0;
}

int
listen_watch_open(struct event_base *loop, const CgroupHierarchy *cgroups, const char *group, ListenNoticed noticed,
				  void *context, ListenWatch **ret_watch, Error *err)
{
	_cleanup_fd_ int group_fd = -1;
	ListenWatch *watch;
	int result = open_group(cgroups, group, &group_fd, err);

	if (result < 0)
		return result;
	watch = memory_allocate(sizeof(*watch));
	*watch = (ListenWatch){.ring_fd = -1, .noticed = noticed, .context = context};
	result = find_ring(group_fd, &watch->ring_fd, err);
	if (result == 0)
		result = map_ring(watch, err);
	if (result == 0)
	{
		watch->event = event_new(loop, watch->ring_fd, EV_READ | EV_PERSIST | EV_ET, watch_handle, watch);
		if (watch->event == NULL || event_add(watch->event, NULL) < 0)
			result = error_set(err, -ENOMEM, "event loop: watch the ring of listening");
	}
	if (result < 0)
	{
		listen_watch_close(watch);
		return error_prefix(err, "control group %s", group);
	}
	event_active(watch->event, EV_READ, 0);
	*ret_watch = watch;
	return 0;
}

void
listen_watch_close(ListenWatch *watch)
{
	if (watch == NULL)
		return;
	if (watch->event != NULL)
		event_free(watch->event);
	if (watch->pages != NULL)
		munmap((void *) (uintptr_t) watch->pages, watch->page_bytes + RING_BYTES);
	if (watch->ring_fd >= 0)
		close(watch->ring_fd);
	free(watch);
}
