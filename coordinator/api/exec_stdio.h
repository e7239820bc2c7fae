/* The two sides of a program's standard input, output and error: three pipes, or one pseudo-terminal. */
#ifndef API_EXEC_STDIO_H
#define API_EXEC_STDIO_H

#include <stdbool.h>

#include "api/frame.h"
#include "base/error.h"

typedef struct ExecStdio
{
	/* Ours, non-blocking; -1: none. With a terminal input and output are the same terminal, opened twice. */
	int input_fd;
	int output_fd;
	int error_fd;
	/* The program's; with a terminal all three are the same number. */
	int program_input_fd;
	int program_output_fd;
	int program_error_fd;
} ExecStdio;

#define EXEC_STDIO_NONE ((ExecStdio){-1, -1, -1, -1, -1, -1})

/* input: false gives the program an empty standard input. size: of the terminal; 0 leaves the kernel's. */
int exec_stdio_open(bool terminal, bool input, FrameSize size, ExecStdio *ret_stdio, Error *err) MUST_CHECK;

/* Closes the program's side, or everything. */
void exec_stdio_close_program(ExecStdio *stdio);
void exec_stdio_close(ExecStdio *stdio);

/* Tells the program behind the terminal that its window has changed. */
void exec_stdio_resize(const ExecStdio *stdio, FrameSize size);

#endif
