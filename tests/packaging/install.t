#!/bin/sh
# make install into a prefix of its own, and a program built against it in each way that people use.
. tests/tap.sh
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
prefix=$folder/prefix
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
soname=libsock.so.${version%%.*}
sources=$PWD/tests/packaging
has python3 || skip_all 'python3 is not installed, which writes the manual pages'

# CARGO=true: the library is built already. BUILD: apart from what other tests make at the same time.
make_in() { make --no-print-directory CARGO=true BUILD="$folder/build" "$@" >"$folder/output" 2>&1 || { tail -n 5 "$folder/output"; return 1; }; }
files_under() { (cd "$1" && find . ! -type d | sed 's|^\./||' | sort); }

says_its_version() { # COMMAND...
    printed=$("$@") || return 1
    [ "$printed" = "$version" ] || { echo "printed $printed"; return 1; }
}

# ---- what is installed ----

installs() { make_in install PREFIX="$prefix"; }
check 'make install' installs

holds_what_it_should() {
    {
        printf '%s\n' include/sock.h include/sock.hpp "lib/libsock.so.$version" "lib/$soname" lib/libsock.so lib/libsock.a \
            lib/pkgconfig/sock.pc lib/cmake/sock/sock-config.cmake lib/cmake/sock/sock-config-version.cmake
        (cd "$folder/build/man" && find man3 man7 -type f | sed 's|^|share/man/|')
        (cd c_examples && find . -maxdepth 1 -type f \( -name '*.[ch]' -o -name '*.py' -o -name Makefile -o -name README.md \) |
            sed 's|^\.|share/doc/libsock/examples|')
    } | sort >"$folder/wanted"
    files_under "$prefix" | diff -u "$folder/wanted" -
}
check 'the prefix holds these files and no others' holds_what_it_should

links_lead_to_it() {
    [ "$(readlink "$prefix/lib/libsock.so")" = "$soname" ] && [ "$(readlink "$prefix/lib/$soname")" = "libsock.so.$version" ] &&
        readelf -d "$prefix/lib/libsock.so" | grep -q "SONAME.*\[$soname\]"
}
check 'the links lead from libsock.so over the SONAME to the file' links_lead_to_it

has_no_trace_of_the_build() {
    ! grep -rl "$PWD" "$prefix" && ! grep -rl '@[a-z_]*@' "$prefix/lib/pkgconfig" "$prefix/lib/cmake"
}
check 'nothing installed names the folder it was built in' has_no_trace_of_the_build

stages() {
    make_in install DESTDIR="$folder/stage" PREFIX=/usr LIBDIR=/usr/lib/some-triplet || return 1
    [ -e "$folder/stage/usr/lib/some-triplet/$soname" ] && [ -e "$folder/stage/usr/include/sock.h" ] &&
        ! grep -r "$folder" "$folder/stage/usr/lib/some-triplet/pkgconfig" "$folder/stage/usr/lib/some-triplet/cmake" &&
        grep -q '^libdir=${prefix}/lib/some-triplet$' "$folder/stage/usr/lib/some-triplet/pkgconfig/sock.pc"
}
check 'DESTDIR stages for a prefix that it is not in' stages

installs_without_cargo() {
    CARGO=no-such-cargo make --no-print-directory install BUILD="$folder/build" PREFIX="$folder/later" >"$folder/output" 2>&1 ||
        { tail -n 5 "$folder/output"; return 1; }
    [ -e "$folder/later/lib/$soname" ]
}
check 'what was built before is installed where there is no cargo' installs_without_cargo

# ---- sizes ----

size_of() { stat -L -c %s "$prefix/lib/$1"; }
for file in libsock.so libsock.a; do
    recorded=$(awk -v name=$file '$1 == name { print $2 }' packaging/sizes.txt)
    printf '# %s: %d bytes, %+d against the record\n' "$file" "$(size_of $file)" $(($(size_of $file) - recorded))
done
static_is_small() { size_of libsock.a && [ "$(size_of libsock.a)" -le 1048576 ]; }
check 'the installed static library stays under 1 MiB' static_is_small

