#!/usr/bin/env python3
"""Every example explains itself, refuses wrong arguments with status 2, and says what went wrong."""

from examples import *

NAMES = sorted(name[:-2] for name in os.listdir("c_examples") if name.endswith(".c"))
CLIENTS = {"http_get": ["127.0.0.1", "{port}", "/"], "dns_query": ["127.0.0.1", "{port}", "localhost"],
                      "echo_client": ["127.0.0.1", "{port}"], "sockcat": ["127.0.0.1", "{port}"],
                      "ssh_banner": ["127.0.0.1", "{port}"], "telnet": ["127.0.0.1", "{port}"],
                      "smtp_send": ["127.0.0.1", "{port}", "a@example.org", "b@example.org"]}
SERVERS = {"echo_server": ["127.0.0.1", "{port}"], "chat_server": ["127.0.0.1", "{port}"],
           "http_server": ["127.0.0.1", "{port}"], "sockcat": ["-l", "127.0.0.1", "{port}"],
           "port_forward": ["127.0.0.1", "{port}", "127.0.0.1", "1"]}


@case
def help_goes_to_standard_output():
    assert len(NAMES) >= 12
    for name in NAMES:
        status, output, errors = run(name, "--help")
        equal((name, status, errors), (name, 0, b""))
        contains(output, b"usage: " + name.encode())


@case
def no_arguments_are_wrong_arguments():
    for name in NAMES:
        status, output, errors = run(name)
        equal((name, status, output), (name, 2, b""))
        contains(errors, b"usage: " + name.encode())


@case
def too_many_arguments_are_wrong_arguments():
    for name in NAMES:
        status, output, errors = run(name, *"1234567")
        equal((name, status, output), (name, 2, b""))
        contains(errors, b"usage: " + name.encode())


@case
def unknown_options_are_wrong_arguments():
    for name in ("http_get", "http_server", "sockcat", "echo_server"):
        status, output, errors = run(name, "-x", "127.0.0.1", "1")
        equal((name, status, output), (name, 2, b""))
        contains(errors, b"usage: " + name.encode())


@case
def numbers_are_checked():
    for arguments in (["http_get", "-t", "soon", "h", "1", "/"], ["http_get", "-t", "0", "h", "1", "/"],
                      ["http_get", "-t", "-5", "h", "1", "/"], ["http_server", "-t", "1x", "1"],
                      ["http_server", "-m", "processes", "1"], ["sockcat", "-w", "", "h", "1"],
                      ["echo_server", "-m", "processes", "1"]):
        status, output, errors = run(*arguments)
        equal((arguments, status, output), (arguments, 2, b""))


@case
def a_refused_connection_is_told_in_full():
    port = str(free_port())
    for name, arguments in CLIENTS.items():
        status, output, errors = run(name, *[word.format(port=port) for word in arguments])
        equal((name, status, output), (name, 1, b""))
        contains(errors, f"{name}: ".encode())
        contains(errors, b"connection refused")
        equal(errors.count(b"\n"), 1)


@case
def a_port_in_use_is_told_in_full():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for name, arguments in SERVERS.items():
            status, output, errors = run(name, *[word.format(port=port) for word in arguments])
            equal((name, status, output), (name, 1, b""))
            contains(errors, f"{name}: ".encode())
            contains(errors, f"127.0.0.1:{port}".encode())
            contains(errors, b"in use")


@case
def input_that_cannot_be_read_is_told():
    for name in ("echo_client", "sockcat"):
        port, wait = scripted_peer(read_all)
        status, output, errors = run_reading_nothing(name, "127.0.0.1", port)
        wait()
        equal((name, status, output), (name, 1, b""))
        contains(errors, b"directory")


@case
def output_that_cannot_be_written_is_told():
    greeting, page = b"SSH-2.0-x\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"
    for name, arguments, answer in (("echo_client", [], b"hello\n"), ("sockcat", [], greeting), ("telnet", [], greeting),
                                    ("ssh_banner", [], greeting), ("http_get", ["/"], page)):
        port, wait = scripted_peer(lambda peer: (peer.sendall(answer), read_all(peer)))
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program(name), "127.0.0.1", str(port), *arguments], input=b"hello\n", stdout=full,
                                  stderr=subprocess.PIPE, timeout=LIMIT)
        wait()
        equal((name, done.returncode), (name, 1))
        contains(done.stderr, b"No space left")


@case
def names_that_are_no_names_are_refused():
    for host, port in (("256.1.1.1", "80"), ("bad host", "80"), ("127.0.0.1", "65536"), ("127.0.0.1", "-1"),
                       ("127.0.0.1", "http "), ("", "80"), ("127.0.0.1", "")):
        for name in ("echo_client", "ssh_banner", "telnet"):
            status, output, errors = run(name, host, port)
            equal((name, host, port, status, output), (name, host, port, 1, b""))
            contains(errors, f"{name}: ".encode())


@case
def a_link_local_address_without_its_scope_is_told():
    status, output, errors = run("telnet", "fe80::1", "1")
    if b"unreachable" in errors or b"not supported" in errors:
        raise Skip("there is no IPv6")
    equal((status, output), (1, b""))
    contains(errors, b"needs a %scope")


run_cases()
