#!/usr/bin/env python3
"""Every block of code in the README and the guides does what it says: C and C++ are compiled, the README's programs are
run, shell commands are run where a test may, links lead somewhere."""

import glob
import re
import shlex
from examples import *

DOCUMENTS = ["README.md", "CHANGELOG.md", *sorted(glob.glob("docs/*.md"))]
CC, CXX = shlex.split(os.environ.get("CC", "cc")), shlex.split(os.environ.get("CXX", "c++"))
LIBRARY = f"{os.environ.get('BUILD', 'build')}/lib"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]

# What a fragment may use without having declared it.
PRELUDE = """
#define _POSIX_C_SOURCE 200809L
#include <sock.h>
#include <stdio.h>
#include <string.h>
#define UNUSED __attribute__((unused))
UNUSED static void handle(sock_t client, void *context) { (void)client; (void)context; }
"""
INSIDE = """
static sock_t s UNUSED, listener UNUSED;
static int fd UNUSED, state UNUSED;
static char buffer[4096] UNUSED;
void fragment(void);
void fragment(void)
{
"""

# Where the commands find an installed library.
place_of_all = tempfile.TemporaryDirectory()
PREFIX = os.path.join(place_of_all.name, "prefix")

# What runs in place of commands that would change the machine.
INSTEAD = {"sudo make install": f"make install CARGO=true BUILD={place_of_all.name}/build PREFIX={PREFIX}"}

# What not every machine has that runs this.
OTHER_TOOLCHAINS = {"rustup", "musl-gcc"}

# Names that begin as ours do but are the system's or the tests'.
NOT_OURS = {"sock_try", "sock_static", "SOCK_DGRAM", "SOCK_CLOEXEC", "SOCK_LIBRARY", "SOCK_TEST_DEEP", "SOCK_TEST_SECONDS", "SOCK_TEST_SEED"}

PROGRAMS_BEFORE = {"docs/getting-started.md": "day", "README.md": "client", "docs/linking.md": "client"}


def blocks(document, *languages):
    text = open(document).read()
    equal(len(re.findall(r"^ *```", text, re.M)) % 2, 0)
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.M | re.S)
    assert all(language for language, _ in found), f"{document} has a block without its language"
    return [body for language, body in found if language in languages]


def compile_c(text, output=None):
    place = folder()
    source = os.path.join(place, "block.c")
    with open(source, "w") as file:
        file.write(text)
    target = ["-o", output, f"-L{LIBRARY}", f"-Wl,-rpath,{os.path.abspath(LIBRARY)}", "-lsock"] if output else ["-fsyntax-only"]
    done = subprocess.run([*CC, "-std=c99", *WARNINGS, "-Iinclude", source, *target], capture_output=True, timeout=300)
    assert done.returncode == 0, text + done.stderr.decode()


def is_program(text):
    return "int main(" in text


def is_definition(text):
    return re.search(r"^\{$", text, re.M) is not None


@case
def every_block_of_c_compiles():
    count = 0
    for document in DOCUMENTS:
        for text in blocks(document, "c"):
            count += 1
            if is_program(text):
                compile_c(text, os.path.join(folder(), "program"))
            elif is_definition(text):
                compile_c(PRELUDE + text.replace("static ", "UNUSED static ", text.count("\n{")))
            else:
                # values are only shown, and variables only named
                compile_c(PRELUDE + '#pragma GCC diagnostic ignored "-Wunused-variable"\n'
                          '#pragma GCC diagnostic ignored "-Wunused-result"\n' + INSIDE + text + "}\n")
    assert count >= 20, count


@case
def every_block_of_cpp_is_a_program_that_works():
    place = folder()
    port = str(free_port())
    count = 0
    for document in DOCUMENTS:
        for text in blocks(document, "cpp"):
            count += 1
            done = subprocess.run([*CXX, "-std=c++20", *WARNINGS, "-Iinclude", "-x", "c++", "-", "-o", f"{place}/program",
                                   f"-L{LIBRARY}", f"-Wl,-rpath,{os.path.abspath(LIBRARY)}", "-lsock"],
                                  input=text.replace("7777", port).encode(), capture_output=True, timeout=300)
            assert done.returncode == 0, text + done.stderr.decode()
            done = subprocess.run([f"{place}/program"], capture_output=True, timeout=LIMIT)
            equal((done.returncode, done.stdout), (1, b""))
            if "what()" in text:
                contains(done.stderr, b"connection refused")
    assert count >= 2, count


