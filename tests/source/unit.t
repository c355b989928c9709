#!/bin/sh
# The unit tests of the Rust source.
. tests/tap.sh

check 'unit tests' "$CARGO" test --locked
done_testing