# ---- the static library among others ----

shows_the_api_only() {
    nm -D --defined-only "$prefix/lib/libsock.so" | awk '{ print $3 }' | sort >"$folder/shared"
    nm --defined-only --extern-only "$prefix/lib/libsock.a" | awk 'NF == 3 { print $3 }' | sort >"$folder/static"
    [ -s "$folder/static" ] && diff -u "$folder/shared" "$folder/static"
}
check 'the static library shows the functions of the shared one and nothing else' shows_the_api_only
one_member() { [ "$(ar t "$prefix/lib/libsock.a" | wc -l)" = 1 ]; }
check 'the static library is one object' one_member
keeps_the_unwind_tables() { # without them a caught bug would end the program
    shared=$(readelf -SW "$prefix/lib/libsock.so" | sed -n 's/.* \.eh_frame  *[A-Z0-9_]*  *[0-9a-f]* [0-9a-f]* \([0-9a-f]*\) .*/\1/p')
    static=$(readelf -SW "$prefix/lib/libsock.a" | sed -n 's/.* \.eh_frame  *[A-Z0-9_]*  *[0-9a-f]* [0-9a-f]* \([0-9a-f]*\) .*/\1/p')
    echo "shared: $shared, static: $static"
    [ "$((0x$static * 10))" -ge "$((0x$shared * 9))" ]
}
check 'the static library keeps its unwind tables' keeps_the_unwind_tables

# ---- building against it ----

"${PKG_CONFIG:=pkg-config}" --version >/dev/null 2>&1 || PKG_CONFIG=
export PKG_CONFIG_PATH="$prefix/lib/pkgconfig"
strict='-Wall -Wextra -Wpedantic -Werror'

plain_shared() {
    $CC $strict -I"$prefix/include" "$sources/program.c" -L"$prefix/lib" -lsock -o "$folder/program" &&
        LD_LIBRARY_PATH=$prefix/lib says_its_version "$folder/program"
}
check 'plain cc, shared' plain_shared

plain_static() {
    $CC $strict -I"$prefix/include" "$sources/program.c" "$prefix/lib/libsock.a" -o "$folder/program" &&
        ! readelf -d "$folder/program" | grep libsock && says_its_version "$folder/program"
}
check 'plain cc, the archive by name' plain_static

pkg_config_shared() {
    $CC $strict $($PKG_CONFIG --cflags sock) "$sources/program.c" $($PKG_CONFIG --libs sock) -o "$folder/program" &&
        readelf -d "$folder/program" | grep -q "NEEDED.*\[$soname\]" &&
        LD_LIBRARY_PATH=$($PKG_CONFIG --variable=libdir sock) says_its_version "$folder/program"
}
pkg_config_static() { # COMPILER SOURCE
    # The linker's warning that getaddrinfo wants shared libraries at run time is glibc's, and true.
    $1 $strict $($PKG_CONFIG --cflags sock) "$2" -static $($PKG_CONFIG --static --libs sock) -o "$folder/program" &&
        ! readelf -d "$folder/program" | grep NEEDED && says_its_version "$folder/program"
}
pkg_config_archive() {
    $CC $strict $($PKG_CONFIG --cflags sock) "$sources/program.c" \
        $($PKG_CONFIG --static --libs sock | sed 's/-lsock/-l:libsock.a/') -o "$folder/program" &&
        ! readelf -d "$folder/program" | grep libsock && says_its_version "$folder/program"
}
pkg_config_cpp() {
    $CXX -std=c++17 $strict $($PKG_CONFIG --cflags sock) "$sources/program.cpp" $($PKG_CONFIG --libs sock) -o "$folder/program" &&
        LD_LIBRARY_PATH=$prefix/lib says_its_version "$folder/program"
}
pkg_config_version() { [ "$($PKG_CONFIG --modversion sock)" = "$version" ]; }
with_pkg_config() { # NAME COMMAND...
    if [ -n "$PKG_CONFIG" ]; then check "$@"; else skip_case "$1" 'pkg-config is not installed'; fi
}
with_pkg_config 'pkg-config, the version' pkg_config_version
with_pkg_config 'pkg-config, shared' pkg_config_shared
with_pkg_config 'pkg-config, the archive in a dynamic program' pkg_config_archive
with_pkg_config 'pkg-config, -static' pkg_config_static "$CC" "$sources/program.c"
with_pkg_config 'pkg-config, C++' pkg_config_cpp
with_pkg_config 'pkg-config, C++, -static' pkg_config_static "$CXX -std=c++17" "$sources/program.cpp"

