/*
 * Commands for nftables, by libnftables(3). The library waits for the kernel's answer by select(2), which ends the
 * whole process when its socket's number is 1,024 or more, and with a few hundred sleeping machines every number below
 * is taken. So it works in a thread that has a table of descriptors of its own.
 */
#ifndef HOST_NFT_H
#define HOST_NFT_H

#include "base/error.h"

/*
 * Runs the commands, all or none of them, as nft -f does, and waits for the result. namespace_fd: the network namespace
 * that they are for, borrowed; -1: the coordinator's own. -EIO with nft's own first line when they were refused.
 */
int nft_run(int namespace_fd, const char *script, Error *err) MUST_CHECK;

#endif
