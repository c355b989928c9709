#!/bin/sh
# The Rust source is formatted, and clippy has nothing to say.
. tests/tap.sh

if "$CARGO" fmt --version >/dev/null 2>&1; then
    check 'rustfmt' "$CARGO" fmt --check
else
    skip_case 'rustfmt' 'rustfmt is not installed'
fi
if "$CARGO" clippy --version >/dev/null 2>&1; then
    check 'clippy' "$CARGO" clippy --locked --all-targets -- -D warnings
else
    skip_case 'clippy' 'clippy is not installed'
fi
done_testing
