#!/bin/sh
# What cargo checks of the Rust source: its unit tests, the exhaustive concurrency models, format and lints.
. tests/tap.sh

check 'unit tests' $CARGO test --locked
if grep -rqs 'cfg(loom)\|cfg(all(test, loom))\|cfg(.*loom' src Cargo.toml; then
    check 'models of the concurrent parts (loom)' env RUSTFLAGS='--cfg loom' CARGO_TARGET_DIR="$BUILD/loom" \
        timeout 280 $CARGO test --release --locked loom
else
    skip_case 'models of the concurrent parts (loom)' 'there are none'
fi
if $CARGO fmt --version >/dev/null 2>&1; then
    check 'rustfmt' $CARGO fmt --check
else
    skip_case 'rustfmt' 'rustfmt is not installed'
fi
if $CARGO clippy --version >/dev/null 2>&1; then
    check 'clippy' $CARGO clippy --locked --all-targets -- -D warnings
else
    skip_case 'clippy' 'clippy is not installed'
fi
done_testing
