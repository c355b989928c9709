#!/bin/sh
# The manual pages: one for each function, made from the header, understood by man without a complaint.
. tests/tap.sh
has python3 || skip_all 'python3 is not installed'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

makes_them() { man/generate "$PWD/include/sock.h" "$folder/man"; }
check 'the pages are made from the header' makes_them

has_every_function() {
    printf '#define SOCK_NO_STDIO\n#include <sock.h>\n' | $CC -E -P -Iinclude - |
        tr '\n;{}' ' \n\n\n' | grep -v typedef | grep -oE '\bsock_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u >"$folder/functions"
    echo sock_printf >>"$folder/functions"
    [ "$(wc -l <"$folder/functions")" -ge 40 ] || return 1
    for function in $(cat "$folder/functions"); do
        [ -s "$folder/man/man3/$function.3" ] || { echo "no page for $function"; missing=1; }
        grep -q "^\.It Xr $function 3" "$folder/man/man7/sock.7" || { echo "sock(7) does not list $function"; missing=1; }
    done
    [ -z "$missing" ]
}
check 'each function has a page and stands in sock(7)' has_every_function

says_what_a_function_returns() {
    for page in "$folder"/man/man3/*.3; do
        if grep -q '^\.Fo' "$page" && ! grep -q '^\.Sh RETURN VALUES' "$page"; then echo "$page"; missing=1; fi
    done
    [ -z "$missing" ]
}
check 'each function says what it returns' says_what_a_function_returns

refers_to_pages_that_exist() {
    grep -rhoE '^\.(It )?Xr sock\w* [37]' "$folder/man" | sed 's/.*Xr \(.*\) \(.\)/\1.\2/' | sort -u >"$folder/references"
    [ -s "$folder/references" ] || return 1
    while read -r page; do
        [ -e "$folder/man/man${page##*.}/$page" ] || { echo "$page"; missing=1; }
    done <"$folder/references"
    [ -z "$missing" ]
}
check 'references lead to pages that exist' refers_to_pages_that_exist

# What the source's marks become is the generator's work; none may reach the reader.
shows_no_marks() { ! grep -rnE '(^|[^:])@[a-z]+|`|\*\*|\\ref' "$folder/man"; }
check 'no mark of the comments is left in a page' shows_no_marks

pleases_mandoc() {
    # Other manuals that are referred to need not be installed here.
    ! mandoc -T lint -W style "$folder"/man/man3/*.3 "$folder"/man/man7/*.7 2>/dev/null | grep -v "referenced manual not found"
}
if has mandoc; then check 'mandoc -T lint has nothing to say' pleases_mandoc; else skip_case 'mandoc -T lint' 'mandoc is not installed'; fi

pleases_groff() {
    for page in "$folder"/man/man3/*.3 "$folder"/man/man7/*.7; do
        complaints=$(groff -mandoc -Tutf8 -ww -z "$page" 2>&1)
        [ -z "$complaints" ] || { echo "$complaints"; return 1; }
    done
}
if has groff; then check 'groff -ww has nothing to say' pleases_groff; else skip_case 'groff -ww' 'groff is not installed'; fi
done_testing
