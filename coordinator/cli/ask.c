/* Asking for a secret on a terminal; see ask.h. */
#include "cli/ask.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios ask_original;

static void
show_again(int number)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &ask_original);
	raise(number); /* by its own default, as SA_RESETHAND says */
}

static void
hide(struct sigaction before[], const int signals[], size_t count)
{
	struct sigaction action = {.sa_handler = show_again, .sa_flags = (int) SA_RESETHAND | SA_NODEFER};
	struct termios hidden = ask_original;

	for (size_t i = 0; i < count; i++)
		sigaction(signals[i], &action, &before[i]);
	hidden.c_lflag &= ~(tcflag_t) ECHO;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
}

bool
ask_line(const char *question, bool hidden, Text *ret_answer)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	enum
	{
		COUNT = sizeof(signals) / sizeof(signals[0])
	};
	struct sigaction before[COUNT];
	bool has_answer = false;
	int c;

	hidden = hidden && tcgetattr(STDIN_FILENO, &ask_original) == 0;
	if (hidden)
		hide(before, signals, COUNT);
	/* Not before: what is typed in answer to it would be seen, and thrown away. */
	fprintf(stderr, "%s", question);
	while ((c = getchar()) != EOF && c != '\n')
	{
		char byte = (char) c;

		text_append_bytes(ret_answer, &byte, 1);
		has_answer = true;
	}
	if (hidden)
	{
		tcsetattr(STDIN_FILENO, TCSANOW, &ask_original);
		for (size_t i = 0; i < COUNT; i++)
			sigaction(signals[i], &before[i], NULL);
		fputc('\n', stderr);
	}
	return has_answer;
}
