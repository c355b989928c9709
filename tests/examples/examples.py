"""What the tests of the examples share: TAP lines, processes that end with the test, scripted peers."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

PROGRAMS = os.path.join(os.environ.get("BUILD", "build"), "examples")
LIMIT = 60  # seconds that anything may take before the test fails

cases = []


def case(function):
    """A test; its name is the function's, with spaces."""
    cases.append(function)
    return function


class Skip(Exception):
    pass


def need(tool):
    """The path of a program, or the case is skipped by its name."""
    path = shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Skip(f"{tool} is not installed")
    return path


def run_cases():
    # A time limit from outside ends the processes of the running case too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    failed = 0
    print(f"1..{len(cases)}", flush=True)
    for number, function in enumerate(cases, 1):
        name = function.__name__.replace("_", " ")
        try:
            with ending(current):
                function()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
            sys.stdout.flush()
    sys.exit(1 if failed else 0)


current = contextlib.ExitStack()  # what ends with the running case


@contextlib.contextmanager
def ending(stack):
    try:
        yield
    finally:
        stack.close()


def equal(actual, expected):
    assert actual == expected, f"{actual!r} is not {expected!r}"


def contains(text, part):
    assert part in text, f"{part!r} is not in {text!r}"


def wait_until(condition, what):
    end = time.monotonic() + LIMIT
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)
    return value


def program(name):
    return os.path.abspath(os.path.join(PROGRAMS, name))


def run(name, *arguments, input=b"", **more):
    """Runs an example to its end: (status, output, errors)."""
    done = subprocess.run([program(name), *map(str, arguments)], input=input, capture_output=True,
                          timeout=LIMIT, **more)
    return done.returncode, done.stdout, done.stderr


def run_reading_nothing(name, *arguments):
    """Runs an example whose standard input cannot be read: it is a folder."""
    place = os.open(folder(), os.O_RDONLY)
    current.callback(os.close, place)
    done = subprocess.run([program(name), *map(str, arguments)], stdin=place, capture_output=True, timeout=LIMIT)
    return done.returncode, done.stdout, done.stderr


def start(command, **more):
    """Starts a process that does not outlive the case, nor do the processes that it starts."""
    more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **more}
    process = subprocess.Popen([str(word) for word in command], start_new_session=True, **more)

    def end():
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(5)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    current.callback(end)
    return process


def serve(name, *arguments, stream="stdout", **more):
    """Starts an example that listens: (process, port), or its address where it has no port."""
    process = start([program(name), *arguments], stdin=more.pop("stdin", subprocess.DEVNULL),
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    line = getattr(process, stream).readline().decode()
    if not line.startswith("listening on "):
        raise AssertionError(f"{name} said {line!r} {process.stderr.read()!r}")
    address = line[len("listening on "):].strip()
    port = address.rpartition(":")[2]
    return process, int(port) if port.isdigit() else address


def stop(process, number=signal.SIGTERM):
    """Ends a server as its user would: with status 0 and nothing to complain about."""
    process.send_signal(number)
    _, errors = process.communicate(timeout=LIMIT)
    equal((process.returncode, errors), (0, b""))


def folder():
    return current.enter_context(tempfile.TemporaryDirectory())


def free_port():
    """A free port for programs that cannot be asked to take any: none of those that the kernel gives to others meanwhile."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        lowest = int(file.read().split()[0])
    while True:
        port = random.randrange(10000, lowest) if lowest > 11000 else 0
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return probe.getsockname()[1]


def listens(port):
    """Whether somebody listens there, without connecting."""
    with open("/proc/net/tcp") as file:
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in file.readlines()[1:])


def catches(process, number):
    """Whether a process has a handler for this signal by now."""
    with open(f"/proc/{process.pid}/status") as file:
        [caught] = [line.split()[1] for line in file if line.startswith("SigCgt:")]
    return int(caught, 16) >> (number - 1) & 1


def connect(port):
    return current.enter_context(socket.create_connection(("127.0.0.1", port), LIMIT))


def answers(port):
    """Whether somebody accepts there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def read_all(connection):
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def scripted_peer(script, family=socket.AF_INET, address=("127.0.0.1", 0)):
    """A server for one connection, which the function talks to: (port, wait). wait() ends the thread and raises
    what went wrong in it."""
    listener = current.enter_context(socket.socket(family))
    listener.bind(address)
    listener.listen()
    trouble = []

    def talk():
        try:
            listener.settimeout(LIMIT)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(LIMIT)
                script(connection)
        except BaseException as error:
            trouble.append(error)

    thread = threading.Thread(target=talk, daemon=True)
    thread.start()

    def wait():
        thread.join(LIMIT)
        assert not thread.is_alive(), "the scripted peer is still waiting"
        if trouble:
            raise trouble[0]

    return (listener.getsockname()[1] if family != socket.AF_UNIX else address), wait
