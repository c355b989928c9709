#!/bin/sh
# The unit tests of the Rust source.
. tests/tap.sh

check 'unit tests' rust_tests 50 "$CARGO" test --locked
done_testing
