#!/bin/sh
# The library still compiles with the oldest Rust that it promises to.
. tests/tap.sh
version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

check 'the README names the version' grep -q "Rust $version or later" README.md
if has rustup && rustup run "$version" rustc --version >/dev/null 2>&1; then
    check "compiles with Rust $version" rustup run "$version" cargo check --locked --lib --target-dir "$BUILD/oldest"
else
    skip_case "compiles with Rust $version" "rustup toolchain install $version"
fi
done_testing
