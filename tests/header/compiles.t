#!/bin/sh
# The header compiles alone and included twice, in every language and with every compiler there is, without a warning.
. tests/tap.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

printf '#include <sock.h>\nint alone;\n' >"$folder/once.c"
printf '#include <sock.h>\n#include <sock.h>\nint twice;\n' >"$folder/twice.c"
# A program that uses the macros, the inline function and a function, for what shows only in use.
cat >"$folder/used.c" <<'END'
#include <sock.h>
int main(void);
int main(void)
{
    static const sock_options defaults = SOCK_OPTIONS_INIT;
    sock_t s = sock_open("127.0.0.1", "1", SOCK_OPTIONS(.timeout_ms = 1, .nodelay = SOCK_OFF));
#ifndef SOCK_NO_STDIO
    return sock_printf(s, "%d bytes", (int)defaults.size) < 0;
#else
    return s == 0 || defaults.size == 0;
#endif
}
END
# The initializer macros are for C; C++ value-initializes.
cat >"$folder/used.cc" <<'END'
#include <sock.h>
int main()
{
    sock_options options{};
    options.size = sizeof options;
#if defined(SOCK_OPTIONS) || defined(SOCK_OPTIONS_INIT) || defined(SOCK_SERVER_OPTIONS)
#error "the initializer macros do not work in C++"
#endif
#ifndef SOCK_NO_STDIO
    return sock_printf(sock_open("127.0.0.1", "1", &options), "%d", 1) < 0;
#else
    return sock_open("127.0.0.1", "1", &options) < 0;
#endif
}
END
cp "$folder/once.c" "$folder/once.cc"
cp "$folder/twice.c" "$folder/twice.cc"
# What must not compile: the format is checked.
printf '#include <sock.h>\nint main(void) { return (int)sock_printf(1, "%%s", 1); }\n' >"$folder/format.c"

understands() { # COMPILER SUFFIX STANDARD
    echo 'int nothing;' >"$folder/empty.$2"
    "$1" "-std=$3" -c -o /dev/null "$folder/empty.$2" 2>/dev/null
}

compile_all() { # COMPILER SUFFIX STANDARD FLAGS...
    compiler=$1 suffix=$2 standard=$3
    shift 3
    for program in once twice used; do
        for define in '' -DSOCK_NO_STDIO; do
            "$compiler" "-std=$standard" "$@" $define -Iinclude -c -o "$folder/out.o" "$folder/$program.$suffix" || return 1
        done
    done
}

language() { # SUFFIX COMPILERS STANDARDS
    for compiler in $2; do
        for standard in $3; do
            name="$compiler -std=$standard"
            if ! has "$compiler"; then
                skip_case "$name" "$compiler is not installed"
            elif ! understands "$compiler" "$1" "$standard"; then
                skip_case "$name" "$compiler does not know this standard"
            else
                check "$name" compile_all "$compiler" "$1" "$standard" -Wall -Wextra -Wpedantic -Werror -Wconversion -Wshadow
            fi
        done
    done
}

# Warnings that programs ask for beyond the usual: with -I they are given for the lines of the header too.
picky() { # COMPILER SUFFIX STANDARD FLAGS...
    if has "$1"; then
        check "$1 at its pickiest" compile_all "$@" -Wall -Wextra -Wpedantic -Werror -Wsign-conversion -Wcast-qual -Wundef -Wredundant-decls
    else
        skip_case "$1 at its pickiest" "$1 is not installed"
    fi
}

rejects_wrong_format() { ! gcc -Wall -Werror -Iinclude -c -o /dev/null "$folder/format.c" 2>/dev/null; }

language c 'gcc clang' 'c99 gnu99 c11 c17 c2x'
language cc 'g++ clang++' 'c++11 c++14 c++17 c++20'
documented='-Wdocumentation -Wdocumentation-unknown-command'
picky gcc c c99 -Wc++-compat -Wbad-function-cast -Wstrict-prototypes -Wdeclaration-after-statement
picky clang c c99 $documented
picky g++ cc c++11 -Wold-style-cast -Wuseless-cast -Wzero-as-null-pointer-constant -Weffc++
picky clang++ cc c++11 -Wold-style-cast -Wzero-as-null-pointer-constant $documented
if has tcc; then
    check 'tcc -std=c99' compile_all tcc c c99 -Wall -Werror
    check 'tcc -std=c11' compile_all tcc c c11 -Wall -Werror
else
    skip_case 'tcc' 'tcc is not installed'
fi
if has gcc; then check 'sock_printf checks its format' rejects_wrong_format; else skip_case 'sock_printf checks its format' 'gcc is not installed'; fi
done_testing
