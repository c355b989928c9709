#!/bin/sh
# Shows the library at work: an echo server and its client, then a page from a real HTTP server.
# Usage: demo.sh FOLDER, where FOLDER holds the built examples. Fails where anything does not work.
set -eu

programs=$(cd "$1" && pwd)
folder=$(mktemp -d)
started=""

finish() {
    status=$?
    for process in $started; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$folder"
    [ "$status" -eq 0 ] || echo "demo: something did not work" >&2
    exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

say() { printf '\n== %s\n' "$1"; }

typed() { printf '   $ %s\n' "$1"; }

show() { sed 's/^/   /'; }

# wait_for PROCESS COMMAND...: tries the command while the process runs, for ten seconds at most.
wait_for() {
    process=$1
    shift
    tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -ge 200 ] || ! kill -0 "$process" 2>/dev/null; then
            echo "demo: waited in vain for: $*" >&2
            "$@" >/dev/null || true # once more, for its own words
            return 1
        fi
        sleep 0.05
    done
}

# The port at the end of the line "listening on ADDRESS", once it is there.
port_of() { sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$1" | grep .; }

stop() {
    kill -TERM "$1"
    wait "$1"
    started=$(echo "$started" | sed "s/\b$1\b//")
}

say "An echo server starts on any free port of the loopback"
typed "echo_server 127.0.0.1 0"
"$programs/echo_server" 127.0.0.1 0 >"$folder/echo" &
echo_server=$!
started="$started $echo_server"
wait_for "$echo_server" port_of "$folder/echo" >/dev/null
show <"$folder/echo"
port=$(port_of "$folder/echo")

say "The client sends it two lines and prints what comes back"
typed "printf 'hello\nworld\n' | echo_client 127.0.0.1 $port"
printf 'hello\nworld\n' >"$folder/sent"
"$programs/echo_client" 127.0.0.1 "$port" <"$folder/sent" >"$folder/received"
show <"$folder/received"
cmp "$folder/sent" "$folder/received"

say "The server stops on SIGTERM: its signal handler cancels the waiting call"
typed "kill -TERM $echo_server"
stop "$echo_server"
echo "   it ended with status 0"

say "Now nobody listens there, and the error says so"
typed "echo_client 127.0.0.1 $port"
if "$programs/echo_client" 127.0.0.1 "$port" </dev/null >"$folder/refused" 2>&1; then
    echo "demo: the connection should have been refused" >&2
    exit 1
fi
show <"$folder/refused"
grep -q "$port" "$folder/refused"

mkdir "$folder/site"
chmod 755 "$folder" "$folder/site" # nginx may run as another user
echo "<p>This page came through libsock.</p>" >"$folder/site/index.html"
nginx=$(command -v nginx || { [ ! -x /usr/sbin/nginx ] || echo /usr/sbin/nginx; })
if command -v python3 >/dev/null; then
    say "A real HTTP server: Python's http.server"
    python3 -u -m http.server --bind 127.0.0.1 --directory "$folder/site" 0 >"$folder/http" 2>&1 &
    http_server=$!
    http_port() { sed -n 's/^Serving HTTP on .* port \([0-9]*\) .*/\1/p' "$folder/http" | grep .; }
elif [ -n "$nginx" ]; then
    say "A real HTTP server: nginx"
    # nginx cannot be asked for any free port; the echo server's is free again.
    cat >"$folder/nginx.conf" <<END
daemon off; pid $folder/pid; error_log stderr; worker_processes 1;
events {}
http { access_log off; server { listen 127.0.0.1:$port; root $folder/site; } }
END
    "$nginx" -p "$folder" -c "$folder/nginx.conf" >"$folder/http" 2>&1 &
    http_server=$!
    http_port() { echo "$port"; }
else
    say "No HTTP server here (python3 or nginx): the example http_server it is"
    "$programs/http_server" -r "$folder/site" 127.0.0.1 0 >"$folder/http" &
    http_server=$!
    http_port() { port_of "$folder/http"; }
fi
started="$started $http_server"
wait_for "$http_server" http_port >/dev/null
port=$(http_port)
typed "http_get 127.0.0.1 $port /index.html"
wait_for "$http_server" "$programs/http_get" 127.0.0.1 "$port" /index.html >"$folder/page"
show <"$folder/page"
cmp "$folder/site/index.html" "$folder/page"

say "Everything worked. The programs are in $1, their source in c_examples/."
