/* Moving a thread into a network namespace and back by setns(2); see netns.h. */
#include "host/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

int
netns_run(int namespace_fd, int (*work)(void *context, Error *err), void *context, Error *err)
{
	_cleanup_fd_ int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int result;

	if (home < 0)
		return error_set_errno(err, errno, "/proc/thread-self/ns/net");
	if (setns(namespace_fd, CLONE_NEWNET) < 0)
		return error_set_errno(err, errno, "enter the machine's network namespace");
	result = work(context, err);
	if (setns(home, CLONE_NEWNET) < 0)
	{
		perror("return to the coordinator's network namespace");
		abort();
	}
	return result;
}
