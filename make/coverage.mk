# How much the tests see. `make coverage`: which lines of the Rust source the C tests and the whole fault loop reach. The library is built
# once more, with every region counted; the counters are one file that all processes of a run map, so that those which end by
# _exit or by a signal count too. `make mutants`: whether the tests notice when the library is changed. For maintainers, and hours long.
# Both need llvm-profdata and llvm-cov of rustc's LLVM: from rustup's llvm-tools, or from Debian under a name with the version. The
# second needs cargo-mutants, which lists the changes.

COVERED = $(BUILD)/coverage
COVERED_LIBRARY = target/coverage/$(TARGET)/release/libsock
COVERED_CASES = $(C_TESTS:%=$(COVERED)/tests/shared/%) $(COVERED)/tests/faults/injected \
    $(patsubst tests/network/%.t,$(COVERED)/tests/network/%,$(wildcard tests/network/*.t))
COVERED_PROGRAMS = $(COVERED_CASES) $(COVERED)/tests/faults/loop $(COVERED)/tests/system_calls/exercise
LLVM_COV = $(wildcard $(shell rustc --print sysroot)/lib/rustlib/$(TARGET)/bin/llvm-cov)
LLVM_VERSION = $(shell rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
llvm_tool = $(if $(LLVM_COV),$(dir $(LLVM_COV))llvm-$(1),llvm-$(1)-$(LLVM_VERSION))
# The files whose mutants are all run, the ones that everything rests on first; of the others a share, in percent.
MUTATED ?= gate.rs waiters.rs read_ahead.rs registry.rs slots.rs name.rs address.rs timers.rs inbox.rs stream.rs wait.rs waker.rs patience.rs \
    datagram.rs joined.rs udp.rs close.rs poller.rs race.rs connect.rs relay.rs socket.rs listen.rs scope.rs local.rs resolve.rs adopt.rs options.rs live_options.rs \
    failure.rs error.rs information.rs log.rs worker.rs server/mod.rs server/threads.rs server/fibers.rs server/places.rs lock.rs
MUTATED_SHARE ?= 10

.PHONY: coverage coverage-build coverage-report mutants
coverage-build:
	RUSTFLAGS="-Cinstrument-coverage -Cllvm-args=-runtime-counter-relocation" CARGO_PROFILE_RELEASE_LTO=off \
	    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_TARGET_DIR=target/coverage CARGO_BUILD_TARGET=$(TARGET) \
	    $(MAKE) --no-print-directory BUILD=$(COVERED) LIBRARY_SHARED=$(COVERED_LIBRARY).so LIBRARY_STATIC=$(COVERED_LIBRARY).a \
	    $(COVERED_PROGRAMS)

# What is run without its environment leaves its counters where it runs.
coverage: coverage-build ## count which lines of the Rust source the C tests and the fault loop reach
	@rm -rf $(COVERED)/counters
	-BUILD=$(COVERED) LIBRARY_SHARED=$(COVERED_LIBRARY).so SOCK_TEST_DEEP= \
	    LLVM_PROFILE_FILE=$(abspath $(COVERED))/counters/%m%c.profraw tests/run $(TEST_JOBS) tests/coverage/fault_loop \
	    $(COVERED_CASES) tests/system_calls/trace.t tests/system_calls/fibers.t
	-mv default_*.profraw $(COVERED)/counters
	@$(MAKE) --no-print-directory coverage-report

coverage-report:
	@$(call llvm_tool,profdata) merge -o $(COVERED)/counts $(COVERED)/counters/*.profraw
	@$(call llvm_tool,cov) export --format=lcov --instr-profile=$(COVERED)/counts $(COVERED_LIBRARY).so > $(COVERED)/lines
	@tests/coverage/report $(COVERED)/lines

mutants: coverage-build ## see which changes of the library the tests do not notice: hours
	BUILD=$(COVERED) tests/mutants/reach $(call llvm_tool,profdata) $(call llvm_tool,cov) $(COVERED_LIBRARY).so $(COVERED_CASES)
	-rm -f default_*.profraw
	tests/mutants/run --sample $(MUTATED_SHARE) $(MUTATED)
