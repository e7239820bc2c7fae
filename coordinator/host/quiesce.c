/*
 * The last look at a frozen machine; see quiesce.h. First the facts are gathered (processes, page, wait events,
 * sockets), then a pure function decides over them.
 */
#include "host/quiesce.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

/*
 * How long a resting session's output may be on its way. The kernel goes on sending and repeating for a frozen process
 * as it does for a running one that waits, so freezing never loses output; the bound is there because a client that
 * vanished without a word (its host lost power, its link is down) keeps its data unacknowledged for up to a quarter of
 * an hour, and must not keep the machine awake for so long.
 */
#define QUIESCE_DRAIN_NS (5 * NS_PER_SECOND)
#define QUIESCE_DRAIN_MS (QUIESCE_DRAIN_NS / NS_PER_MS)

static void __attribute__((format(printf, 3, 4)))
report_busy(QuiesceReport *report, ActivityReason reason, const char *format, ...)
{
	va_list arguments;

	report->quiet = false;
	report->verdict.reason = reason;
	report->verdict.recheck_ns = 0;
	va_start(arguments, format);
	vsnprintf(report->verdict.detail, sizeof(report->verdict.detail), format, arguments);
	va_end(arguments);
}

static const ActivitySlot *
view_find_slot(const QuiesceView *view, pid_t pid)
{
	for (size_t i = 0; i < view->process_count; i++)
	{
		if (view->processes[i].pid != pid)
			continue;
		for (size_t j = 0; j < view->page->slot_count; j++)
		{
			const ActivitySlot *slot = &view->page->slots[j];

			if (slot->pid == (uint32_t) view->processes[i].inner_pid && slot->state != LTTLE_STATE_FREE)
				return slot;
		}
	}
	return NULL;
}

/*
 * The page calls a session idle from the end of one statement to the first hook of the next; its wait event tells
 * whether it still waits or has already taken the next message off the socket. One whose time-out has passed, or that
 * has a notification to deliver, waits as well until it gets the processor.
 */
static bool
sessions_rest(const QuiesceView *view, QuiesceReport *report)
{
	for (size_t i = 0; i < view->page->slot_count; i++)
	{
		const ActivitySlot *slot = &view->page->slots[i];
		const MachineProcess *process = machine_process_find(view->processes, view->process_count, slot->pid);

		if (slot->state == LTTLE_STATE_FREE || !activity_slot_is_session(slot) || process == NULL)
			continue;
		report->sessions++;
		if (slot->wait == ACTIVITY_WAIT_CLIENT && !process->signalled)
			continue;
		report_busy(report, ACTIVITY_STATEMENT,
					process->signalled ? "pid %u, has not taken a signal yet" : "pid %u, does not wait for its client",
					slot->pid);
		return false;
	}
	return true;
}

/* Where a program is about to begin, something goes on. */
static bool
processes_rest(const QuiesceView *view, QuiesceReport *report)
{
	for (size_t i = 0; i < view->process_count && report->quiet; i++)
	{
		if (view->processes[i].spawning)
			report_busy(report, ACTIVITY_WORKER, "process %d, starts a program", (int) view->processes[i].pid);
	}
	return report->quiet;
}

static bool
address_is_loopback(const struct sockaddr_storage *address)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *) address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) address;

	if (address->ss_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return address->ss_family == AF_INET6 &&
		   (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) ||
			(IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && v6->sin6_addr.s6_addr[12] == 127));
}

static uint16_t
address_port(const struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *) address)->sin_port);
	return address->ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *) address)->sin6_port) : 0;
}

/* The client's end of a connection whose server is the same machine. */
static bool
socket_is_inner_client(const QuiesceView *view, const MachineSocket *socket)
{
	const struct sockaddr_un *local = (const struct sockaddr_un *) &socket->peer;

	if (socket->kind == SOCKET_UNIX_CONNECTION)
		return socket->peer.ss_family == AF_UNIX && strstr(local->sun_path, "/.s.PGSQL.") != NULL;
	return address_is_loopback(&socket->peer) && socket_set_listens_on(view->sockets, address_port(&socket->peer));
}

/* A connection of a resting session. */
static bool
session_socket_rests(const QuiesceView *view, const MachineSocket *socket, const ActivitySlot *slot,
					 QuiesceReport *report)
{
	bool outgoing = socket->kind == SOCKET_CONNECTION && !socket_set_listens_on(view->sockets, socket->local_port);
	uint64_t rest_ns = slot->since_ns < view->policy->now_ns ? view->policy->now_ns - slot->since_ns : 0;

	/* A session at rest watches its client only: what lies in a connection that it opened itself (an idle
	 * postgres_fdw server that shut down) stays there until its next statement, however long we wait. */
	if (outgoing)
		return true;
	if (socket->unread_bytes > 0)
	{
		report_busy(report, ACTIVITY_STATEMENT, "pid %u, %u bytes of its client are unread", slot->pid,
					socket->unread_bytes);
		return false;
	}
	if (socket->unsent_bytes > 0 && rest_ns < QUIESCE_DRAIN_NS)
	{
		report_busy(report, ACTIVITY_STATEMENT, "pid %u, %u bytes are on their way to its client", slot->pid,
					socket->unsent_bytes);
		return false;
	}
	return true;
}

