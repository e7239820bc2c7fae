/* Processes when there is hardly memory for them; see patient_fork.h. */
#include "base/patient_fork.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"

#define PATIENCE_MS 10000
#define PAUSE_MS	50

bool
fork_may_come(int number)
{
	return number == ENOMEM || number == EAGAIN;
}

static pid_t
make_once(pid_t (*make)(void))
{
	int result = fault_hit(FAULT_FORK, NULL);

	if (result < 0)
	{
		errno = -result;
		return -1;
	}
	return make();
}

pid_t
fork_once(void)
{
	return make_once(fork);
}

pid_t
fork_patiently(pid_t (*make)(void))
{
	uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_MS * NS_PER_MS;
	pid_t pid = make_once(make);

	while (pid < 0 && fork_may_come(errno) && clock_monotonic_ns() < deadline_ns)
	{
		poll(NULL, 0, PAUSE_MS); /* nothing tells when there is memory again */
		pid = make_once(make);
	}
	return pid;
}
