/* A program's standard input, output and error; see exec_stdio.h. */
#include "api/exec_stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"

static void
fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void
exec_stdio_close_program(ExecStdio *stdio)
{
	if (stdio->program_output_fd == stdio->program_input_fd)
		stdio->program_output_fd = -1;
	if (stdio->program_error_fd == stdio->program_input_fd)
		stdio->program_error_fd = -1;
	fd_close(&stdio->program_input_fd);
	fd_close(&stdio->program_output_fd);
	fd_close(&stdio->program_error_fd);
}

void
exec_stdio_close(ExecStdio *stdio)
{
	exec_stdio_close_program(stdio);
	fd_close(&stdio->input_fd);
	fd_close(&stdio->output_fd);
	fd_close(&stdio->error_fd);
}

void
exec_stdio_resize(const ExecStdio *stdio, FrameSize size)
{
	struct winsize window = {.ws_row = size.rows, .ws_col = size.columns};

	if (stdio->output_fd >= 0 && size.rows > 0 && size.columns > 0)
		ioctl(stdio->output_fd, TIOCSWINSZ, &window);
}

static int
stdio_open_terminal(FrameSize size, ExecStdio *ret_stdio, Error *err)
{
	ExecStdio stdio = EXEC_STDIO_NONE;
	char name[64];
	int result = 0;

	stdio.output_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (stdio.output_fd < 0 || grantpt(stdio.output_fd) < 0 || unlockpt(stdio.output_fd) < 0 ||
		ptsname_r(stdio.output_fd, name, sizeof(name)) != 0)
		result = error_set_errno(err, errno, "open a pseudo-terminal");
	if (result == 0)
	{
		stdio.input_fd = fcntl(stdio.output_fd, F_DUPFD_CLOEXEC, 3);
		stdio.program_input_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (stdio.input_fd < 0 || stdio.program_input_fd < 0)
			result = error_set_errno(err, errno, "open a pseudo-terminal");
	}
	if (result < 0)
	{
		exec_stdio_close(&stdio);
		return result;
	}
	stdio.program_output_fd = stdio.program_input_fd;
	stdio.program_error_fd = stdio.program_input_fd;
	exec_stdio_resize(&stdio, size);
	*ret_stdio = stdio;
	return 0;
}

/* A pipe of which only our end does not block: the program must not be surprised. */
static int
stdio_open_pipe(int *ret_ours, int *ret_program, bool program_reads, Error *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, errno, "open a pipe");
	*ret_ours = ends[program_reads ? 1 : 0];
	*ret_program = ends[program_reads ? 0 : 1];
	if (fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0)
		return error_set_errno(err, errno, "open a pipe");
	return 0;
}

static int
stdio_open_pipes(bool input, ExecStdio *ret_stdio, Error *err)
{
	ExecStdio stdio = EXEC_STDIO_NONE;
	int result = 0;

	if (input)
		result = stdio_open_pipe(&stdio.input_fd, &stdio.program_input_fd, true, err);
	else
	{
		stdio.program_input_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (stdio.program_input_fd < 0)
			result = error_set_errno(err, errno, "/dev/null");
	}
	if (result == 0)
		result = stdio_open_pipe(&stdio.output_fd, &stdio.program_output_fd, false, err);
	if (result == 0)
		result = stdio_open_pipe(&stdio.error_fd, &stdio.program_error_fd, false, err);
	if (result < 0)
		exec_stdio_close(&stdio);
	else
		*ret_stdio = stdio;
	return result;
}

int
exec_stdio_open(bool terminal, bool input, FrameSize size, ExecStdio *ret_stdio, Error *err)
{
	return terminal ? stdio_open_terminal(size, ret_stdio, err) : stdio_open_pipes(input, ret_stdio, err);
}