/* A connection of a process that is no session: the postmaster before it forks, a login, a background worker. */
static bool
other_socket_rests(const QuiesceView *view, const MachineSocket *socket, const ActivitySlot *slot,
				   QuiesceReport *report)
{
	bool inner_client = socket_is_inner_client(view, socket);

	if (inner_client || socket->kind == SOCKET_UNIX_CONNECTION)
	{
		/* Everything about it is seen at the server's end, except a server that has not accepted it yet. */
		if (!inner_client || socket->unsent_bytes == 0)
			return true;
		report_busy(report, ACTIVITY_LOGIN, "process %d, %u bytes on their way to the server", (int) socket->pid,
					socket->unsent_bytes);
		return false;
	}
	if (socket->received_bytes == 0)
		return true; /* a peer that has never spoken waits for nothing; the door hears it when it does */
	if (!socket_set_listens_on(view->sockets, socket->local_port))
	{
		if (slot != NULL && socket->unread_bytes == 0)
			return true; /* a worker that activity_judge found at rest keeps a connection that says nothing */
		report_busy(report, ACTIVITY_WORKER, "process %d, with a connection that it opened", (int) socket->pid);
		return false;
	}
	report_busy(report, ACTIVITY_LOGIN, "process %d, with a client that is no session yet", (int) socket->pid);
	return false;
}

/* In a listener's queue, because the server has not come to it: for the door that would be a knock at once. */
static void
queues_rest(const PendingConnections *pending, bool plain, QuiesceReport *report)
{
	char peer[64];

	if (!report->quiet || pending == NULL || pending->speaking + (plain ? pending->silent : 0) == 0)
		return;
	socket_format_peer(pending->speaking > 0 ? &pending->speaker : &pending->listening, peer);
	report_busy(report, ACTIVITY_LOGIN, "client %s waits to be accepted", peer);
}

void
quiesce_decide(const QuiesceView *view, QuiesceReport *ret_report)
{
	QuiesceReport report = {.quiet = true};

	activity_judge(view->page, view->processes, view->process_count, view->policy, &report.verdict);
	if (report.verdict.reason != ACTIVITY_NONE)
		report.quiet = false;
	else if (processes_rest(view, &report) && sessions_rest(view, &report))
	{
		for (size_t i = 0; i < view->sockets->count && report.quiet; i++)
		{
			const MachineSocket *socket = &view->sockets->sockets[i];
			const ActivitySlot *slot = view_find_slot(view, socket->pid);

			if (socket->kind == SOCKET_LISTENER)
				continue;
			if (slot != NULL && activity_slot_is_session(slot))
				session_socket_rests(view, socket, slot, &report);
			else
				other_socket_rests(view, socket, slot, &report);
		}
		queues_rest(view->pending, false, &report);
	}
	*ret_report = report;
}

/* A connection of a plain machine. What the other end of one that it opened itself has sent would be read at once. */
static bool
plain_socket_rests(const SocketSet *sockets, const MachineSocket *socket, const ActivityPolicy *policy,
				   QuiesceReport *report)
{
	bool is_client = socket->kind == SOCKET_CONNECTION && socket_set_listens_on(sockets, socket->local_port);
	bool is_inner = socket->kind == SOCKET_UNIX_CONNECTION || address_is_loopback(&socket->peer);
	const char *whose = is_client && !is_inner ? "its client" : is_inner ? "a process of its own" : "its peer";

	if (socket->unread_bytes > 0)
		report_busy(report, ACTIVITY_STATEMENT, "process %d, %u bytes of %s are unread", (int) socket->pid,
					socket->unread_bytes, whose);
	else if (!is_inner && socket->unsent_bytes > 0 && socket->sent_ago_ms < QUIESCE_DRAIN_MS)
		report_busy(report, ACTIVITY_STATEMENT, "process %d, %u bytes are on their way to %s", (int) socket->pid,
					socket->unsent_bytes, whose);
	else if (is_client && !is_inner && policy->connection_aware)
		report_busy(report, ACTIVITY_CONNECTION, "process %d, with a client", (int) socket->pid);
	if (is_client && !is_inner)
		report->sessions++;
	return report->quiet;
}

void
quiesce_decide_plain(const QuiesceView *view, QuiesceReport *ret_report)
{
	QuiesceReport report = {.quiet = true};

	(void) processes_rest(view, &report);
	for (size_t i = 0; i < view->sockets->count && report.quiet; i++)
	{
		if (view->sockets->sockets[i].kind != SOCKET_LISTENER)
			plain_socket_rests(view->sockets, &view->sockets->sockets[i], view->policy, &report);
	}
	queues_rest(view->pending, true, &report);
	*ret_report = report;
}