examples_build() {
    cp -R "$prefix/share/doc/libsock/examples" "$folder/examples" && make --no-print-directory -C "$folder/examples" >"$folder/output" 2>&1 ||
        { head -n 20 "$folder/output"; return 1; }
    [ -x "$folder/examples/echo_client" ] && readelf -d "$folder/examples/echo_client" | grep -q "NEEDED.*\[$soname\]"
}
with_pkg_config 'the installed examples build by their own Makefile' examples_build

# ---- CMake ----

cmake_project() { # FOLDER FIND_PACKAGE-ARGUMENTS
    mkdir -p "$1"
    cp "$sources/program.c" "$sources/program.cpp" "$1"
    cat >"$1/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.13)
project(user C CXX)
set(CMAKE_CXX_STANDARD 17)
find_package(sock $2)
foreach(kind sock sock_static)
  add_executable(c_\${kind} program.c)
  target_link_libraries(c_\${kind} PRIVATE sock::\${kind})
  add_executable(cpp_\${kind} program.cpp)
  target_link_libraries(cpp_\${kind} PRIVATE sock::\${kind})
endforeach()
END
}
cmake_configures() { cmake -S "$1" -B "$1/build" -DCMAKE_PREFIX_PATH="$2" >"$folder/output" 2>&1 || { head -n 20 "$folder/output"; return 1; }; }
cmake_builds() { # FOLDER PREFIX
    cmake_project "$1" "${version%.*} REQUIRED" && cmake_configures "$1" "$2" &&
        cmake --build "$1/build" >"$folder/output" 2>&1 || { head -n 20 "$folder/output"; return 1; }
    for program in c_sock cpp_sock c_sock_static cpp_sock_static; do
        says_its_version "$1/build/$program" || return 1
    done
    ! readelf -d "$1/build/c_sock_static" | grep libsock
}
cmake_after_a_move() {
    cp -R "$prefix" "$folder/elsewhere" && cmake_builds "$folder/moved" "$folder/elsewhere" &&
        grep -q "$folder/elsewhere/include" "$folder/moved/build/CMakeFiles/c_sock.dir/flags.make"
}
cmake_refuses() { # VERSION
    cmake_project "$folder/refused" "$1 REQUIRED"
    ! cmake_configures "$folder/refused" "$prefix" && grep -q 'considered but not accepted' "$folder/output"
}
with_cmake() {
    if has cmake; then check "$@"; else skip_case "$1" 'cmake is not installed'; fi
}
with_cmake 'CMake, both targets, C and C++' cmake_builds "$folder/cmake" "$prefix"
with_cmake 'CMake, after the tree was moved' cmake_after_a_move
with_cmake 'CMake refuses a newer version' cmake_refuses "${version%.*}.999"
with_cmake 'CMake refuses another major version' cmake_refuses "$((${version%%.*} + 1))"

# ---- and away again ----

uninstalls() {
    make_in uninstall PREFIX="$prefix" || return 1
    left=$(files_under "$prefix")
    [ -z "$left" ] || { echo "$left"; return 1; }
}
check 'make uninstall leaves no file' uninstalls
leaves_the_files_of_others() {
    mkdir -p "$prefix/lib/cmake/other" && touch "$prefix/lib/cmake/other/file" "$prefix/lib/libother.so"
    make_in install PREFIX="$prefix" && make_in uninstall PREFIX="$prefix" &&
        [ "$(files_under "$prefix")" = "$(printf 'lib/cmake/other/file\nlib/libother.so')" ]
}
check "make uninstall leaves others' files" leaves_the_files_of_others
done_testing
