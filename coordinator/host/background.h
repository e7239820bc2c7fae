/*
 * Letting go of kernel objects whose release waits for an RCU grace period (about ten milliseconds), so that the event
 * loop need not wait for it, and work that needs a thread's own namespace or descriptors. What runs here may touch only
 * what it is given.
 */
#ifndef HOST_BACKGROUND_H
#define HOST_BACKGROUND_H

/*
 * Begins function(context) in a detached thread that gets no signals. Returns 0 or a positive errno.
 * Under AddressSanitizer it has ended when this returns: a job that is forked while another thread holds a lock of that
 * allocator would wait for it for ever (glibc's own allocator sees to its locks at a fork).
 */
int background_start(void *(*function)(void *context), void *context);

/* Calls release(object) in a thread of its own, which gets no signals; where no thread can be had, at once. */
void background_release(void (*release)(void *object), void *object);

#endif