@case
def the_smallest_client_and_server_are_small_and_work_together():
    place = folder()
    client, server = [text for text in blocks("README.md", "c") if is_program(text)]
    for name, text in ("client", client), ("server", server):
        assert len(text.splitlines()) < 15, name
    port = str(free_port())
    compile_c(client.replace("7777", port), f"{place}/client")
    status = subprocess.run([f"{place}/client"], capture_output=True, timeout=LIMIT)
    equal((status.returncode, status.stdout), (1, b""))
    contains(status.stderr, b"connection refused")
    compile_c(server.replace("7777", port), f"{place}/server")
    start([f"{place}/server"])
    done = wait_until(lambda: (done := subprocess.run([f"{place}/client"], capture_output=True,
                                                      timeout=LIMIT)).returncode == 0 and done, "the server")
    equal((done.stdout, done.stderr), (b"> hello\n", b""))


@case
def the_programs_of_the_guides_work():
    place = folder()
    day, greeter = [text for text in blocks("docs/getting-started.md", "c") if is_program(text)]
    port = str(free_port())
    compile_c(day, f"{place}/day")
    compile_c(greeter.replace("7777", port), f"{place}/greeter")
    start([f"{place}/greeter"])
    wait_until(lambda: answers(int(port)), "the greeter")
    with connect(int(port)) as peer:
        file = peer.makefile("rw")
        equal(file.readline(), "Who are you?\n")
        file.write("Anna\n")
        file.flush()
        equal(file.read(), "Good day, Anna.\n")
        file.close()
    peer_port, wait = scripted_peer(lambda peer: peer.sendall(b"Sunday\r\nmorning"))
    done = subprocess.run([f"{place}/day", "127.0.0.1", str(peer_port)], capture_output=True, timeout=LIMIT)
    wait()
    equal((done.returncode, done.stdout, done.stderr), (0, b"Sunday\nmorning\n", b""))
    equal(subprocess.run([f"{place}/day"], timeout=LIMIT).returncode, 2)
    for document, number, end in (("docs/deadlines.md", signal.SIGINT, b""),
                                  ("docs/servers.md", signal.SIGTERM, b"0 connections were cut\n")):
        [text] = [text for text in blocks(document, "c") if is_program(text)]
        port = str(free_port())
        compile_c(text.replace("7777", port), f"{place}/stops")
        process = start([f"{place}/stops"], stdout=subprocess.PIPE)
        wait_until(lambda: answers(int(port)), document)
        wait_until(lambda: catches(process, number), f"the handler of {document}")
        process.send_signal(number)
        equal((process.communicate(timeout=LIMIT)[0], process.returncode), (end, 0))


@case
def every_command_runs():
    need("pkg-config")
    run_command("sudo make install", place_of_all.name)
    count = 0
    for document in DOCUMENTS:
        place = folder()
        scripts = blocks(document, "sh")
        if not scripts:
            continue
        os.makedirs(f"{place}/home")
        for text in blocks(document, "c"):
            if is_program(text) and document in PROGRAMS_BEFORE:
                with open(f"{place}/{PROGRAMS_BEFORE[document]}.c", "w") as file:
                    file.write(text)
                break
        else:
            with open(f"{place}/client.c", "w") as file:
                file.write(next(text for text in blocks("README.md", "c") if is_program(text)))
        for script in scripts:
            for line in script.replace("\\\n", " ").splitlines():
                count += 1
                command = line.split("#")[0].strip()
                if command.split()[0] not in OTHER_TOOLCHAINS:
                    run_command(command, place)
    assert count >= 10, count


