# Builds, installs and checks the PostgreSQL extension with PGXS. Included by the top-level Makefile; the paths are
# relative to the top of the tree.

PG_CONFIG ?= pg_config

MODULE_big = lttle_pg
OBJS = \
	extension/activity.o \
	extension/activity_file.o \
	extension/activity_hooks.o \
	extension/activity_place.o \
	extension/flash_channel.o \
	extension/flash_lock.o \
	extension/flash_prepare.o \
	extension/flash_state.o \
	extension/flash_worker.o \
	extension/flash_worker_clock.o \
	extension/flash_worker_link.o \
	extension/flash_worker_talk.o \
	extension/ignore.o \
	extension/lttle_pg.o \
	extension/random_seed.o \
	extension/settings.o \
	extension/shared_memory.o \
	extension/sql_functions.o \
	protocol/flash_message.o

EXTENSION = lttle_pg
DATA = extension/lttle_pg--1.0.sql
PGFILEDESC = "lttle_pg - suspends PostgreSQL while nobody uses it"

REGRESS = create settings status snapshot locks activity rights drop
REGRESS_OPTS = --inputdir=. --outputdir=.

# -isystem: PostgreSQL's own headers are not clean under -Wextra.
PG_CPPFLAGS = -Iprotocol -isystem $(shell $(PG_CONFIG) --includedir-server)
PG_CFLAGS = -Wall -Wextra -Werror

# Bitcode for JIT inlining would need clang and buy nothing: no function here is called in a loop.
override with_llvm := no

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Every object depends on every header: there are few, and a stale object is a riddle.
$(filter extension/%,$(OBJS)): $(wildcard extension/*.h protocol/lttle/*.h)
protocol/flash_message.o: protocol/lttle/flash_message.h

# TAP tests: temporary servers of the PostgreSQL that PG_CONFIG names; `make install` first, and not as root.
PROVE_TESTS ?= extension/t/*.pl

.PHONY: tapcheck
tapcheck:
	$(prove_installcheck)
