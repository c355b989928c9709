#!/usr/bin/env python3
"""unix_credentials: both ends learn who the other is."""

from examples import *


@case
def both_ends_learn_who_the_other_is():
    path = f"unix:{folder()}/socket"
    server, address = serve("unix_credentials", "-l", path)
    equal(address, path)
    client = start([program("unix_credentials"), path], stdout=subprocess.PIPE)
    output = client.stdout.read().decode()
    me = f"user {os.getuid()}, group {os.getgid()}"
    equal(output, f"server: process {server.pid}, {me}\nyou are process {client.pid}, {me}\n")
    equal(server.stdout.readline().decode(), f"client: process {client.pid}, {me}\n")
    equal(client.wait(LIMIT), 0)
    stop(server)
    equal(os.path.exists(path.removeprefix("unix:")), False)


@case
def another_user_is_told_apart():
    if os.getuid() != 0:
        raise Skip("only root can become another user")
    place = folder()
    os.chmod(place, 0o755)
    server, address = serve("unix_credentials", "-l", f"unix:{place}/socket")

    def become_nobody():
        os.setgid(65534)
        os.setuid(65534)

    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        child = os.fork()
        if child == 0:
            try:
                become_nobody()
                client.connect(f"{place}/socket")
                os._exit(0)
            except OSError:
                os._exit(1)
        equal(os.waitpid(child, 0)[1], 0)
        equal(server.stdout.readline().decode(), f"client: process {child}, user 65534, group 65534\n")
    stop(server)


@case
def what_is_no_unix_address_is_a_wrong_argument():
    for arguments in (["127.0.0.1"], ["-l", "/path"], ["-l"]):
        equal(run("unix_credentials", *arguments)[:2], (2, b""))


@case
def a_missing_path_is_told():
    status, output, errors = run("unix_credentials", f"unix:{folder()}/nothing")
    equal((status, output), (1, b""))
    contains(errors, b"unix_credentials: open unix:")


run_cases()
