#!/usr/bin/env python3
"""port_forward before a real redis-server under redis-benchmark, and before peers that half close, refuse and reset."""

from examples import *


def forward_to(port):
    return serve("port_forward", "127.0.0.1", "0", "127.0.0.1", port)


@case
def redis_benchmark_through_it():
    benchmark, server = need("redis-benchmark"), need("redis-server")
    port = free_port()
    start([server, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder()],
          stdout=subprocess.DEVNULL)
    wait_until(lambda: answers(port), "redis-server")
    process, front = forward_to(port)
    done = subprocess.run([benchmark, "-p", str(front), "-c", "20", "-n", "3000", "-t", "set,get", "-d", "1000", "-q",
                           "--csv"], capture_output=True, timeout=2 * LIMIT)
    equal((done.returncode, done.stderr), (0, b""))
    contains(done.stdout, b'"SET"')
    contains(done.stdout, b'"GET"')
    stop(process)


@case
def both_ways_at_once():
    total = 8_000_000

    def script(peer):
        sender = threading.Thread(target=lambda: (peer.sendall(b"b" * total), peer.shutdown(socket.SHUT_WR)))
        sender.start()
        equal(len(read_all(peer)), total)
        sender.join()

    port, wait = scripted_peer(script)
    process, front = forward_to(port)
    client = connect(front)
    sender = threading.Thread(target=lambda: (client.sendall(b"a" * total), client.shutdown(socket.SHUT_WR)))
    sender.start()
    equal(len(read_all(client)), total)
    sender.join()
    wait()
    stop(process)


@case
def a_half_close_is_passed_on():
    def script(peer):
        equal(read_all(peer), b"question")
        peer.sendall(b"answer")

    port, wait = scripted_peer(script)
    process, front = forward_to(port)
    client = connect(front)
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    equal(read_all(client), b"answer")
    wait()
    stop(process)


@case
def a_refused_target_resets_the_client_and_is_told():
    process, front = forward_to(free_port())
    try:
        connect(front).recv(1)  # the reset may come before either returns
        raise AssertionError("an orderly end")
    except ConnectionResetError:
        pass
    line = process.stderr.readline()
    contains(line, b"port_forward: ")
    contains(line, b"connection refused")
    stop(process)


@case
def a_reset_is_passed_on():
    def script(peer):
        equal(peer.recv(1), b"x")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    port, wait = scripted_peer(script)
    process, front = forward_to(port)
    client = connect(front)
    client.sendall(b"x")
    wait()
    try:
        client.recv(1)
        raise AssertionError("an orderly end")
    except ConnectionResetError:
        pass
    contains(process.stderr.readline(), b"port_forward: relay")
    stop(process)


@case
def a_hundred_connections_at_once():
    echo, port = serve("echo_server", "127.0.0.1", "0")
    process, front = forward_to(port)
    connections = [connect(front) for _ in range(100)]
    for number, connection in enumerate(connections):
        connection.sendall(b"%d" % number)
    for number, connection in enumerate(connections):
        equal(connection.recv(100), b"%d" % number)
        connection.close()
    stop(process)
    stop(echo)


@case
def it_stops_while_connections_are_open():
    echo, port = serve("echo_server", "127.0.0.1", "0")
    process, front = forward_to(port)
    connection = connect(front)
    connection.sendall(b"x")
    equal(connection.recv(1), b"x")
    stop(process, signal.SIGINT)
    stop(echo)


run_cases()
