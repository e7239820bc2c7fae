/* The user's terminal while a program in a machine has it. */
#ifndef CLI_TERMINAL_H
#define CLI_TERMINAL_H

#include <stdbool.h>

#include "api/frame.h"

/* Puts the terminal of standard input into raw mode. It is brought back by terminal_restore, and at exit. */
bool terminal_make_raw(void);
/* Enters raw mode again, after the process was stopped and continued. */
void terminal_make_raw_again(void);
void terminal_restore(void);

/* The size of whichever standard stream is a terminal; {0, 0} when none is. */
FrameSize terminal_size(void);

#endif