/* Nothing in the coordinator's epoll set is for sockets whose both ends are frozen. */
static void
drop_unix_sockets(SocketSet *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->count; i++)
	{
		if (set->sockets[i].kind == SOCKET_UNIX_CONNECTION)
			close(set->sockets[i].fd);
		else
			set->sockets[kept++] = set->sockets[i];
	}
	set->count = kept;
}

static bool
somebody_queues(const SocketSet *sockets)
{
	for (size_t i = 0; i < sockets->count; i++)
	{
		struct tcp_info info = {0};
		socklen_t size = sizeof(info);

		/* Of a listener, tcpi_unacked is its queue's length. */
		if (sockets->sockets[i].kind == SOCKET_LISTENER &&
			getsockopt(sockets->sockets[i].fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_unacked > 0)
			return true;
	}
	return false;
}

/* Who waits to be accepted; the kernel is asked only when anybody does. */
static int
pending_read(const QuiesceSpec *spec, const SocketSet *sockets, PendingConnections *ret_pending, Error *err)
{
	_cleanup_fd_ int namespace_fd = -1;
	_cleanup_fd_ int diag_fd = -1;
	int result;

	*ret_pending = (PendingConnections){0};
	if (spec->network_path == NULL || !somebody_queues(sockets))
		return 0;
	namespace_fd = open(spec->network_path, O_RDONLY | O_CLOEXEC);
	if (namespace_fd < 0)
		return error_set_errno(err, errno, "%s", spec->network_path);
	result = sockdiag_open(namespace_fd, &diag_fd, err);
	return result < 0 ? result : sockdiag_count_pending(diag_fd, SOCKDIAG_ANY_PORT, ret_pending, err);
}

static int
quiesce_inspect_plain(const QuiesceSpec *spec, QuiesceReport *ret_report, SocketSet *ret_sockets, Error *err)
{
	_cleanup_free_ pid_t *pids = NULL;
	_cleanup_free_ MachineProcess *processes = NULL;
	_cleanup_(socket_set_clear) SocketSet sockets = {0};
	PendingConnections pending;
	QuiesceView view = {.sockets = &sockets, .pending = &pending, .policy = &spec->policy};
	size_t pid_count = 0;
	int result = cgroup_list_processes(spec->cgroups, spec->cgroup, &pids, &pid_count, err);

	if (result >= 0)
		result = machine_processes_read(pids, pid_count, &processes, &view.process_count, err);
	if (result >= 0)
		result = socket_set_collect(pids, pid_count, &sockets, err);
	if (result >= 0)
		result = pending_read(spec, &sockets, &pending, err);
	if (result < 0)
		return result;
	view.processes = processes;
	quiesce_decide_plain(&view, ret_report);
	if (!ret_report->quiet)
		socket_set_clear(&sockets);
	drop_unix_sockets(&sockets);
	*ret_sockets = sockets;
	sockets = (SocketSet){0};
	return 0;
}

int
quiesce_inspect(const QuiesceSpec *spec, QuiesceReport *ret_report, SocketSet *ret_sockets, Error *err)
{
	_cleanup_free_ pid_t *pids = NULL;
	_cleanup_free_ MachineProcess *processes = NULL;
	_cleanup_(activity_page_clear) ActivityPage page = {0};
	_cleanup_(socket_set_clear) SocketSet sockets = {0};
	PendingConnections pending = {0};
	QuiesceView view = {.page = &page, .sockets = &sockets, .pending = &pending, .policy = &spec->policy};
	size_t pid_count = 0;
	int result;

	if (spec->activity_path == NULL)
		return quiesce_inspect_plain(spec, ret_report, ret_sockets, err);
	result = cgroup_list_processes(spec->cgroups, spec->cgroup, &pids, &pid_count, err);
	if (result >= 0)
		result = machine_processes_read(pids, pid_count, &processes, &view.process_count, err);
	if (result >= 0)
		result = activity_page_read(spec->activity_path, &page, err);
	if (result >= 0)
		result = activity_page_use_own_clock(&page, processes, view.process_count, err);
	if (result < 0)
		return result;
	view.processes = processes;
	activity_page_read_waits(&page, processes, view.process_count, true);
	activity_page_check_waits(&page, processes, view.process_count);
	quiesce_decide(&view, ret_report);
	if (!ret_report->quiet)
	{
		*ret_sockets = (SocketSet){0};
		return 0;
	}
	/* The dearer half of the look, only when the page has nothing against sleeping. */
	result = socket_set_collect(pids, pid_count, &sockets, err);
	if (result >= 0)
		result = pending_read(spec, &sockets, &pending, err);
	if (result < 0)
		return result;
	quiesce_decide(&view, ret_report);
	if (!ret_report->quiet)
		socket_set_clear(&sockets);
	drop_unix_sockets(&sockets);
	*ret_sockets = sockets;
	sockets = (SocketSet){0};
	return 0;
}
