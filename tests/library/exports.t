#!/bin/sh
# What the shared library exports is what the header declares: no function missing, nothing else visible.
. tests/tap.sh
has nm || skip_all 'nm is not installed'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The preprocessor drops comments and the inline function's body lives in the header alone.
printf '#define SOCK_NO_STDIO\n#include <sock.h>\n' | $CC -std=c11 -E -P -Iinclude - |
    tr '\n' ' ' | tr ';{}' '\n\n\n' | grep -v typedef | grep -oE '\bsock_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u >"$folder/declared"
nm -D --defined-only "$LIBRARY_SHARED" | awk '{ print $3 }' | sed 's/@.*//' | sort -u >"$folder/exported"

check 'the header declares functions' test "$(wc -l <"$folder/declared")" -ge 60
check 'the library exports exactly the functions of the header' diff -u "$folder/declared" "$folder/exported"
done_testing
