# The C tests under sanitizers, with the Rust side instrumented too: needs clang and a nightly toolchain, whose runtimes are used
# for both sides. `make check-asan` runs every test under the address sanitizer, `make check-tsan` those
# with threads under the thread sanitizer. Each first proves that the sanitizer is on.

TARGET = x86_64-unknown-linux-gnu
NIGHTLY_LIBRARIES = $(shell rustc +nightly --print target-libdir --target $(TARGET) 2>/dev/null)
# Not for sanitizers: they compare whole processes, count what memory is touched, or look at how the library is linked.
ASAN_TESTS = $(filter-out exhaustion process_untouched,$(C_TESTS))
TSAN_TESTS = threads cancel close_wakes deadlines foreign_bytes handles listen_accept nettest poller read_write server

.PHONY: check-asan check-tsan
check-asan: $(ASAN_TESTS:%=$(BUILD)/sanitized/address/%) $(BUILD)/sanitized/address/broken
	tests/sanitizers/prove-on address $(BUILD)/sanitized/address/broken
	SOCK_TEST_SANITIZED=1 SOCK_TEST_MEMCHECK=1 ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 tests/run 1 $(ASAN_TESTS:%=$(BUILD)/sanitized/address/%)

check-tsan: $(TSAN_TESTS:%=$(BUILD)/sanitized/thread/%) $(BUILD)/sanitized/thread/broken
	tests/sanitizers/prove-on thread $(BUILD)/sanitized/thread/broken
	SOCK_TEST_SANITIZED=1 SOCK_TEST_MEMCHECK=1 TSAN_OPTIONS=report_signal_unsafe=0:die_after_fork=0 \
	    tests/run 1 $(TSAN_TESTS:%=$(BUILD)/sanitized/thread/%)

check-deep::
	@if [ -n "$(NIGHTLY_LIBRARIES)" ] && command -v clang >/dev/null; then $(MAKE) check-asan check-tsan; \
	else echo "skipped: check-asan, check-tsan: they need clang and a nightly toolchain"; fi

$(BUILD)/sanitized/%/libsock.a: FORCE
	RUSTFLAGS="-Zsanitizer=$* $(if $(filter thread,$*),--cfg tsan) -Zunstable-options -Cunsafe-allow-abi-mismatch=sanitizer" \
	    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=1 \
	    $(CARGO) +nightly build --release --locked --target $(TARGET) --target-dir target/sanitized-$*
	@mkdir -p $(@D)
	@cmp -s target/sanitized-$*/$(TARGET)/release/libsock.a $@ || cp target/sanitized-$*/$(TARGET)/release/libsock.a $@

# $(1): address or thread; $(2): the compiler's name of it; $(3): the runtime's.
define sanitized
$(BUILD)/sanitized/$(1)/%: tests/c/%.c tests/c/harness.c tests/c/harness.h $(BUILD)/sanitized/$(1)/libsock.a
	clang -w -O1 -g -fsanitize=$(2) $(TEST_CFLAGS) -c -o $$@.o $$<
	clang -w -O1 -g -fsanitize=$(2) $(TEST_CFLAGS) -c -o $$@-harness.o tests/c/harness.c
	$(CC) -o $$@ $$@.o $$@-harness.o -Wl,--whole-archive $(NIGHTLY_LIBRARIES)/librustc-nightly_rt.$(3).a -Wl,--no-whole-archive \
	    -Wl,--export-dynamic $(BUILD)/sanitized/$(1)/libsock.a $(STATIC_LIBRARIES) -lstdc++

$(BUILD)/sanitized/$(1)/broken: tests/sanitizers/broken_$(1).c $(BUILD)/sanitized/$(1)/libsock.a
	clang -w -O1 -g -fsanitize=$(2) $(TEST_CFLAGS) -c -o $$@.o $$<
	$(CC) -o $$@ $$@.o -Wl,--whole-archive $(NIGHTLY_LIBRARIES)/librustc-nightly_rt.$(3).a -Wl,--no-whole-archive \
	    -Wl,--export-dynamic $(BUILD)/sanitized/$(1)/libsock.a $(STATIC_LIBRARIES) -lstdc++
endef
$(eval $(call sanitized,address,address,asan))
$(eval $(call sanitized,thread,thread,tsan))
