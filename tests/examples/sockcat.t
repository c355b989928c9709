#!/usr/bin/env python3
"""sockcat with nc, socat and itself at the other end: streams, datagrams and unix sockets."""

from examples import *

TEXT = b"one\ntwo\n"
MUCH = os.urandom(3_000_000)


def collect(stream):
    """Reads a stream to its end while the test goes on: a function that waits for what came."""
    data = []
    reader = threading.Thread(target=lambda: data.append(stream.read()), daemon=True)
    reader.start()

    def wait():
        reader.join(LIMIT)
        return data[0]

    return wait


def need_netcat():
    nc = need("nc")
    told = subprocess.run([nc, "-h"], capture_output=True, timeout=LIMIT)
    if b"-N" not in told.stdout + told.stderr:
        raise Skip("nc is not OpenBSD's, which can pass the end of its input on")
    return nc


def listening(*arguments, **more):
    return serve("sockcat", "-l", *arguments, stream="stderr", **more)


@case
def to_itself_both_ways():
    server, port = listening("127.0.0.1", "0", stdin=subprocess.PIPE)
    client = start([program("sockcat"), "127.0.0.1", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    answers = []
    other = threading.Thread(target=lambda: answers.append(server.communicate(MUCH[::-1], timeout=LIMIT)))
    other.start()
    equal(client.communicate(MUCH, timeout=LIMIT)[0] == MUCH[::-1], True)
    other.join()
    equal(answers[0][0] == MUCH, True)
    equal((client.returncode, server.returncode), (0, 0))


@case
def a_peer_that_ends_its_side_first_still_gets_everything():
    def script(peer):
        peer.shutdown(socket.SHUT_WR)
        time.sleep(0.2)
        equal(read_all(peer) == MUCH, True)

    port, wait = scripted_peer(script)
    with tempfile.TemporaryFile() as much:  # a file is never silent
        much.write(MUCH)
        much.seek(0)
        equal(run("sockcat", "127.0.0.1", port, input=None, stdin=much), (0, b"", b""))
    wait()


@case
def it_ends_when_the_peer_has_ended_and_no_input_comes():
    port, wait = scripted_peer(lambda peer: peer.sendall(TEXT))
    client = start([program("sockcat"), "127.0.0.1", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    equal(client.stdout.read(), TEXT)
    equal(client.wait(LIMIT), 0)
    wait()


@case
def netcat_listens():
    nc = need_netcat()
    port = free_port()
    server = start([nc, "-l", "-N", "127.0.0.1", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    wait_until(lambda: listens(port), "nc")
    client = start([program("sockcat"), "127.0.0.1", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                   stderr=subprocess.PIPE)
    server.stdin.write(b"from nc\n")
    server.stdin.flush()
    equal(client.stdout.readline(), b"from nc\n")
    output, errors = client.communicate(TEXT, timeout=LIMIT)
    equal(server.stdout.read(), TEXT)


@case
def netcat_connects():
    nc = need_netcat()
    server, port = listening("127.0.0.1", "0")
    done = subprocess.run([nc, "-N", "127.0.0.1", str(port)], input=TEXT, capture_output=True, timeout=LIMIT)
    equal(done.returncode, 0)
    equal((server.stdout.read(), server.wait(LIMIT)), (TEXT, 0))


@case
def socat_connects():
    socat = need("socat")
    for target in ("TCP:127.0.0.1:{}", "UNIX-CONNECT:{}"):
        if target.startswith("TCP"):
            server, address = listening("127.0.0.1", "0")
        else:
            server, address = listening(f"unix:{folder()}/socket")
            address = address.removeprefix("unix:")
        output = collect(server.stdout)
        done = subprocess.run([socat, "-t", "5", "-", target.format(address)], input=MUCH, capture_output=True,
                              timeout=LIMIT)
        equal((done.returncode, done.stdout), (0, b""))
        equal((output() == MUCH, server.wait(LIMIT)), (True, 0))


@case
def socat_listens_and_echoes():
    socat = need("socat")
    for kind in ("TCP", "UNIX"):
        place = folder()
        port = free_port()
        where = f"UNIX-LISTEN:{place}/socket" if kind == "UNIX" else f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr"
        start([socat, where, "EXEC:cat"])
        target = [f"unix:{place}/socket"] if kind == "UNIX" else ["127.0.0.1", port]

        # socat takes one connection only, so there is no trying it before the one that counts
        def answered():
            status, output, _ = run("sockcat", *target, input=MUCH)
            return (status, output) if status == 0 or output else None

        status, output = wait_until(answered, "socat")
        equal((status, output == MUCH), (0, True))


@case
def datagrams_to_itself_and_back():
    server, port = listening("-u", "127.0.0.1", "0", stdin=subprocess.PIPE)
    client = start([program("sockcat"), "-u", "127.0.0.1", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    client.stdin.write(b"question")
    client.stdin.flush()
    equal(os.read(server.stdout.fileno(), 100), b"question")
    server.stdin.write(b"answer")
    server.stdin.flush()
    equal(os.read(client.stdout.fileno(), 100), b"answer")


@case
def datagrams_from_strangers_are_not_printed():
    server, port = listening("-u", "-w", "4000", "127.0.0.1", "0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        first.sendto(b"one ", ("127.0.0.1", port))
        equal(os.read(server.stdout.fileno(), 100), b"one ")
        other.sendto(b"stranger ", ("127.0.0.1", port))
        first.sendto(b"two", ("127.0.0.1", port))
        equal((server.stdout.read(), server.wait(LIMIT)), (b"two", 0))


@case
def datagrams_with_socat():
    socat = need("socat")
    port = free_port()
    start([socat, f"UDP-RECVFROM:{port},bind=127.0.0.1,fork", "EXEC:cat"])
    wait_until(lambda: f":{port:04X} " in open("/proc/net/udp").read(), "socat")
    equal(run("sockcat", "-u", "-w", "5000", "127.0.0.1", port, input=b"there and back"), (0, b"there and back", b""))


@case
def a_time_limit_ends_a_silent_connection():
    gate = threading.Event()
    port, wait = scripted_peer(lambda peer: gate.wait(LIMIT))
    started = time.monotonic()
    status, output, errors = run("sockcat", "-w", "300", "127.0.0.1", port)
    took = time.monotonic() - started
    gate.set()
    wait()
    equal((status, output), (1, b""))
    contains(errors, b"timed out")
    assert 0.29 < took < 10, took


@case
def a_time_limit_ends_the_wait_for_a_connection():
    started = time.monotonic()
    status, output, errors = run("sockcat", "-l", "-w", "300", "127.0.0.1", "0")
    took = time.monotonic() - started
    equal((status, output), (1, b""))
    contains(errors, b"timed out")
    assert 0.29 < took < 10, took


@case
def the_path_of_a_listening_socket_goes_with_it():
    path = folder() + "/socket"
    server, address = listening("unix:" + path)
    equal(address, "unix:" + path)
    equal(run("sockcat", address, input=TEXT), (0, b"", b""))
    equal((server.stdout.read(), server.wait(LIMIT)), (TEXT, 0))
    equal(os.path.exists(path), False)


@case
def a_missing_path_is_told():
    status, output, errors = run("sockcat", f"unix:{folder()}/nothing")
    equal((status, output), (1, b""))
    contains(errors, b"sockcat: open unix:")


run_cases()
