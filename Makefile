# libsock. `make` builds the library, `make test` runs every check; `make help` lists the rest.
#
# Tests: every tests/c/*.c is a program over harness.h, run linked to the shared and to the static library, and those in
# MEMCHECK_TESTS once more under valgrind. Every executable tests/*/*.t prints TAP and is run from here. `make test` ends
# with the names of what was skipped and the line `N passed, N failed, N skipped`.
# Other parts of the project keep their targets in make/*.mk.

BUILD ?= build
CC ?= cc
CXX ?= c++
CFLAGS ?= -O2 -g
CARGO ?= cargo
WARNINGS = -Wall -Wextra -Wpedantic -Werror
TEST_JOBS ?= 4
TEST_SECONDS ?= 900
ROUNDS ?= 10
LOAD ?= 2

LIBRARY_SHARED = target/release/libsock.so
LIBRARY_STATIC = target/release/libsock.a
HEADER = include/sock.h
# What rustc --print native-static-libs names for the static library.
STATIC_LIBRARIES = -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
# Programs find the shared library in build/lib, under the names the linker and the loader ask for. make's own abspath would take a
# folder with a space in its name for two.
SHARED_FOLDER = $(if $(filter /%,$(BUILD)),,$(CURDIR)/)$(BUILD)/lib
SHARED_LINK = -L$(BUILD)/lib -Wl,-rpath,'$(SHARED_FOLDER)' -lsock

export BUILD CC CXX CARGO LIBRARY_SHARED LIBRARY_STATIC TEST_SECONDS

.DEFAULT_GOAL = all
.PHONY: all test check-repeat check-long check-deep check-deep-sample clean help FORCE
.DELETE_ON_ERROR:
# It is committed: a build that fails must not take it away.
.PRECIOUS: $(HEADER)

all: $(LIBRARY_STATIC) $(HEADER) $(BUILD)/lib/.linked ## build the library

# cargo knows best whether anything is to be done, and leaves the files alone if not.
$(LIBRARY_SHARED) $(LIBRARY_STATIC) $(HEADER) &: FORCE
	$(CARGO) build --release --locked

$(BUILD)/lib/.linked: $(LIBRARY_SHARED)
	@mkdir -p $(@D)
	ln -sfr $(LIBRARY_SHARED) $(@D)/libsock.so
	ln -sfr $(LIBRARY_SHARED) $(@D)/$(SONAME)
	@touch $@

# ---- tests ----

C_TESTS = $(filter-out harness,$(basename $(notdir $(wildcard tests/c/*.c))))
# valgrind runs one thread at a time: what hunts for races, or counts descriptors of which valgrind has its own, is left out.
MEMCHECK_TESTS = $(filter-out exhaustion foreign_bytes process_untouched server signals threads,$(C_TESTS))
TAP_SCRIPTS = $(foreach script,$(wildcard tests/*/*.t),$(shell test -x $(script) && echo $(script)))
TEST_CFLAGS = -std=c11 -D_GNU_SOURCE -pthread $(WARNINGS) -Iinclude -Itests/c

SHARED_TESTS = $(C_TESTS:%=$(BUILD)/tests/shared/%)
STATIC_TESTS = $(C_TESTS:%=$(BUILD)/tests/static/%)
UNDER_MEMCHECK = $(MEMCHECK_TESTS:%=$(BUILD)/tests/memcheck/%)
TEST_PREREQUISITES = $(SHARED_TESTS) $(STATIC_TESTS) $(UNDER_MEMCHECK)

$(BUILD)/tests/harness.o: tests/c/harness.c tests/c/harness.h $(HEADER)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -c -o $@ $<

$(BUILD)/tests/shared/%: tests/c/%.c $(BUILD)/tests/harness.o $(BUILD)/lib/.linked
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -o $@ $< $(BUILD)/tests/harness.o $(SHARED_LINK)

$(BUILD)/tests/static/%: tests/c/%.c $(BUILD)/tests/harness.o $(LIBRARY_STATIC)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -o $@ $< $(BUILD)/tests/harness.o $(LIBRARY_STATIC) $(STATIC_LIBRARIES)

# The same program; tests/record runs what lies in a folder of this name under valgrind.
$(BUILD)/tests/memcheck/%: $(BUILD)/tests/shared/%
	@mkdir -p $(@D)
	ln -sf ../shared/$* $@

include $(wildcard make/*.mk)

test: all ## build and run every test
	@$(MAKE) --no-print-directory --silent $(if $(filter -j%,$(MAKEFLAGS)),,--jobs=$(TEST_JOBS)) $(TEST_PREREQUISITES)
	@tests/run $(TEST_JOBS) $(TAP_SCRIPTS) $(SHARED_TESTS) $(STATIC_TESTS) $(UNDER_MEMCHECK)

check-repeat: all $(SHARED_TESTS) $(STATIC_TESTS) ## every C test ROUNDS times beside LOAD busy processes, to find those that fail now and then
	@tests/repeat $(ROUNDS) $(LOAD) $(SHARED_TESTS) $(STATIC_TESTS)

# What make check-deep makes: this first, and then what make/*.mk have added.
DEEP := check-long $(DEEP)

check-long: all $(SHARED_TESTS) ## the C tests in their long forms
	@SOCK_TEST_DEEP=1 TEST_SECONDS=7200 tests/run $(TEST_JOBS) $(SHARED_TESTS)

check-deep: ## the long forms of everything: more than an hour
	@MAKE='$(MAKE)' tests/parts $(DEEP)

check-deep-sample:: $(BUILD)/tests/shared/handles ## a sample of the deep checks, the same for the same SOCK_TEST_SEED
	SOCK_TEST_DEEP=1 $< opening_and_closing_grows_nothing

clean: ## remove everything built
	rm -rf $(BUILD)
	$(CARGO) clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\)::*.*## \(.*\)/  \1: \2/p' $(MAKEFILE_LIST)

FORCE:
