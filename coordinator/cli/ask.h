/* Asking for a secret on a terminal. */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include <stdbool.h>

#include "base/text.h"

/* Asks on the terminal of standard input, which shows nothing of the answer when it is hidden, also when a signal ends
 * lttle meanwhile. False when there is no answer. The caller clears the text. */
bool ask_line(const char *question, bool hidden, Text *ret_answer);

#endif
