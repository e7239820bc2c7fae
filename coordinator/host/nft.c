/* Commands for nftables in a thread with descriptors of its own; see nft.h. */
#include "host/nft.h"

#include <errno.h>
#include <linux/close_range.h>
#include <nftables/libnftables.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "host/background.h"

#define FIRST_OWN_FD 3

/* Lives on the caller's stack: the thread lets go of it when it has said that it is done. */
typedef struct NftWork
{
	int namespace_fd;
	const char *script;
	int result;
	Error error;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
} NftWork;

/* In the namespace for good: the thread ends with its work. */
static int
thread_settle(const NftWork *work, Error *err)
{
	if (work->namespace_fd >= 0 && setns(work->namespace_fd, CLONE_NEWNET) < 0)
		return error_set_errno(err, errno, "enter the machine's network namespace");
	/* Not copied and then closed: the kernel copies only those below. */
	if (close_range(FIRST_OWN_FD, ~0U, CLOSE_RANGE_UNSHARE) < 0)
		return error_set_errno(err, errno, "nftables: a table of descriptors");
	return 0;
}

static int
context_run(struct nft_ctx *nft, const char *script, Error *err)
{
	const char *why;

	if (nft == NULL)
		return error_set(err, -ENOMEM, "libnftables: no context");
	if (nft_ctx_buffer_error(nft) != 0 || nft_ctx_buffer_output(nft) != 0)
		return error_set(err, -ENOMEM, "libnftables: no buffer");
	if (nft_run_cmd_from_buffer(nft, script) == 0)
		return 0;
	why = nft_ctx_get_error_buffer(nft);
	return error_set(err, -EIO, "nftables: %.*s", (int) strcspn(why, "\n"), why);
}

static void
work_end(NftWork *work, int result, const Error *error)
{
	pthread_mutex_lock(&work->lock);
	work->result = result;
	work->error = *error;
	work->done = true;
	pthread_cond_signal(&work->changed);
	pthread_mutex_unlock(&work->lock);
}

static void *
thread_run(void *context)
{
	struct nft_ctx *nft = NULL;
	Error error = {0};
	int result = thread_settle(context, &error);

	if (result == 0)
	{
		nft = nft_ctx_new(NFT_CTX_DEFAULT);
		result = context_run(nft, ((const NftWork *) context)->script, &error);
	}
	work_end(context, result, &error);
	/* Closing its socket waits until the kernel has freed what was deleted, and nobody waits for that. */
	if (nft != NULL)
		nft_ctx_free(nft);
	return NULL;
}

int
nft_run(int namespace_fd, const char *script, Error *err)
{
	NftWork work = {.namespace_fd = namespace_fd,
					.script = script,
					.lock = PTHREAD_MUTEX_INITIALIZER,
					.changed = PTHREAD_COND_INITIALIZER};
	int failure = background_start(thread_run, &work);

	if (failure != 0)
		return error_set_errno(err, failure, "nftables: start a thread");
	pthread_mutex_lock(&work.lock);
	while (!work.done)
		pthread_cond_wait(&work.changed, &work.lock);
	pthread_mutex_unlock(&work.lock);
	pthread_cond_destroy(&work.changed);
	pthread_mutex_destroy(&work.lock);
	if (work.result < 0 && err != NULL)
		*err = work.error;
	return work.result;
}
