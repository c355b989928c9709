#!/usr/bin/env python3
"""echo_client.py: the echo client once more, from Python: the C ABI serves other languages too.

A handle is a 64-bit integer, every result is a signed integer, so ctypes needs no more than the
types of the six functions that are called. The library is found as the dynamic linker finds it; the
environment variable SOCK_LIBRARY names another file.
"""

import ctypes
import os
import sys

USAGE = """usage: echo_client.py HOST PORT

Sends each line of standard input to an echo server and prints the answer.
"""
PIECE = 16384


class SockError(Exception):
    pass


def load():
    library = ctypes.CDLL(os.environ.get("SOCK_LIBRARY", "libsock.so.0"))
    handle, size, result = ctypes.c_int64, ctypes.c_size_t, ctypes.c_int64

    library.sock_open.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
    library.sock_open.restype = handle
    library.sock_write.argtypes = [handle, ctypes.c_char_p, size]
    library.sock_write.restype = result
    library.sock_read_exact.argtypes = [handle, ctypes.c_void_p, size]
    library.sock_read_exact.restype = result
    library.sock_close.argtypes = [handle]
    library.sock_close.restype = ctypes.c_int
    library.sock_last_error.argtypes = []
    library.sock_last_error.restype = ctypes.c_char_p
    return library


def check(library, result):
    if result < 0:
        raise SockError(library.sock_last_error().decode(errors="replace"))
    return result


def echo(library, server, piece):
    reply = ctypes.create_string_buffer(len(piece))
    check(library, library.sock_write(server, piece, len(piece)))
    check(library, library.sock_read_exact(server, reply, len(piece)))
    sys.stdout.buffer.write(reply.raw)


def main(arguments):
    if arguments[:1] == ["--help"]:
        print(USAGE, end="")
        return 0
    if len(arguments) != 2:
        print(USAGE, end="", file=sys.stderr)
        return 2
    host, port = (os.fsencode(argument) for argument in arguments)
    try:
        library = load()
        server = check(library, library.sock_open(host, port, None))
        for line in sys.stdin.buffer:
            for start in range(0, len(line), PIECE):
                echo(library, server, line[start : start + PIECE])
            sys.stdout.buffer.flush()
        library.sock_close(server)
    except (SockError, OSError) as error:
        print(f"echo_client.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
