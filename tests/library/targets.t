#!/bin/sh
# The library on other targets than this machine's: with musl instead of glibc, and on ARM, which an emulator runs here. What the
# emulator itself lacks is not among the cases.
. tests/tap.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
standard_libraries=$(rustc --print sysroot)/lib/rustlib

# runs TARGET COMPILER EMULATOR LIBRARIES PROGRAM...: each of the programs of tests/c, in which every case is to pass
runs() {
    target=$1 compiler=$2 emulator=$3 libraries=$4
    shift 4
    for tool in $compiler $emulator; do
        has "$tool" || { skip_case "$target" "$tool is not installed"; return; }
    done
    [ -d "$standard_libraries/$target" ] || { skip_case "$target" "rustup target add $target"; return; }
    check "$target: builds" "$CARGO" rustc --release --locked --lib --crate-type staticlib --target "$target"
    for program; do
        check "$target: $program" runs_all "$program"
    done
}

runs_all() {
    # shellcheck disable=SC2086
    "$compiler" -O2 -std=c11 -D_GNU_SOURCE -pthread -static -Wall -Wextra -Werror -Iinclude -Itests/c -o "$folder/$1" \
        "tests/c/$1.c" tests/c/harness.c "target/$target/release/libsock.a" $libraries &&
        $emulator "$folder/$1" >"$folder/tap" && return
    grep -A 9 '^not ok' "$folder/tap"
    return 1
}

runs x86_64-unknown-linux-musl musl-gcc '' "$standard_libraries/x86_64-unknown-linux-musl/lib/self-contained/libunwind.a" \
    addresses datagrams fibers poller read_line read_write unix_stream
runs aarch64-unknown-linux-gnu aarch64-linux-gnu-gcc qemu-aarch64 '-lgcc_eh -lpthread -lm -lc' \
    datagrams half_close_reset poller read_write send_file unix_stream
done_testing
