/* Reference pages in Markdown, written from the tables of keys. */
#ifndef MODEL_REFERENCE_H
#define MODEL_REFERENCE_H

#include "base/text.h"
#include "model/keys.h"

/* A table of the keys of one map, without those that are not offered. path: of the map, "" at the top. */
void reference_print_table(const Key *keys, const char *path, Text *out);

/* For each key that has keys or choices of its own: a heading of this level and what is below it. */
void reference_print_below(const Key *keys, const char *path, int level, Text *out);

/* How sizes and durations are written. */
#define REFERENCE_NOTATION                                                                                               \
	"## Sizes and durations\n\n"                                                                                         \
	"A size is a whole number and a unit: `Ki`, `Mi`, `Gi`, `Ti` (or `KiB` …) are powers of 1024, `K`, `M`, `G`, `T` " \
	"(or `KB` …) powers of 1000; without a unit it is bytes.\n\n"                                                      \
	"A duration is a number of seconds, or numbers with the units `d`, `h`, `m`, `s`, `ms` from large to small: "        \
	"`500ms`, `3s`, `1h30m`.\n"

#endif
