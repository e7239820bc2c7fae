# lttle_pg: the extension is built with PGXS (all, install, installcheck); everything else has a target below.
#
#   sudo make demo    from a bare Debian 12 to a PostgreSQL that sleeps and wakes, before your eyes
#   sudo make test    every test there is
#
# make setup        install what building, testing and running need (Debian packages); quick the second time
# make coordinator  build lttled and lttle into build/coordinator; with FAULTS=1 for tests, into build/coordinator-faults
# make image        build the image, offline, from Debian packages
# make torture      clients of every kind against a machine that sleeps all the time; MINUTES=10 SEED=...
# make regress-suspended  PostgreSQL's own tests against a machine that is suspended every second; some minutes
# make bench        what the README claims, measured on this machine; bench/run --help
# make lint         formatting, static analysis, include rules
# make asan         unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
# make exec-backend the extension's tests on a PostgreSQL whose processes inherit no memory; builds that once
# make valgrind     the extension's TAP tests, PostgreSQL under valgrind
# make fuzz         the fuzzers, a minute each (SECONDS=…)
# make reference    print docs/reference/ anew from the tables in the code
# make install-coordinator  install lttled, lttle, the services and the completion below $(prefix)

PG_CONFIG ?= pg_config

OWN_TARGETS = setup coordinator image demo test torture regress-suspended bench lint asan fuzz exec-backend valgrind reference install-coordinator clean-coordinator help

# A bare machine has no pg_config yet, and none of these needs it.
ifneq ($(filter-out $(OWN_TARGETS),$(or $(MAKECMDGOALS),all)),)
include extension/pgxs.mk
endif

prefix_coordinator ?= /usr/local

.PHONY: $(OWN_TARGETS)

setup:
	@tools/setup

coordinator:
	@$(MAKE) --no-print-directory -C coordinator

image:
	@image/build

demo: setup
	@$(MAKE) --no-print-directory coordinator image
	@tools/demo

test: setup
	@$(MAKE) --no-print-directory coordinator image
	@tests/run

torture: setup
	@$(MAKE) --no-print-directory coordinator image
	@tests/torture/run $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

regress-suspended: setup
	@$(MAKE) --no-print-directory coordinator image
	@tests/regress/run

bench: setup
	@$(MAKE) --no-print-directory coordinator image
	@bench/run

lint:
	@tools/lint

asan:
	@tools/asan

# tests/run fuzzes for seconds; this takes longer.
fuzz:
	@tests/fuzz/run $(or $(SECONDS),60)

exec-backend:
	@tools/pg-matrix --exec-backend

valgrind:
	@tools/pg-matrix --valgrind

reference: coordinator
	@tools/reference

install-coordinator: coordinator
	install -D -m 0755 build/coordinator/lttled $(DESTDIR)$(prefix_coordinator)/sbin/lttled
	install -D -m 0755 build/coordinator/lttle $(DESTDIR)$(prefix_coordinator)/bin/lttle
	install -D -m 0644 packaging/lttled.service $(DESTDIR)/etc/systemd/system/lttled.service
	install -D -m 0644 packaging/lttle-drain.service $(DESTDIR)/etc/systemd/system/lttle-drain.service
	install -D -m 0644 packaging/bash-completion/lttle $(DESTDIR)/usr/share/bash-completion/completions/lttle
	install -D -m 0644 --no-target-directory packaging/lttled.yaml $(DESTDIR)/etc/lttle/lttled.yaml.example

clean-coordinator:
	rm -rf build/coordinator

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile
