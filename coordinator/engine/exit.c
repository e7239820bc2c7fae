/* What follows when a machine's first process ends by itself: what its restart policy says. */
#include "engine/engine_private.h"

/* exit_status: as of waitpid(2); -1: not known. */
static bool
exit_is_final(RestartPolicy policy, int exit_status)
{
	switch (policy)
	{
		case RESTART_ON_FAILURE:
			return exit_status == 0;
		case RESTART_NEVER:
		case RESTART_REMOVE:
			return true;
		case RESTART_ALWAYS:
			break;
	}
	return false;
}

void
machine_settle_exit(Machine *machine)
{
	/* It was asked to end, or has ended because its snapshot is whole. */
	if (machine->phase == PHASE_STOPPING || machine->phase == PHASE_EVICTING)
		return;
	machine_settle_first_start(machine);
	machine->facts.stays_down = exit_is_final(machine->spec.restart_policy, machine->exit_status);
	if (!machine->facts.stays_down || machine->spec.restart_policy != RESTART_REMOVE)
		return;
	machine->facts.delete_wanted = true;
	machine->record.delete_wanted = true;
}
