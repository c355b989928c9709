#!/usr/bin/env python3
"""chat_server: everybody hears the others, and nobody is held up by a client that behaves badly."""

from examples import *


class Client:
    def __init__(self, port, name):
        self.connection = connect(port)
        self.file = self.connection.makefile("rb")
        current.callback(self.file.close)
        equal(self.file.readline(), b"Your name?\n")
        if name is not None:
            self.say(name)

    def say(self, text):
        self.connection.sendall(text if isinstance(text, bytes) else text.encode() + b"\n")

    def hears(self, line):
        equal(self.file.readline().decode(), line + "\n")

    def leave(self):
        self.file.close()
        self.connection.close()


def three(port):
    anna = Client(port, "anna")
    bert = Client(port, "bert")
    anna.hears("bert is here")
    carl = Client(port, "carl")
    anna.hears("carl is here")
    bert.hears("carl is here")
    return anna, bert, carl


@case
def what_one_says_the_others_hear():
    server, port = serve("chat_server", "127.0.0.1", "0")
    anna, bert, carl = three(port)
    anna.say("hello")
    bert.hears("anna: hello")
    carl.hears("anna: hello")
    bert.say("hello yourself")
    anna.hears("bert: hello yourself")
    carl.hears("bert: hello yourself")
    carl.leave()
    anna.hears("carl has left")
    bert.hears("carl has left")
    stop(server)
    equal(anna.file.read(), b"")


@case
def lines_may_come_in_any_pieces():
    server, port = serve("chat_server", "127.0.0.1", "0")
    anna, bert, carl = three(port)
    for byte in b"in pieces\r\n":
        anna.say(bytes([byte]))
    bert.hears("anna: in pieces")
    anna.say(b"one\ntwo\n\nfour\nfi")
    anna.say(b"ve\n")
    for line in ("one", "two", "", "four", "five"):
        bert.hears("anna: " + line)
    stop(server)


@case
def control_characters_do_not_reach_the_others():
    server, port = serve("chat_server", "127.0.0.1", "0")
    anna, bert, carl = three(port)
    anna.say(b"a\x1b[2J\0b\n")
    line = bert.file.readline()
    equal([byte for byte in line[:-1] if byte < 32], [])
    stop(server)


@case
def a_line_without_end_ends_its_client_only():
    server, port = serve("chat_server", "127.0.0.1", "0")
    anna, bert, carl = three(port)
    with contextlib.suppress(OSError):
        anna.say(b"x" * 100_000)
    bert.hears("anna has left")
    carl.say("still here")
    bert.hears("carl: still here")
    stop(server)


@case
def a_client_that_does_not_read_is_dropped_and_holds_nobody_up():
    server, port = serve("chat_server", "127.0.0.1", "0")
    anna, bert, carl = three(port)
    deaf = connect(port)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.sendall(b"deaf\n")
    for one in (anna, bert, carl):
        one.hears("deaf is here")
    carl.leave()
    anna.hears("carl has left")
    bert.hears("carl has left")
    gone = False
    for number in range(20_000):
        anna.say(f"{number} " + "x" * 900)
        line = bert.file.readline().decode()
        if line == "deaf has left\n":
            gone = True
            line = bert.file.readline().decode()
        contains(line, f"anna: {number} ")
        if gone:
            break
    equal(gone, True)
    stop(server)


@case
def two_hundred_come_and_go():
    server, port = serve("chat_server", "127.0.0.1", "0")
    anna = Client(port, "anna")
    for number in range(200):
        guest = Client(port, f"guest {number}")
        anna.hears(f"guest {number} is here")
        guest.leave()
        anna.hears(f"guest {number} has left")
    stop(server)


run_cases()
