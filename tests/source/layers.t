#!/bin/sh
# The layers of the source: ffi over net over sys. net is safe Rust that knows neither C nor libc.
. tests/tap.sh

# lacks PATTERN PLACE...: no line of code (comments do not count) has it.
lacks() {
    pattern=$1
    shift
    for place in "$@"; do [ -e "$place" ] || return 1; done
    ! grep -rnE --include='*.rs' "$pattern" "$@" | grep -vE '^[^:]*:[0-9]*:\s*//'
}
unsafe_is_explained() {
    # Each unsafe block or impl has SAFETY in one of the three lines above it, or above the run of such lines.
    find src -name '*.rs' | while read -r file; do
        awk -v file="$file" '
            /SAFETY:/ { explained = NR }
            /\/\/|#\[/ { if (explained == NR - 1) explained = NR }
            /unsafe *(\{|impl)/ && !/^ *\/\// { if (NR - explained > 3) print file ":" NR ": " $0 }' "$file"
    done | { ! grep .; }
}

check 'there is source to look at' test "$(find src -name '*.rs' | wc -l)" -ge 50
check 'net has no unsafe code' lacks '\bunsafe\b' src/net
check 'net does not name libc' lacks '\blibc\b' src/net
check 'net does not use ffi' lacks '\b(crate::ffi|super::super::ffi)\b' src/net
check 'sys uses neither net nor ffi' lacks '\bcrate::(net|ffi)\b|\bsuper::super::(net|ffi)\b' src/sys
check 'unsafe blocks say why they are safe' unsafe_is_explained
check 'only sys declares foreign functions' lacks 'extern "C" *\{' src/net src/ffi src/lib.rs
done_testing
