#!/bin/sh
# What a program compiled against an older header relies on has not changed: values, sizes and offsets, signatures, names.
# packaging/abi holds what they were; `make abi` rewrites it, for intended changes.
. tests/tap.sh
has python3 || skip_all 'python3 is not installed'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
architecture=$($CC -dumpmachine | cut -d - -f 1)

records() { packaging/abi/record include/sock.h "$folder"; }
check 'the layout is read from the header' records

same_layout() { diff -u packaging/abi/layout.txt "$folder/layout.txt"; }
if [ "$architecture" = x86_64 ]; then
    check 'values, sizes and offsets are those on record' same_layout
else
    skip_case 'values, sizes and offsets are those on record' 'the record is for x86_64'
fi

compiles_stubs() { $CC -g -shared -fPIC -Iinclude -o "$folder/libsock.so" "$folder/stubs.c"; }
check 'every function can be defined as it is declared' compiles_stubs

same_signatures() { abidiff --no-show-locs packaging/abi/libsock.abi "$folder/libsock.so"; }
if ! has abidiff; then
    skip_case 'abidiff finds no change' 'abidiff is not installed'
elif [ "$architecture" != x86_64 ]; then
    skip_case 'abidiff finds no change' 'the record is for x86_64'
else
    check 'abidiff finds no change' same_signatures
fi

# The Debian package keeps the list of what was in which version.
same_names() {
    nm -D --defined-only "$LIBRARY_SHARED" | awk '{ print $3 }' | sort >"$folder/exported"
    sed -n 's/^ \(sock_[a-z0-9_]*\)@Base .*/\1/p' packaging/debian/libsock0.symbols | sort >"$folder/listed"
    diff -u "$folder/listed" "$folder/exported"
}
check 'the exported names are those of libsock0.symbols' same_names
done_testing
