/* The user's terminal; see terminal.h. */
#include "cli/terminal.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios terminal_original;
static bool terminal_is_raw;

static void
terminal_apply_raw(void)
{
	struct termios raw = terminal_original;

	cfmakeraw(&raw);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

bool
terminal_make_raw(void)
{
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &terminal_original) < 0)
		return false;
	if (!terminal_is_raw)
		atexit(terminal_restore);
	terminal_is_raw = true;
	terminal_apply_raw();
	return true;
}

void
terminal_make_raw_again(void)
{
	if (terminal_is_raw)
		terminal_apply_raw();
}

void
terminal_restore(void)
{
	if (terminal_is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal_original);
	terminal_is_raw = false;
}

FrameSize
terminal_size(void)
{
	static const int streams[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
	struct winsize window;

	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
	{
		if (ioctl(streams[i], TIOCGWINSZ, &window) == 0 && window.ws_row > 0)
			return (FrameSize){.rows = window.ws_row, .columns = window.ws_col};
	}
	return (FrameSize){0};
}
