/*
 * Letting go of kernel objects whose release waits for an RCU grace period (about ten milliseconds), so that the event
 * loop need not wait for it. For nothing else: what runs here may touch only what it is given.
 */
#ifndef HOST_BACKGROUND_H
#define HOST_BACKGROUND_H

/* Calls release(object) in a thread of its own, which gets no signals; where no thread can be had, at once. */
void background_release(void (*release)(void *object), void *object);

#endif
