/* Grace periods of the kernel; see grace_periods.h. */
#include "host/grace_periods.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

static bool
set_mark(const char *mark)
{
	_cleanup_fd_ int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd >= 0;
}

void
grace_periods_hurry(const char *setting, const char *mark, bool hurry)
{
	uint64_t now = 0;

	if (hurry)
	{
		/* The mark first: what is set without one would stay for ever. */
		if (file_read_number(setting, &now, NULL) < 0 || now != 0 || !set_mark(mark))
			return;
		if (file_write(setting, "1", NULL) < 0)
			unlink(mark);
		return;
	}
	if (access(mark, F_OK) < 0)
		return;
	/* Not undone, the mark stays, and the next one tries again. */
	if (file_write(setting, "0", NULL) == 0)
		unlink(mark);
}
