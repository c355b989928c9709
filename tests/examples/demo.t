#!/usr/bin/env python3
"""`make demo` works, tells its story, leaves nothing behind, and fails where something does not work."""

from examples import *

DEMO = "c_examples/demo.sh"


def demo(place, **more):
    return subprocess.run([DEMO, place], capture_output=True, timeout=2 * LIMIT, **more)


@case
def it_works_and_tells_its_story():
    temporary = folder()
    done = demo(PROGRAMS, env={**os.environ, "TMPDIR": temporary})
    equal((done.returncode, done.stderr), (0, b""))
    for words in (b"listening on 127.0.0.1:", b"   hello\n   world\n", b"connection refused", b"This page came through libsock",
                  b"Everything worked"):
        contains(done.stdout, words)
    equal(os.listdir(temporary), [])


@case
def it_works_without_python():
    tools = folder()
    for tool in ("sh", "dirname", "mktemp", "rm", "sed", "sleep", "grep", "cmp", "cat", "mkdir", "chmod", "printf", "kill"):
        if path := shutil.which(tool):
            os.symlink(path, os.path.join(tools, tool))
    done = demo(PROGRAMS, env={**os.environ, "PATH": tools})
    equal((done.returncode, done.stderr), (0, b""))
    contains(done.stdout, b"This page came through libsock")


@case
def it_fails_where_an_example_does_not_work():
    for name, script in (("echo_client", "#!/bin/sh\nwhile read line; do echo wrong; done\n"), ("http_get", "#!/bin/sh\necho wrong\n"),
                         ("echo_server", "#!/bin/sh\nexit 1\n")):
        place = folder()
        for example in os.listdir(PROGRAMS):
            os.symlink(os.path.abspath(os.path.join(PROGRAMS, example)), os.path.join(place, example))
        os.remove(os.path.join(place, name))
        with open(os.path.join(place, name), "w") as file:
            file.write(script)
        os.chmod(os.path.join(place, name), 0o755)
        done = demo(place)
        assert done.returncode != 0, name
        contains(done.stderr, b"demo: ")


run_cases()
