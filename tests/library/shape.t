#!/bin/sh
# How the shared library is linked: protected after loading, small, needing nothing but libc and the unwinder.
. tests/tap.sh
has readelf || skip_all 'readelf is not installed'

shows() { readelf -W "$1" "$LIBRARY_SHARED" | grep -E "$2"; }
lacks() { ! shows "$1" "$2"; }
needs_only() { ! readelf -d "$LIBRARY_SHARED" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -vE '^(libc\.so\.6|libgcc_s\.so\.1|ld-linux.*)$'; }
stack_is_not_executable() { shows -l 'GNU_STACK' && ! shows -l 'GNU_STACK.*RWE'; }
is_at_most() { # BYTES FILE
    size=$(stat -L -c %s "$2")
    echo "$2 has $size bytes"
    [ "$size" -le "$1" ]
}
stripped_is_small() {
    folder=$(mktemp -d) && strip -o "$folder/library" "$LIBRARY_SHARED" && is_at_most 655360 "$folder/library"
    verdict=$?
    rm -rf "$folder"
    return $verdict
}

check 'relocations are read-only after loading' shows -l GNU_RELRO
check 'all symbols are bound at load time' shows -d 'BIND_NOW|FLAGS.*NOW'
check 'the stack is not executable' stack_is_not_executable
check 'code is not relocated' lacks -d TEXTREL
check 'it has a versioned SONAME' shows -d 'SONAME.*\[libsock\.so\.[0-9]+\]'
check 'it needs libc and libgcc_s only' needs_only
# A quarter of a megabyte of it is Rust's standard library, most of that the printing of panics.
minor=$(rustc --version | sed 's/^rustc 1\.\([0-9]*\).*/\1/')
if [ "$minor" -ge 95 ]; then
    check 'stripped, it stays under 640 KiB' stripped_is_small
else
    skip_case 'stripped, it stays under 640 KiB' "with the standard library of Rust 1.$minor it is larger"
fi
done_testing
