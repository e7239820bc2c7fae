/* SO_REUSEPORT for every socket that a control group binds, by BPF; see port_share.h. */
#include "host/port_share.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define VALUE_OFFSET (-4) /* on the program's stack */

/* bpf_setsockopt(context, SOL_SOCKET, SO_REUSEPORT, &(int){1}, 4); return 1 (go on). The context is in register 1. */
static const struct bpf_insn share_program[] = {
	{.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .off = VALUE_OFFSET, .imm = 1},
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = SOL_SOCKET},
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = SO_REUSEPORT},
	{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_4, .src_reg = BPF_REG_10},
	{.code = BPF_ALU64 | BPF_ADD, .dst_reg = BPF_REG_4, .imm = VALUE_OFFSET},
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_5, .imm = sizeof(int32_t)},
	{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_setsockopt},
	{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
	{.code = BPF_JMP | BPF_EXIT},
};

static int
attach(int group_fd, enum bpf_attach_type type, Error *err)
{
	union bpf_attr load = {
		.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
		.expected_attach_type = type,
		.insns = (uint64_t) (uintptr_t) share_program,
		.insn_cnt = sizeof(share_program) / sizeof(share_program[0]),
		.license = (uint64_t) (uintptr_t) "", /* nothing here asks for one */
	};
	_cleanup_fd_ int program_fd = (int) syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
	union bpf_attr place = {
		.target_fd = (uint32_t) group_fd, .attach_bpf_fd = (uint32_t) program_fd, .attach_type = type};

	if (program_fd < 0)
		return error_set_errno(err, errno, "load the program that shares ports");
	/* Without flags it takes the place of the one before. */
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &place, sizeof(place)) < 0)
		return error_set_errno(err, errno, "attach the program that shares ports");
	return 0;
}

int
port_share_enable(const CgroupHierarchy *cgroups, const char *group, Error *err)
{
	char path[PATH_MAX];
	_cleanup_fd_ int group_fd = -1;
	int result = cgroup_freezer_path(cgroups, group, path, err);

	if (result < 0)
		return result;
	group_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (group_fd < 0)
		return error_set_errno(err, errno, "%s", path);
	result = attach(group_fd, BPF_CGROUP_INET4_BIND, err);
	if (result == 0)
		result = attach(group_fd, BPF_CGROUP_INET6_BIND, err);
	if (result < 0)
		error_prefix(err, "control group %s", group);
	return result;
}
