#!/bin/sh
# sock.hpp compiles everywhere it promises to, and leaves out nothing of sock.h.
. tests/tap.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

printf '#include <sock.hpp>\nvoid other() { sock::Socket socket; }\n' >"$folder/other.cpp"
cat >"$folder/used.cpp" <<'END'
#include <sock.hpp>
#include <sock.hpp>
void other();
int main()
{
    std::error_code code;
    sock::Socket socket = sock::Socket::open("", "1", code);
    std::string line;
    socket.read_line(line, code);
    other();
    return code == SOCK_EHANDLE ? 0 : 1;
}
END

compiles() { # COMPILER STANDARD FLAGS...
    compiler=$1 standard=$2
    shift 2
    "$compiler" -std="$standard" -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror "$@" -Iinclude -fsyntax-only \
        "$folder/used.cpp"
}

for compiler in g++ clang++; do
    for standard in c++17 c++20 c++2b; do
        if ! has "$compiler"; then
            skip_case "$compiler $standard" "$compiler is not installed"
        elif ! "$compiler" -std=$standard -fsyntax-only -x c++ /dev/null 2>/dev/null; then
            skip_case "$compiler $standard" "$compiler does not know this standard"
        else
            check "$compiler $standard" compiles "$compiler" $standard
        fi
    done
    has "$compiler" || continue
    check "$compiler without exceptions and run-time types" compiles "$compiler" c++17 -fno-exceptions -fno-rtti
    check "$compiler without stdio" compiles "$compiler" c++17 -DSOCK_NO_STDIO
    case $compiler in
    g++) check "$compiler at its pickiest" compiles g++ c++17 -Wold-style-cast -Wuseless-cast -Weffc++ ;;
    *) check "$compiler at its pickiest" compiles clang++ c++17 -Wold-style-cast -Wdocumentation -Wdocumentation-unknown-command ;;
    esac
done

two_units_make_one_program() {
    $CXX -std=c++17 -Iinclude -o "$folder/program" "$folder/used.cpp" "$folder/other.cpp" "$LIBRARY_SHARED" &&
        LD_LIBRARY_PATH=$(dirname "$LIBRARY_SHARED") "$folder/program"
}
check 'two translation units make one program' two_units_make_one_program

# sock_printf has a body of its own there, because C++ has no way to pass its arguments on.
uses_every_function() {
    printf '#define SOCK_NO_STDIO\n#include <sock.h>\n' | $CXX -x c++ -E -P -Iinclude - |
        tr '\n;{}' ' \n\n\n' | grep -v typedef | grep -oE '\bsock_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u >"$folder/declared"
    [ "$(wc -l <"$folder/declared")" -ge 60 ] || return 1
    for function in $(cat "$folder/declared"); do
        grep -q "\b$function\b *(" include/sock.hpp || { echo "$function is not used"; missing=1; }
    done
    [ -z "$missing" ]
}
check 'every function of sock.h is within reach' uses_every_function
done_testing
