/* Slow releases in detached threads; see background.h. */
#include "host/background.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/text.h"

typedef struct Release
{
	void (*release)(void *object);
	void *object;
} Release;

static void *
release_run(void *context)
{
	Release *work = context;

	work->release(work->object);
	free(work);
	return NULL;
}

static bool
thread_start(Release *work)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all;
	sigset_t before;
	bool started;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	started = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
			  pthread_create(&thread, &attributes, release_run, work) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return started;
}

void
background_release(void (*release)(void *object), void *object)
{
	Release *work = memory_allocate(sizeof(*work));

	*work = (Release){.release = release, .object = object};
	if (!thread_start(work))
		release_run(work);
}