def run_command(command, place):
    """Compilers run in a folder with the document's program, where programs are then looked for. What make would do is only
    asked for: it runs this, among others. Of anything else it is enough that it is there."""
    where = place if command.startswith(("cc ", "./")) else "."
    if command in INSTEAD:
        command = INSTEAD[command]
    elif command.split()[0] == "make":
        command = command.replace("make", "make -n", 1)
    elif command.split()[0] not in ("cc", "export"):
        command = f"command -v {command.split()[0]}"
    if where == place:  # what lies in the project's folder is meant
        paths = {"-Iinclude": '-I"$INCLUDE"', "-Lbuild/lib": '-L"$LIBRARY"', "$PWD/build/lib": "$LIBRARY"}
        command = re.sub(r"-Iinclude\b|-Lbuild/lib\b|\$PWD/build/lib\b", lambda path: paths[path[0]], command)
    environment = {**os.environ, "HOME": f"{place}/home", "MAKEFLAGS": "", "PKG_CONFIG_PATH": f"{PREFIX}/lib/pkgconfig",
                   "INCLUDE": os.path.abspath("include"), "LIBRARY": os.path.abspath(LIBRARY)}
    done = subprocess.run(["sh", "-ec", command], cwd=where, env=environment, capture_output=True, timeout=300)
    assert done.returncode == 0, command + "\n" + done.stdout.decode()[-2000:] + done.stderr.decode()


@case
def every_line_of_rust_is_in_the_source():
    source = {line.strip() for path in glob.glob("src/**/*.rs", recursive=True) for line in open(path)}
    count = 0
    for document in DOCUMENTS:
        for text in blocks(document, "rust"):
            for line in text.splitlines():
                if line.strip() != "// …":
                    count += 1
                    assert line.strip() in source, f"{document} shows {line.strip()!r}, which is not in the source"
    assert count >= 4, count


@case
def the_map_shows_every_file_of_the_source():
    told = open("docs/architecture.md").read()
    tables = {layer: told.split(f"| in `src/{layer}` |")[1].split("\n\n")[0] for layer in ("ffi", "net", "sys")}
    for layer, table in tables.items():
        there = {os.path.relpath(path, f"src/{layer}") for path in glob.glob(f"src/{layer}/**/*.rs", recursive=True)}
        there -= {"mod.rs"}
        told = set(re.findall(r"`([a-z_/]+\.rs)`", table)) - {"mod.rs"}
        assert not there - told, f"the map in docs/architecture.md lacks these files of src/{layer}: {there - told}"
        assert not told - there, f"the map in docs/architecture.md shows files that src/{layer} has not: {told - there}"


@case
def every_link_leads_somewhere():
    for document in [*DOCUMENTS, "c_examples/README.md"]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", open(document).read()):
            if "://" not in target:
                path = os.path.join(os.path.dirname(document), target)
                assert os.path.exists(path), f"{document} points to {target}"


@case
def the_readme_leads_to_every_guide():
    readme = open("README.md").read()
    for document in glob.glob("docs/*.md"):
        contains(readme, f"({document})")


@case
def every_file_that_is_named_exists():
    for document in DOCUMENTS:
        for path in re.findall(r"`((?:src|tests|docs|include|packaging|c_examples|make|man|bench|fuzz|\.ci)/[A-Za-z0-9_./-]*)`",
                               open(document).read()):
            assert os.path.exists(path), f"{document} names {path}"


@case
def every_target_of_make_that_is_named_exists():
    rules = "".join(open(path).read() for path in ["Makefile", *glob.glob("make/*.mk")])
    targets = {target for line in re.findall(r"^([a-z -]+)::?(?!=)", rules, re.M) for target in line.split()}
    for document in DOCUMENTS:
        for target in re.findall(r"`make ([a-z-]+)", open(document).read()):
            assert target in targets, f"{document} names make {target}"


@case
def every_function_that_is_named_exists():
    header = open("include/sock.h").read() + (open("include/sock.hpp").read() if os.path.exists("include/sock.hpp") else "")
    for document in DOCUMENTS:
        for name in re.findall(r"\b(?:sock_[a-z_]*[a-z]|SOCK_[A-Z0-9_]*[A-Z0-9])\b", open(document).read()):
            if name not in NOT_OURS:
                assert re.search(rf"\b{name}\b", header), f"{document} names {name}"


@case
def the_table_of_errors_is_complete():
    codes = set(re.findall(r"^\s+(SOCK_E[A-Z]+) = -\d+,?", open("include/sock.h").read(), re.M))
    assert len(codes) >= 30, codes
    told = set(re.findall(r"`(SOCK_E[A-Z]+)`", open("docs/errors.md").read()))
    equal(codes - told, set())
    equal(told - codes, set())


@case
def every_example_is_told_of():
    told = "".join(open(document).read() for document in ["c_examples/README.md"])
    for path in glob.glob("c_examples/*.c") + glob.glob("c_examples/*.py"):
        contains(told, os.path.basename(path))


run_cases()
