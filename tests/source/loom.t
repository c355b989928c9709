#!/bin/sh
# Every interleaving of the lock-free parts: handles being used and closed, turns and wake-ups.
. tests/tap.sh

grep -rqs 'cfg(.*loom' src || skip_all 'there are no loom models'
models() { RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR="$BUILD/loom" "$CARGO" test --release --locked --lib -- "$@"; }
check 'models of the concurrent parts' models interleavings
done_testing
