#!/bin/sh
# The Debian packages: they build, hold what they should, and a program builds and runs with them installed.
. tests/tap.sh
for tool in dpkg-buildpackage dh python3; do has $tool || skip_all "$tool is not installed"; done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
triplet=$(dpkg-architecture -q DEB_HOST_MULTIARCH)
architecture=$(dpkg-architecture -q DEB_HOST_ARCH)
root=$folder/root

builds() { CARGO=true packaging/debian-package "$folder/packages" >"$folder/output" 2>&1 || { tail -n 30 "$folder/output"; return 1; }; }
check 'the packages build' builds
runtime=$(echo "$folder"/packages/libsock0_"$version"-*_"$architecture".deb)
development=$(echo "$folder"/packages/libsock-dev_"$version"-*_"$architecture".deb)

files_of() { dpkg-deb --fsys-tarfile "$1" | tar -t | grep -v '/$' | sed 's|^\./||' | sort; }

runtime_holds_the_library() {
    printf '%s\n' "usr/lib/$triplet/libsock.so.0" "usr/lib/$triplet/libsock.so.$version" \
        usr/share/doc/libsock0/changelog.Debian.gz \
        usr/share/doc/libsock0/changelog.gz usr/share/doc/libsock0/copyright | sort >"$folder/wanted"
    files_of "$runtime" | diff -u "$folder/wanted" -
}
check 'libsock0 holds the shared library and nothing else' runtime_holds_the_library

development_holds_the_rest() {
    files_of "$development" >"$folder/files"
    for file in usr/include/sock.h usr/include/sock.hpp "usr/lib/$triplet/libsock.so" "usr/lib/$triplet/libsock.a" \
        "usr/lib/$triplet/pkgconfig/sock.pc" "usr/lib/$triplet/cmake/sock/sock-config.cmake" usr/share/man/man3/sock_open.3.gz \
        usr/share/man/man7/sock.7.gz; do
        grep -qx "$file" "$folder/files" || { echo "$file is missing"; missing=1; }
    done
    [ -z "$missing" ]
}
check 'libsock-dev holds headers, library, manual and what finds them' development_holds_the_rest

depends_on() { dpkg-deb -f "$1" Depends | tr ',' '\n' | sed 's/^ *//; s/ .*//' | sort | tr '\n' ' '; }
names_its_dependencies() {
    [ "$(depends_on "$runtime")" = 'libc6 libgcc-s1 ' ] || { depends_on "$runtime"; return 1; }
    dpkg-deb -f "$development" Depends | grep -q "libsock0 (= $version-"
}
check 'they depend on libc, libgcc and each other' names_its_dependencies

installs_into_a_root() {
    mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" && : >"$root/var/lib/dpkg/status" || return 1
    # Nothing else is in that root: neither what they depend on nor the programs that scripts would need.
    dpkg --root="$root" --force-not-root --force-depends --force-script-chrootless --no-triggers --log=/dev/null -i "$runtime" "$development" >"$folder/output" 2>&1 ||
        { tail -n 20 "$folder/output"; return 1; }
    dpkg --root="$root" -s libsock0 libsock-dev | grep -c '^Status: install ok' | grep -qx 2
}
check 'they install into an empty root' installs_into_a_root

serves_a_program() {
    export PKG_CONFIG_SYSROOT_DIR="$root" PKG_CONFIG_LIBDIR="$root/usr/lib/$triplet/pkgconfig"
    $CC $(pkg-config --cflags sock) tests/packaging/program.c $(pkg-config --libs sock) -o "$folder/program" &&
        [ "$(LD_LIBRARY_PATH=$root/usr/lib/$triplet "$folder/program")" = "$version" ]
}
if has pkg-config; then
    check 'a program builds and runs with them' serves_a_program
else
    skip_case 'a program builds and runs with them' 'pkg-config is not installed'
fi

pleases_lintian() { lintian --allow-root --fail-on error --suppress-tags initial-upload-closes-no-bugs "$folder"/packages/*.changes; }
if has lintian; then
    check 'lintian finds no error' pleases_lintian
else
    skip_case 'lintian finds no error' 'lintian is not installed'
fi
done_testing
