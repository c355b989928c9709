# The C tests under sanitizers, with the Rust side instrumented too: needs clang and a nightly toolchain, whose runtimes are used
# for both sides. `make check-asan` runs every test under the address and the leak sanitizer, with that of undefined behaviour on the C
# side; `make check-tsan` runs those where threads matter under the thread sanitizer. Each first proves that the sanitizers are on.

comma = ,
TARGET = x86_64-unknown-linux-gnu
NIGHTLY_LIBRARIES = $(shell rustc +nightly --print target-libdir --target $(TARGET) 2>/dev/null)
# Not for sanitizers: they compare whole processes, count what memory is touched, or look at how the library is linked.
ASAN_TESTS = $(filter-out exhaustion process_untouched,$(C_TESTS)) races/races
# Without those that have one thread.
TSAN_TESTS = $(filter-out errors frozen_interface options,$(ASAN_TESTS))
RUN_ASAN = SOCK_TEST_SANITIZED=1 ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 tests/run 2
# Without io_sync=0 every call on a socket would count as handing over whatever was done before, and hide races.
TSAN = TSAN_OPTIONS=io_sync=0:die_after_fork=0
RUN_TSAN = SOCK_TEST_SANITIZED=1 $(TSAN) tests/run 2

.PHONY: check-asan check-tsan check-sanitizers prove-asan prove-tsan sanitized check-sanitizers-sample
prove-asan: $(BUILD)/sanitized/address/broken_address $(BUILD)/sanitized/address/broken_leak $(BUILD)/sanitized/address/broken_undefined
	tests/sanitizers/prove-on AddressSanitizer sock_read $(BUILD)/sanitized/address/broken_address
	tests/sanitizers/prove-on LeakSanitizer main $(BUILD)/sanitized/address/broken_leak
	tests/sanitizers/prove-on 'runtime error' 'signed integer overflow' $(BUILD)/sanitized/address/broken_undefined

prove-tsan: $(BUILD)/sanitized/thread/broken_thread $(BUILD)/sanitized/thread/broken_fibers
	$(TSAN) tests/sanitizers/prove-on ThreadSanitizer sock_read $(BUILD)/sanitized/thread/broken_thread
	$(TSAN) tests/sanitizers/prove-on ThreadSanitizer '#1 above_the_first_fiber' $(BUILD)/sanitized/thread/broken_fibers

# Not in parallel with each other: both write build/tap.
check-asan: prove-asan $(ASAN_TESTS:%=$(BUILD)/sanitized/address/%) ## the C tests under the address sanitizer and its kin
	$(RUN_ASAN) $(ASAN_TESTS:%=$(BUILD)/sanitized/address/%)

check-tsan: prove-tsan $(TSAN_TESTS:%=$(BUILD)/sanitized/thread/%) ## those with threads under the thread sanitizer
	$(RUN_TSAN) $(TSAN_TESTS:%=$(BUILD)/sanitized/thread/%)

sanitized: prove-asan prove-tsan $(ASAN_TESTS:%=$(BUILD)/sanitized/address/%) $(TSAN_TESTS:%=$(BUILD)/sanitized/thread/%)

WITH_SANITIZERS = if [ -e "$(NIGHTLY_LIBRARIES)/librustc-nightly_rt.tsan.a" ] && command -v clang >/dev/null; then
WITHOUT = else echo "1..0 \# SKIP check-asan and check-tsan need clang and a nightly toolchain"; fi
SAMPLE = ASAN_TESTS="fibers read_line unix_stream" TSAN_TESTS="fibers nettest"

DEEP += check-sanitizers

check-sanitizers: ## both of these, if there are sanitizers
	@$(WITH_SANITIZERS) $(MAKE) check-asan; address=$$?; $(MAKE) check-tsan && exit $$address; $(WITHOUT)

check-deep-sample:: check-sanitizers-sample

check-sanitizers-sample:
	@$(WITH_SANITIZERS) $(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,--jobs=2) sanitized $(SAMPLE) && $(MAKE) check-asan $(SAMPLE) && $(MAKE) check-tsan $(SAMPLE); $(WITHOUT)

.PRECIOUS: $(BUILD)/sanitized/%/libsock.a
$(BUILD)/sanitized/%/libsock.a: FORCE
	MAKEFLAGS= RUSTFLAGS="-Zsanitizer=$* $(if $(filter thread,$*),--cfg tsan) -Zunstable-options -Cunsafe-allow-abi-mismatch=sanitizer" \
	    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=1 \
	    $(CARGO) +nightly build --release --locked --target $(TARGET) --target-dir target/sanitized-$*
	@mkdir -p $(@D)
	@cmp -s target/sanitized-$*/$(TARGET)/release/libsock.a $@ || cp target/sanitized-$*/$(TARGET)/release/libsock.a $@

# $(1): the folder and rustc's name of it; $(2): the compiler's; $(3): the runtime's.
define sanitized
.PRECIOUS: $(BUILD)/sanitized/$(1)/%.o
$(BUILD)/sanitized/$(1)/%.o: tests/c/%.c tests/c/harness.h $(BUILD)/sanitized/$(1)/libsock.a
	@mkdir -p $$(@D)
	clang -O1 -g -fsanitize=$(2) $(TEST_CFLAGS) -c -o $$@ $$<

$(BUILD)/sanitized/$(1)/%.o: tests/sanitizers/%.c $(BUILD)/sanitized/$(1)/libsock.a
	@mkdir -p $$(@D)
	clang -O1 -g -fsanitize=$(2) $(TEST_CFLAGS) -c -o $$@ $$<

$(BUILD)/sanitized/$(1)/races/%.o: tests/races/%.c tests/races/races.h tests/c/harness.h $(BUILD)/sanitized/$(1)/libsock.a
	@mkdir -p $$(@D)
	clang -O1 -g -fsanitize=$(2) $(TEST_CFLAGS) -c -o $$@ $$<

$(BUILD)/sanitized/$(1)/races/races: $(RACE_SOURCES:tests/races/%.c=$(BUILD)/sanitized/$(1)/races/%.o)

$(BUILD)/sanitized/$(1)/%: $(BUILD)/sanitized/$(1)/%.o $(BUILD)/sanitized/$(1)/harness.o $(BUILD)/sanitized/$(1)/libsock.a
	$(CC) -o $$@ $$(filter %.o,$$^) -Wl,--whole-archive $(NIGHTLY_LIBRARIES)/librustc-nightly_rt.$(3).a -Wl,--no-whole-archive \
	    -Wl,--export-dynamic $(BUILD)/sanitized/$(1)/libsock.a $(STATIC_LIBRARIES) -lstdc++
endef
$(eval $(call sanitized,address,address$(comma)undefined -fno-sanitize-recover=undefined,asan))
$(eval $(call sanitized,thread,thread,tsan))
