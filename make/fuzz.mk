# Fuzzing. `make fuzz FUZZ=names FUZZ_SECONDS=600` runs a target under libFuzzer with the library built for coverage (needs clang and a
# nightly toolchain); `make fuzz-replay` runs every target over its committed corpus with the library as it ships.

FUZZ_TARGETS = $(filter-out replay,$(basename $(notdir $(wildcard fuzz/*.c))))
FUZZ ?= names
FUZZ_SECONDS ?= 60
FUZZ_REPLAYS = $(FUZZ_TARGETS:%=$(BUILD)/fuzz/replay-%)
COVERAGE = -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions=on

TEST_PREREQUISITES += $(FUZZ_REPLAYS)

$(BUILD)/fuzz/replay-%: fuzz/%.c fuzz/replay.c fuzz/fuzz.h $(LIBRARY_STATIC)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -std=c11 -D_GNU_SOURCE $(WARNINGS) -Iinclude -o $@ $< fuzz/replay.c $(LIBRARY_STATIC) $(STATIC_LIBRARIES)

.PHONY: fuzz fuzz-replay fuzz-merge
fuzz-replay: $(FUZZ_REPLAYS) ## run every fuzz target over its committed corpus
	tests/fuzz/replay.t

# The library once more, with every branch counted.
$(BUILD)/fuzz/$(FUZZ): fuzz/$(FUZZ).c fuzz/fuzz.h FORCE
	@mkdir -p $(@D)
	RUSTFLAGS="$(COVERAGE)" CARGO_PROFILE_RELEASE_LTO=off cargo +nightly build --release --locked --target x86_64-unknown-linux-gnu \
	    --target-dir target/fuzz
	clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -D_GNU_SOURCE -Iinclude -o $@ $< \
	    target/fuzz/x86_64-unknown-linux-gnu/release/libsock.a $(STATIC_LIBRARIES)

fuzz: $(BUILD)/fuzz/$(FUZZ) ## fuzz the target FUZZ for FUZZ_SECONDS under libFuzzer
	@mkdir -p fuzz/corpus/$(FUZZ) $(BUILD)/fuzz/found/$(FUZZ)
	$(BUILD)/fuzz/$(FUZZ) -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=20 -print_final_stats=1 \
	    $(BUILD)/fuzz/found/$(FUZZ) fuzz/corpus/$(FUZZ)

# Keeps in the corpus the fewest inputs that reach what everything found reaches.
fuzz-merge: $(BUILD)/fuzz/$(FUZZ)
	@rm -rf $(BUILD)/fuzz/merged && mkdir -p $(BUILD)/fuzz/merged
	$(BUILD)/fuzz/$(FUZZ) -merge=1 $(BUILD)/fuzz/merged fuzz/corpus/$(FUZZ) $(BUILD)/fuzz/found/$(FUZZ)
	rm -rf fuzz/corpus/$(FUZZ) && mv $(BUILD)/fuzz/merged fuzz/corpus/$(FUZZ)
