#!/usr/bin/env python3
"""The examples as a user of the installed library builds them: with their own Makefile and pkg-config."""

from examples import *

place = tempfile.TemporaryDirectory()
PREFIX = os.path.join(place.name, "prefix")
SOURCE = os.path.join(PREFIX, "share/doc/libsock/examples")
OUT = os.path.join(place.name, "programs")
ENVIRONMENT = {**os.environ, "PKG_CONFIG_PATH": f"{PREFIX}/lib/pkgconfig", "LD_LIBRARY_PATH": f"{PREFIX}/lib", "MAKEFLAGS": ""}


def make(*arguments):
    done = subprocess.run(["make", *arguments], capture_output=True, timeout=300, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout.decode()[-2000:] + done.stderr.decode()
    return done.stdout.decode()


@case
def their_makefile_builds_them_with_pkg_config():
    need("pkg-config")
    # The library is built already; a folder of its own keeps this apart from tests that run at the same time.
    make("install", "CARGO=true", f"BUILD={place.name}/build", f"PREFIX={PREFIX}")
    make("-C", SOURCE, f"OUT={OUT}")
    names = {name[:-2] for name in os.listdir("c_examples") if name.endswith(".c")}
    equal(set(os.listdir(OUT)), names)


@case
def they_find_the_installed_library_and_work():
    if not os.path.exists(OUT):
        raise Skip("nothing was built")
    server = start([f"{OUT}/echo_server", "127.0.0.1", "0"], stdout=subprocess.PIPE, env=ENVIRONMENT)
    port = server.stdout.readline().decode().strip().rpartition(":")[2]
    for client in ([f"{OUT}/echo_client"], [sys.executable, f"{SOURCE}/echo_client.py"]):
        done = subprocess.run([*client, "127.0.0.1", port], input=b"hello\n", capture_output=True, timeout=LIMIT,
                              env=ENVIRONMENT)
        equal((done.returncode, done.stdout, done.stderr), (0, b"hello\n", b""))
    maps = open(f"/proc/{server.pid}/maps").read()
    contains(maps, f"{PREFIX}/lib/libsock.so")


@case
def clean_removes_what_was_built():
    if not os.path.exists(OUT):
        raise Skip("nothing was built")
    make("-C", SOURCE, f"OUT={OUT}", "clean")
    equal(os.listdir(OUT), [])


@case
def without_the_library_the_makefile_says_so():
    done = subprocess.run(["make", "-C", "c_examples", f"OUT={place.name}/none"], capture_output=True, timeout=300,
                          env={**ENVIRONMENT, "PKG_CONFIG_PATH": "/nowhere", "PKG_CONFIG_LIBDIR": "/nowhere"})
    assert done.returncode != 0
    contains(done.stderr, b"pkg-config does not find libsock")


run_cases()
