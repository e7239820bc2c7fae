/* Points in time as people write them: 10m ago, or 2026-03-01T12:00:00Z. */
#ifndef CLI_SINCE_H
#define CLI_SINCE_H

#include <stdbool.h>
#include <stdint.h>

/* A duration before now, or RFC 3339; a time without a zone, or a day alone, is local. False: it is neither. */
bool since_parse(const char *text, uint64_t *ret_ms);

#endif
