#!/bin/sh
# What a request costs a server of fibers under load: one recv, one send, and a share of an epoll_wait.
. tests/tap.sh
has strace || skip_all 'strace is not installed'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
program=$folder/echo_fibers

build() {
    $CC -O2 -std=c11 -Wall -Wextra -Werror -Iinclude -o "$program" tests/system_calls/echo_fibers.c "$LIBRARY_SHARED" \
        -Wl,-rpath,"$(dirname "$(realpath "$LIBRARY_SHARED")")"
}
exchange() {
    timeout 100 strace -f -c -o "$folder/calls" "$program" serve >"$folder/port" &
    server=$!
    tries=0
    until [ -s "$folder/port" ]; do
        tries=$((tries + 1))
        [ $tries -lt 3000 ] || return 1
        sleep 0.02
    done
    timeout 100 "$program" talk "$(cat "$folder/port")" >"$folder/requests" && wait $server
}
calls() { awk -v name="$1" '$NF == name { print $4; found = 1 } END { if (!found) print 0 }' "$folder/calls"; }
at_most() { # CALL PERCENT
    echo "$(calls "$1") $1 for $(cat "$folder/requests") requests"
    [ "$(calls "$1")" -gt 0 ] && [ "$(calls "$1")" -le $(($(cat "$folder/requests") * $2 / 100)) ]
}

check 'the program builds' build
if ! strace -o /dev/null true 2>/dev/null; then
    skip_case 'a request is one recv' 'strace may not trace here'
    done_testing
    exit
fi
check 'server and client run' exchange
check 'a request is one recv' at_most recvfrom 104
check 'a request is one send' at_most sendto 100
check 'it shares its epoll_wait with others' at_most epoll_wait 80
check 'nothing is registered for it' at_most epoll_ctl 2
done_testing
