/* The service manager; see service.h. */
#include "base/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"

typedef struct KeptFd
{
	int fd; /* -1: was taken */
	char *name;
} KeptFd;

static KeptFd *kept;
static int kept_count;

static void
warn_about(const char *what, int code)
{
	if (code < 0)
		log_warning("the service manager was not told", "what", what, "reason", strerror(-code));
}

void
service_notify(const char *state)
{
	warn_about(state, sd_notify(0, state));
}

bool
service_is_managed(void)
{
	return getenv("NOTIFY_SOCKET") != NULL;
}

void
service_keep_fd(const char *name, int fd)
{
	_cleanup_free_ char *state = memory_printf("FDSTORE=1\nFDNAME=%s", name);

	warn_about(name, sd_pid_notify_with_fds(0, 0, state, &fd, 1));
}

void
service_forget_fds(const char *name)
{
	_cleanup_free_ char *state = memory_printf("FDSTOREREMOVE=1\nFDNAME=%s", name);

	warn_about(name, sd_notify(0, state));
}

void
service_receive_fds(void)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names);

	if (count < 0)
		log_warning("descriptors of an earlier run not taken over", "reason", strerror(-count));
	if (count <= 0)
		return;
	kept = memory_allocate((size_t) count * sizeof(*kept));
	kept_count = count;
	for (int i = 0; i < count; i++)
		kept[i] = (KeptFd){.fd = SD_LISTEN_FDS_START + i, .name = names[i]};
	free(names);
}

int
service_take_fd(const char *name, ServiceFdTest test, const void *context)
{
	for (int i = 0; i < kept_count; i++)
	{
		if (kept[i].fd >= 0 && strcmp(kept[i].name, name) == 0 && test(context, kept[i].fd))
			return steal_fd(&kept[i].fd);
	}
	return -1;
}

void
service_end_unclaimed(void)
{
	for (int i = 0; i < kept_count; i++)
	{
		if (kept[i].fd >= 0)
		{
			(void) shutdown(kept[i].fd, SHUT_RDWR);
			close(kept[i].fd);
		}
		free(kept[i].name);
	}
	free(kept);
	kept = NULL;
	kept_count = 0;
}
