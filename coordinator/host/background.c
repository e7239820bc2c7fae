/* Detached threads; see background.h. */
#include "host/background.h"

#include <pthread.h>
#include <signal.h>
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

int
background_start(void *(*function)(void *context), void *context)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all;
	sigset_t before;
	int failure = pthread_attr_init(&attributes);

	if (failure != 0)
		return failure;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
#ifndef __SANITIZE_ADDRESS__
	failure = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
#endif
	if (failure == 0)
		failure = pthread_create(&thread, &attributes, function, context);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
#ifdef __SANITIZE_ADDRESS__
	if (failure == 0)
		failure = pthread_join(thread, NULL);
#endif
	return failure;
}

void
background_release(void (*release)(void *object), void *object)
{
	Release *work = memory_allocate(sizeof(*work));

	*work = (Release){.release = release, .object = object};
	if (background_start(release_run, work) != 0)
		release_run(work);
}
