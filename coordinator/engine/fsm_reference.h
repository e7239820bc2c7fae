/* docs/reference/phases.md, printed from the table of phases. */
#ifndef ENGINE_FSM_REFERENCE_H
#define ENGINE_FSM_REFERENCE_H

#include "base/text.h"

/* Appends the page: what each phase means, a Mermaid diagram, and every row of the table. */
void fsm_reference_print(Text *out);

#endif
