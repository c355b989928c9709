#!/bin/sh
# The library among others: beside a second Rust library, loaded as a plugin, and in programs with names of their own.
. tests/tap.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
sources=tests/packaging
strict='-Wall -Wextra -Wpedantic -Werror'

hides() { packaging/static-library "$LIBRARY_STATIC" "$folder/libsock.a"; }
check 'the static library is made' hides

# ---- a second Rust library ----

makes_a_neighbour() {
    rustc --edition 2024 --crate-type staticlib -C opt-level=1 -C lto=fat -C codegen-units=1 -o "$folder/libneighbour.a" \
        "$sources/neighbour.rs"
}
links_beside() { # LINKER ORDER...
    linker=$1
    shift
    $CC $strict -Iinclude -fuse-ld="$linker" "$sources/beside.c" "$@" -lpthread -ldl -lm -o "$folder/beside" && "$folder/beside"
}
beside() {
    for linker in bfd gold lld; do
        has "ld.$linker" || continue
        check "beside a second Rust library, linked by $linker, libsock first" \
            links_beside $linker "$folder/libsock.a" "$folder/libneighbour.a"
        check "beside a second Rust library, linked by $linker, libsock last" \
            links_beside $linker "$folder/libneighbour.a" "$folder/libsock.a"
    done
    check 'the shared library beside a second Rust library' \
        links_beside bfd "$folder/libneighbour.a" "$LIBRARY_SHARED" "-Wl,-rpath,$PWD/$(dirname "$LIBRARY_SHARED")"
}
if has rustc; then
    check 'the neighbour is built' makes_a_neighbour
    beside
else
    skip_case 'beside a second Rust library' 'rustc is not installed'
fi

# ---- as a plugin ----

is_loaded_and_unloaded() {
    $CC $strict -std=gnu11 -Iinclude "$sources/loaded.c" -pthread -ldl -o "$folder/loaded" && "$folder/loaded" "$LIBRARY_SHARED"
}
check 'dlopen and dlclose a hundred times, with handles left open at the end' is_loaded_and_unloaded

two_copies_are_strangers() {
    cp "$LIBRARY_SHARED" "$folder/libother.so" &&
    $CC $strict -std=gnu11 -Iinclude "$sources/copies.c" -ldl -o "$folder/copies" &&
    "$folder/copies" "$LIBRARY_SHARED" "$folder/libother.so"
}
check 'a handle of one copy of the library means nothing to another' two_copies_are_strangers

# ---- names of its own ----

# The names of libc functions are a program's to use as long as they stay inside it.
names_its_own() { # ARGUMENTS...
    $CC $strict -std=c11 -Iinclude "$sources/names.c" "$@" -pthread -o "$folder/names" && "$folder/names"
}
names_its_own_shared() { names_its_own "$@" "$LIBRARY_SHARED" "-Wl,-rpath,$PWD/$(dirname "$LIBRARY_SHARED")"; }
echo '{ local: *; };' >"$folder/exports"
for way in -DOWN=static -fvisibility=hidden "-Wl,--version-script=$folder/exports"; do
    check "a program with its own read, connect and log, shared: ${way%%=/*}" names_its_own_shared "$way"
done
check 'a program with its own read, connect and log, static' names_its_own -DOWN=static "$folder/libsock.a" -lgcc_s
check 'a program that exports its own read, write, connect and log, shared' names_its_own_shared -DOWN_ALL=static
check 'a program that exports its own read, write, connect and log, static' \
    names_its_own -DOWN_ALL=static -rdynamic "$folder/libsock.a" -lgcc_s
done_testing
