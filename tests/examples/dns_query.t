#!/usr/bin/env python3
"""dns_query against dnsmasq, and against a scripted server that loses, delays, forges and cuts answers."""

from examples import *


def question_of(query):
    end = 12
    while query[end] != 0:
        end += query[end] + 1
    return query[12:end + 5], int.from_bytes(query[end + 1:end + 3], "big")


def record(kind, data, name=b"\xc0\x0c"):
    return name + kind.to_bytes(2, "big") + b"\0\1\0\0\0\x3c" + len(data).to_bytes(2, "big") + data


def reply(query, records=(), flags=b"\x81\x80", number=None):
    question, _ = question_of(query)
    return ((number or query[:2]) + flags + b"\0\1" + len(records).to_bytes(2, "big") + b"\0\0\0\0" + question
            + b"".join(records))


def one_port_for_both():
    server = current.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    tcp = current.enter_context(socket.socket())
    server.bind(("127.0.0.1", 0))
    try:
        tcp.bind(server.getsockname())
    except OSError:
        return None
    return server, tcp


def ask(answer, name="example.org", tcp_answer=None):
    """Runs dns_query against a server that calls answer(query, kind, count) for the list of datagrams to send."""
    server, tcp = wait_until(one_port_for_both, "a port that is free for UDP and TCP")
    port = server.getsockname()[1]
    if tcp_answer:
        tcp.listen()
    queries = []

    def talk():
        with contextlib.suppress(OSError):
            while True:
                query, peer = server.recvfrom(65536)
                queries.append(query)
                for datagram in answer(query, question_of(query)[1], len(queries)):
                    server.sendto(datagram, peer)

    def talk_tcp():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = tcp.accept()
                with connection:
                    size = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
                    query = connection.recv(size, socket.MSG_WAITALL)
                    data = tcp_answer(query, question_of(query)[1])
                    connection.sendall(len(data).to_bytes(2, "big") + data)

    threading.Thread(target=talk, daemon=True).start()
    if tcp_answer:
        threading.Thread(target=talk_tcp, daemon=True).start()
    status, output, errors = run("dns_query", "127.0.0.1", port, name)
    server.close()
    return status, output.decode().split(), errors, queries


def good(query, kind, count=1):
    return [reply(query, [record(kind, b"\xc0\0\2\1" if kind == 1 else b"\x20\1\x0d\xb8" + b"\0" * 11 + b"\1")])]


GOOD = ["192.0.2.1", "2001:db8::1"]


@case
def from_dnsmasq():
    port = free_port()
    start([need("dnsmasq"), "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", f"--port={port}",
           "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=", "--user=" ,
           "--address=/example.org/192.0.2.7", "--address=/example.org/2001:db8::7", "--address=/none.example/"],
          stderr=subprocess.DEVNULL)
    wait_until(lambda: answers(port), "dnsmasq")
    equal(run("dns_query", "127.0.0.1", port, "example.org"), (0, b"192.0.2.7\n2001:db8::7\n", b""))
    status, output, errors = run("dns_query", "127.0.0.1", port, "none.example")
    equal((status, output), (1, b""))
    contains(errors, b"no such name")


@case
def both_families_are_asked_for_and_printed():
    status, output, errors, queries = ask(good)
    equal((status, output, errors), (0, GOOD, b""))
    equal(len(set(queries)), 2)  # on a busy machine one may be sent again
    equal(ask(good, name="example.org.")[:3], (0, GOOD, b""))


@case
def aliases_and_compressed_names_are_stepped_over():
    def answer(query, kind, count):
        alias = record(5, b"\5alias\xc0\x0c")
        return [reply(query, [alias, *([record(kind, bytes([192, 0, 2, n])) for n in range(3)] if kind == 1 else [])])]

    equal(ask(answer)[:2], (0, ["192.0.2.0", "192.0.2.1", "192.0.2.2"]))


@case
def a_lost_datagram_is_sent_again():
    status, output, _, queries = ask(lambda query, kind, count: [] if count == 1 else good(query, kind))
    equal((status, output, len(set(queries))), (0, GOOD, 2))
    equal(queries[0], queries[1])


@case
def answers_to_other_questions_are_ignored():
    def answer(query, kind, count):
        wrong_number = bytes([query[0] ^ 1, query[1]])
        other = reply(query, [record(kind, b"\1\1\1\1")]).replace(b"example", b"elpmaxe")
        return [reply(query, [record(kind, b"\1\1\1\1")], number=wrong_number), other, query, b"", b"x",
                *good(query, kind)]

    equal(ask(answer)[:3], (0, GOOD, b""))


@case
def an_answer_too_large_for_a_datagram_comes_over_tcp():
    def answer(query, kind, count):
        return [reply(query, flags=b"\x83\x80")]

    def tcp_answer(query, kind):
        return reply(query, [record(1, bytes([192, 0, n >> 8, n & 255])) for n in range(3000)] if kind == 1 else [])

    status, output, errors, _ = ask(answer, tcp_answer=tcp_answer)
    equal((status, len(output), output[-1], errors), (0, 3000, "192.0.11.183", b""))


@case
def what_the_server_reports_is_told():
    for code, words in ((1, b"format error"), (2, b"server failure"), (3, b"no such name"), (5, b"refused"), (9, b"error")):
        status, output, errors, _ = ask(lambda query, kind, count: [reply(query, flags=bytes([0x81, 0x80 | code]))])
        equal((status, output), (1, []))
        contains(errors, words)


@case
def a_name_without_addresses_is_an_error():
    status, output, errors, _ = ask(lambda query, kind, count: [reply(query)])
    equal((status, output), (1, []))
    contains(errors, b"has no address")


@case
def broken_answers_are_errors():
    def cut(size):
        return lambda query, kind, count: [good(query, kind)[0][:len(reply(query)) + size]]

    for size in range(0, 15):
        status, output, errors, _ = ask(cut(size))
        equal((size, status, output), (size, 1, []))
        contains(errors, b"cut short")


@case
def names_that_cannot_be_asked_for_are_refused():
    for name in ("", ".", "a..b", "x" * 64, ".".join(["x" * 60] * 5)):
        status, output, errors = run("dns_query", "127.0.0.1", "53", name)
        equal((name, status, output), (name, 1, b""))
        contains(errors, b"not a name")


run_cases()
