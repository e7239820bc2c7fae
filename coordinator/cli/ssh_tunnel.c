/* A way to a server through a jump host; see ssh_tunnel.h. */
#include "cli/ssh_tunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/process.h"
#include "base/text.h"

#define STATUS_NOT_FOUND 127

/* A port that nobody has at this moment. Who takes it before ssh does makes ssh fail, aloud. */
static int
find_free_port(uint16_t *ret_port, Error *err)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
		getsockname(fd, (struct sockaddr *) &address, &length) < 0)
		return error_set_errno(err, errno, "tunnel: a free port");
	*ret_port = ntohs(address.sin_port);
	return 0;
}

/* ssh runs LocalCommand once it is logged in and listens, and its output tells us so. */
static void
ssh_exec(const SshTunnelSpec *spec, const char *forward)
{
	const char *argv[32] = {"ssh", "-N", "-T", "-n", "-L", forward, "-o", "ExitOnForwardFailure=yes", "-o",
							"PermitLocalCommand=yes", "-o", "LocalCommand=echo forwarded",
							/* A master that the user's configuration shares would end with its own idea of forwards. */
							"-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ServerAliveInterval=15"};
	size_t count = 0;

	while (argv[count] != NULL)
		count++;
	if (spec->config_file != NULL)
	{
		argv[count++] = "-F";
		argv[count++] = spec->config_file;
	}
	if (spec->key_file != NULL)
	{
		argv[count++] = "-i";
		argv[count++] = spec->key_file;
		argv[count++] = "-o";
		argv[count++] = "IdentitiesOnly=yes";
	}
	argv[count++] = "--";
	argv[count++] = spec->destination;
	execvp(argv[0], (char *const *) argv);
	_exit(errno == ENOENT ? STATUS_NOT_FOUND : 126);
}

static pid_t
ssh_start(const SshTunnelSpec *spec, const char *forward, int output_fd)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	process_reset_signals();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(0);
	if (dup2(output_fd, STDOUT_FILENO) >= 0)
		ssh_exec(spec, forward);
	_exit(126);
}

static int
ssh_tunnel_reap(SshTunnel *tunnel)
{
	int status = 0;
	pid_t done;

	do
		done = waitpid(tunnel->pid, &status, 0);
	while (done < 0 && errno == EINTR);
	tunnel->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Until ssh says that it forwards, or is gone. */
static int
ssh_tunnel_await(SshTunnel *tunnel, int fd, const char *destination, Error *err)
{
	char word[16];
	ssize_t size;
	int status;

	do
		size = read(fd, word, sizeof(word));
	while (size < 0 && errno == EINTR);
	if (size > 0)
		return 0;
	status = ssh_tunnel_reap(tunnel);
	if (status == STATUS_NOT_FOUND)
		return error_set(err, -ENOENT, "there is no ssh: install openssh-client");
	return error_set(err, -EIO, "no tunnel through %s: ssh ended with status %d", destination, status);
}

int
ssh_tunnel_open(const SshTunnelSpec *spec, SshTunnel *ret_tunnel, Error *err)
{
	bool ipv6 = strchr(spec->host, ':') != NULL;
	SshTunnel tunnel = {.local_port = spec->local_port};
	_cleanup_free_ char *forward = NULL;
	_cleanup_fd_ int read_fd = -1;
	_cleanup_fd_ int write_fd = -1;
	int fds[2];
	int result;

	if (tunnel.local_port == 0)
	{
		result = find_free_port(&tunnel.local_port, err);
		if (result < 0)
			return result;
	}
	forward = memory_printf("127.0.0.1:%u:%s%s%s:%s", (unsigned) tunnel.local_port, ipv6 ? "[" : "", spec->host,
							ipv6 ? "]" : "", spec->port);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "tunnel: pipe");
	read_fd = fds[0];
	write_fd = fds[1];
	tunnel.pid = ssh_start(spec, forward, write_fd);
	if (tunnel.pid < 0)
		return error_set_errno(err, errno, "tunnel: fork");
	close(steal_fd(&write_fd));
	result = ssh_tunnel_await(&tunnel, read_fd, spec->destination, err);
	if (result == 0)
		*ret_tunnel = tunnel;
	return result;
}

int
ssh_tunnel_wait(SshTunnel *tunnel)
{
	return ssh_tunnel_reap(tunnel);
}

void
ssh_tunnel_close(SshTunnel *tunnel)
{
	if (tunnel->pid <= 0)
		return;
	kill(tunnel->pid, SIGTERM);
	ssh_tunnel_reap(tunnel);
}
