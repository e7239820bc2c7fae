/* Whether the kernel says by itself when memory runs short. */
#include <unistd.h>

#include "base/cleanup.h"
#include "host/doctor_probes.h"
#include "host/pressure.h"

#define PERCENT 50 /* any will do: the trigger goes at once */

void
doctor_check_pressure(const DoctorInput *input, DoctorCheck *check)
{
	_cleanup_fd_ int fd = -1;
	Error err = {0};

	(void) input;
	if (pressure_trigger_open(PRESSURE_PATH, PERCENT, &fd, &err) == 0)
	{
		doctor_find(check, "PSI: " PRESSURE_PATH " reports stalls");
		return;
	}
	doctor_find(check, "no PSI: %.150s", err.message);
	doctor_follow(
		check, DOCTOR_WARNING,
		"while machines sleep, available memory and swap are looked at every few seconds instead: a shortage is "
		"noticed later, and processes that wait for memory are not");
}
