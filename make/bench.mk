# `make bench` compares libsock with raw system calls and with other libraries; `make bench BENCH="udp relay"` a part of it,
# `make bench QUICK=1` in a fraction of the time. `make bench-deps` installs the other libraries; the absent ones are skipped
# by name. Results, report and charts are in build/bench; `make bench-docs` makes docs/benchmarks.md of them.

BENCH_NAMES = pingpong ready calls handle connect dead_address udp bulk relay servers
BENCH ?= $(BENCH_NAMES)
QUICK ?=
BENCH_PACKAGES = libuv1-dev libevent-dev libglib2.0-dev libcurl4-openssl-dev libasio-dev pkg-config strace valgrind nftables iproute2

BENCH_OUT = $(BUILD)/bench
BENCH_CFLAGS = -std=c11 -D_GNU_SOURCE -pthread $(WARNINGS) -Ibench -Iinclude
# Headers of other projects are not held to our warnings.
bench_cflags = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(1) 2>/dev/null))
bench_has = $(shell pkg-config --exists $(1) 2>/dev/null && echo yes)

ifneq ($(filter bench bench-build $(BENCH_OUT)/%,$(MAKECMDGOALS)),)
BENCH_GLIB = $(call bench_has,gio-2.0)
BENCH_LIBCURL = $(call bench_has,libcurl)
BENCH_LIBUV = $(call bench_has,libuv)
BENCH_LIBEVENT = $(call bench_has,libevent)
BENCH_ASIO = $(shell printf '\#include <asio.hpp>\n' | $(CXX) -std=c++17 -E -x c++ - >/dev/null 2>&1 && echo yes)
endif
ifeq ($(BENCH_GLIB),yes)
BENCH_PEER_CFLAGS += -DHAVE_GLIB $(call bench_cflags,gio-2.0)
BENCH_PEER_LIBS += $(shell pkg-config --libs gio-2.0)
endif
ifeq ($(BENCH_LIBCURL),yes)
BENCH_PEER_CFLAGS += -DHAVE_LIBCURL $(call bench_cflags,libcurl)
BENCH_PEER_LIBS += $(shell pkg-config --libs libcurl)
endif

BENCH_SERVERS = epoll sock_poller sock_serve $(if $(BENCH_LIBUV),libuv) $(if $(BENCH_LIBEVENT),libevent) \
    $(if $(BENCH_GLIB),glib) $(if $(BENCH_ASIO),asio)
BENCH_ABSENT = $(if $(BENCH_LIBUV),,libuv) $(if $(BENCH_LIBEVENT),,libevent) $(if $(BENCH_GLIB),,glib) \
    $(if $(BENCH_ASIO),,asio) $(if $(BENCH_LIBCURL),,libcurl)

# Some names are a program of their own, two are run with others' programs.
bench_programs = $(filter-out calls servers,$(1)) $(if $(filter calls,$(1)),pingpong ready) \
    $(if $(filter servers,$(1)),load $(BENCH_SERVERS:%=servers/%))

.PHONY: bench bench-build bench-deps bench-docs

bench-build: $(sort $(addprefix $(BENCH_OUT)/,$(call bench_programs,$(BENCH))))

bench: bench-build ## compare libsock with raw system calls and with other libraries
	@python3 -B bench/run.py --out $(BENCH_OUT) $(if $(QUICK),--quick) $(BENCH_ABSENT:%=--absent %) $(BENCH)

bench-deps: ## install the libraries and tools that make bench compares with and measures by
	apt-get install -y --no-install-recommends $(BENCH_PACKAGES)

bench-docs: ## make docs/benchmarks.md and its charts of the results of the last make bench
	@python3 -B bench/report.py --out $(BENCH_OUT) --docs docs

$(BENCH_OUT)/%.o: bench/%.c bench/bench.h bench/peer_glib.h $(HEADER)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(BENCH_CFLAGS) $(BENCH_PEER_CFLAGS) -c -o $@ $<

$(addprefix $(BENCH_OUT)/,pingpong ready handle connect dead_address udp bulk relay load): $(BENCH_OUT)/%: \
    $(BENCH_OUT)/%.o $(BENCH_OUT)/bench.o $(BENCH_OUT)/peer_glib.o $(BUILD)/lib/.linked
	$(CC) $(CFLAGS) -pthread -o $@ $(filter %.o,$^) $(SHARED_LINK) $(BENCH_PEER_LIBS)

$(BENCH_OUT)/servers/%: bench/servers/%.c bench/servers/server.h $(BUILD)/lib/.linked
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(BENCH_CFLAGS) $(call bench_cflags,$(bench_package_$*)) -o $@ $< \
	    $(if $(filter sock_%,$*),$(SHARED_LINK)) $(if $(bench_package_$*),$(shell pkg-config --libs $(bench_package_$*)))

bench_package_libuv = libuv
bench_package_libevent = libevent
bench_package_glib = gio-2.0

$(BENCH_OUT)/servers/asio: bench/servers/asio.cpp bench/servers/server.h
	@mkdir -p $(@D)
	$(CXX) $(CFLAGS) -std=c++17 -pthread -Wall -Wextra -Werror -o $@ $<
