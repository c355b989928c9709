#!/usr/bin/env python3
"""The echo server under each model, with its C client, its Python client and peers that behave badly."""

from examples import *

MODELS = ("threads", "fibers")
LIBRARY = os.path.abspath(os.environ.get("LIBRARY_SHARED", "target/release/libsock.so"))


def each_model(check):
    for model in MODELS:
        process, port = serve("echo_server", "-m", model, "127.0.0.1", "0")
        check(port)
        stop(process)


@case
def lines_come_back():
    def check(port):
        text = b"hello\n\nlast line without an end"
        equal(run("echo_client", "127.0.0.1", port, input=text), (0, text, b""))

    each_model(check)


@case
def any_bytes_and_long_lines_come_back():
    def check(port):
        text = bytes(range(256)) * 4096 + b"\n" + b"x" * 3_000_000
        equal(run("echo_client", "127.0.0.1", port, input=text), (0, text, b""))

    each_model(check)


@case
def nothing_sent_is_nothing_printed():
    each_model(lambda port: equal(run("echo_client", "127.0.0.1", port), (0, b"", b"")))


@case
def many_clients_at_once():
    def check(port):
        connections = [connect(port) for _ in range(100)]
        for number, connection in enumerate(connections):
            connection.sendall(b"%d" % number)
        for number, connection in enumerate(connections):
            equal(connection.recv(100), b"%d" % number)
            connection.close()

    each_model(check)


@case
def clients_that_reset_or_never_read_disturb_nobody():
    def check(port):
        deaf = connect(port)
        deaf.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(1000):
                deaf.send(b"x" * 65536)
        for _ in range(20):
            rude = connect(port)
            rude.sendall(b"x" * 100)
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            rude.close()
        equal(run("echo_client", "127.0.0.1", port, input=b"still here\n"), (0, b"still here\n", b""))

    each_model(check)


@case
def the_python_client_does_the_same():
    process, port = serve("echo_server", "127.0.0.1", "0")
    client = [sys.executable, "c_examples/echo_client.py"]
    environment = {**os.environ, "SOCK_LIBRARY": LIBRARY}
    text = b"one\ntwo\n" + b"x" * 100_000
    done = subprocess.run([*client, "127.0.0.1", str(port)], input=text, capture_output=True, timeout=LIMIT,
                          env=environment)
    equal((done.returncode, done.stdout, done.stderr), (0, text, b""))
    stop(process)
    done = subprocess.run([*client, "127.0.0.1", str(port)], input=b"", capture_output=True, timeout=LIMIT,
                          env=environment)
    equal((done.returncode, done.stdout), (1, b""))
    contains(done.stderr, b"echo_client.py: open 127.0.0.1:%d" % port)
    done = subprocess.run([*client], capture_output=True, timeout=LIMIT)
    equal((done.returncode, done.stdout), (2, b""))
    done = subprocess.run([*client, "--help"], capture_output=True, timeout=LIMIT)
    equal((done.returncode, done.stderr), (0, b""))


@case
def a_server_that_ends_too_early_is_an_error():
    port, wait = scripted_peer(lambda peer: peer.recv(3))
    status, output, errors = run("echo_client", "127.0.0.1", port, input=b"hello\n")
    wait()
    equal((status, output), (1, b""))
    contains(errors, b"echo_client: ")


@case
def without_a_host_every_address_is_served():
    process, port = serve("echo_server", "0")
    for host in ("127.0.0.1", "::1") if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6") else ("127.0.0.1",):
        equal(run("echo_client", host, port, input=b"x\n"), (0, b"x\n", b""))
    stop(process)


@case
def it_stops_on_both_signals_with_clients_connected():
    for model in MODELS:
        for number in (signal.SIGINT, signal.SIGTERM):
            process, port = serve("echo_server", "-m", model, "127.0.0.1", str(free_port()))
            connection = connect(port)
            connection.sendall(b"x")
            equal(connection.recv(1), b"x")
            stop(process, number)
            equal(read_all(connection), b"")
            assert not answers(port)


run_cases()
