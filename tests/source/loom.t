#!/bin/sh
# Every interleaving of the lock-free parts: handles being used and closed, turns and wake-ups.
. tests/tap.sh

grep -rqs 'cfg(.*loom' src || skip_all 'there are no loom models'
# Optimized, because the models run a hundred thousand times; but without link-time optimization, which takes longer than
# they do.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=2
models() { rust_tests 9 env RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR="$BUILD/loom" "$CARGO" test --release --locked --lib -- "$@"; }
check 'models of the concurrent parts' models interleavings
done_testing
