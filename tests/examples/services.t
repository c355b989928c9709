#!/usr/bin/env python3
"""ssh_banner, telnet and smtp_send against the real servers, and against scripted ones that misbehave."""

from examples import *

# ---- ssh_banner


@case
def ssh_banner_of_openssh():
    sshd, keygen = need("sshd"), need("ssh-keygen")
    place, port = folder(), free_port()
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", f"{place}/key"], check=True, timeout=LIMIT)
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    start([sshd, "-D", "-e", "-f", "/dev/null", "-h", f"{place}/key", "-p", port, "-o", "ListenAddress=127.0.0.1",
           "-o", f"PidFile={place}/pid"], stderr=subprocess.DEVNULL)
    wait_until(lambda: answers(port), "sshd")
    status, output, errors = run("ssh_banner", "127.0.0.1", port)
    equal((status, errors), (0, b""))
    assert output.startswith(b"SSH-2.0-OpenSSH"), output


@case
def ssh_banner_may_come_after_other_lines():
    port, wait = scripted_peer(lambda peer: peer.sendall(b"Welcome\r\nto this\r\nSSH-2.0-test here\r\nmore"))
    equal(run("ssh_banner", "127.0.0.1", port), (0, b"SSH-2.0-test here\n", b""))
    wait()


@case
def what_is_no_ssh_server_is_told():
    for answer in (b"", b"SSH", b"hello\r\n", b"x" * 1000, b"line\r\n" * 1000):
        port, wait = scripted_peer(lambda peer: peer.sendall(answer))
        status, output, errors = run("ssh_banner", "127.0.0.1", port)
        wait()
        equal((answer[:10], status, output), (answer[:10], 1, b""))
        contains(errors, b"ssh_banner: ")


# ---- telnet

IAC, DONT, DO, WONT, WILL, SB, SE = (bytes([n]) for n in (255, 254, 253, 252, 251, 250, 240))


def receive(peer, size):
    data = b""
    while len(data) < size:
        piece = peer.recv(size - len(data))
        assert piece, data
        data += piece
    return data


@case
def telnet_refuses_every_option():
    refused = threading.Event()

    def script(peer):
        peer.sendall(b"login: " + IAC + DO + b"\x18" + IAC + WILL + b"\1" + IAC + DONT + b"\2" + IAC + WONT + b"\3")
        equal(receive(peer, 6), IAC + WONT + b"\x18" + IAC + DONT + b"\1")
        refused.set()
        equal(receive(peer, 6), b"anna\r\n")
        peer.sendall(IAC + SB + b"\x18\1 not text " + IAC + IAC + b" " + IAC + SE + IAC + b"\xf1" + b"hello\r\nalone\r\0|" + IAC
                     + IAC + b"|")
        equal(read_all(peer), b"")

    port, wait = scripted_peer(script)
    client = start([program("telnet"), "127.0.0.1", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    refused.wait(LIMIT)  # what is typed may overtake the answers
    output, errors = client.communicate(b"anna\n", timeout=LIMIT)
    wait()
    equal((client.returncode, errors), (0, b""))
    equal(output, b"login: hello\r\nalone\r|\xff|")


@case
def telnet_takes_commands_in_any_pieces():
    def script(peer):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"a" + IAC + DO + b"\x18" + b"b" + IAC + SB + b"\1x" + IAC + SE + b"c\r\0d":
            peer.sendall(bytes([byte]))
            time.sleep(0.005)
        equal(receive(peer, 3), IAC + WONT + b"\x18")

    port, wait = scripted_peer(script)
    client = start([program("telnet"), "127.0.0.1", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    equal((client.stdout.read(), client.wait(LIMIT)), (b"abc\rd", 0))
    wait()


@case
def telnet_doubles_the_byte_255_and_ends_lines_with_both():
    def script(peer):
        equal(read_all(peer), b"a" + IAC + IAC + b"b\r\n\r\nc")
        peer.sendall(b"done\r\n")

    port, wait = scripted_peer(script)
    equal(run("telnet", "127.0.0.1", port, input=b"a\xffb\n\nc"), (0, b"done\r\n", b""))
    wait()


@case
def telnet_moves_much_both_ways_at_once():
    size = 3_000_000

    def script(peer):
        received = 0
        while piece := peer.recv(65536):
            peer.sendall(piece)
            received += len(piece)
        equal(received, size)

    port, wait = scripted_peer(script)
    status, output, errors = run("telnet", "127.0.0.1", port, input=b"x" * size)
    wait()
    equal((status, len(output), errors), (0, size, b""))


@case
def telnet_survives_a_flood_of_options():
    count = 200_000

    def script(peer):
        sender = threading.Thread(target=lambda: (peer.sendall((IAC + DO + b"\x18") * count), peer.shutdown(socket.SHUT_WR)))
        sender.start()
        answers = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := peer.recv(65536):
                answers += len(piece)
        sender.join()
        assert answers <= 3 * count, answers

    port, wait = scripted_peer(script)
    client = start([program("telnet"), "127.0.0.1", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    equal((client.stdout.read(), client.wait(LIMIT)), (b"", 0))
    wait()


@case
def telnet_drops_its_answers_after_its_end():
    def script(peer):
        equal(read_all(peer), b"")
        peer.sendall(IAC + DO + b"\x18" + b"done")

    port, wait = scripted_peer(script)
    equal(run("telnet", "127.0.0.1", port), (0, b"done", b""))
    wait()


@case
def telnet_to_a_telnetd():
    telnetd, socat = need("telnetd"), need("socat")
    port = free_port()
    start([socat, f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", f"EXEC:{telnetd} -h"], stderr=subprocess.DEVNULL)
    wait_until(lambda: answers(port), "telnetd")
    client = start([program("telnet"), "127.0.0.1", port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    output = b""
    end = time.monotonic() + LIMIT
    while b"login:" not in output and time.monotonic() < end:
        piece = os.read(client.stdout.fileno(), 1000)
        if not piece:
            break
        output += piece
    if b"login:" not in output:
        raise Skip(f"telnetd does not reach its login here: {output!r}")
    assert IAC not in output, output


# ---- smtp_send

MESSAGE = b"Subject: test\n\nHello,\n.\n..\n.hidden\r\nlast line without an end"
ON_THE_WIRE = b"Subject: test\r\n\r\nHello,\r\n..\r\n...\r\n..hidden\r\nlast line without an end\r\n.\r\n"


def smtp_peer(replies, seen):
    """A mail server that answers with these, in turn, and reads the message after a reply that asks for it."""

    def script(peer):
        file = peer.makefile("rb")
        for reply in replies:
            peer.sendall(reply)
            if reply.startswith(b"354"):
                data = b""
                while not data.endswith(b"\r\n.\r\n") and data != b".\r\n":
                    line = file.readline()
                    if not line:
                        break
                    data += line
                seen.append(data)
            else:
                seen.append(file.readline())
        file.close()

    return scripted_peer(script)


def send(replies, message=MESSAGE, sender="anna@example.org", recipient="bert@example.org"):
    seen = []
    port, wait = smtp_peer(replies, seen)
    status, output, errors = run("smtp_send", "127.0.0.1", port, sender, recipient, input=message)
    wait()
    equal(output, b"")
    return status, errors.decode(), seen


GOOD = [b"220 ready\r\n", b"250-first\r\n250-second\r\n250 last\r\n", b"250 sender\r\n", b"250 recipient\r\n", b"354 go on\r\n",
        b"250 taken\r\n", b"221 bye\r\n"]


@case
def smtp_sends_as_the_standard_says():
    status, errors, seen = send(GOOD)
    equal((status, errors), (0, ""))
    equal(seen[:6], [b"EHLO [127.0.0.1]\r\n", b"MAIL FROM:<anna@example.org>\r\n", b"RCPT TO:<bert@example.org>\r\n",
                     b"DATA\r\n", ON_THE_WIRE, b"QUIT\r\n"])


@case
def smtp_sends_an_empty_message_and_a_long_one():
    equal(send(GOOD, message=b"")[0], 0)
    status, errors, seen = send(GOOD, message=b".x" * 1_000_000 + b"\n" + b"y\n" * 10_000)
    equal((status, errors), (0, ""))
    equal(seen[4] == b"." + b".x" * 1_000_000 + b"\r\n" + b"y\r\n" * 10_000 + b".\r\n", True)


@case
def each_refusal_names_its_step_and_the_words_of_the_server():
    steps = ["the connection", "EHLO [127.0.0.1]", "MAIL FROM:<anna@example.org>", "RCPT TO:<bert@example.org>", "DATA",
             "the message"]
    for number, step in enumerate(steps):
        refusal = b"550-no,\r\n550 never %d\r\n" % number
        status, errors, _ = send([*GOOD[:number], refusal])
        equal((status, errors), (1, f"smtp_send: {step} refused: 550-no,; 550 never {number}\n"))


@case
def smtp_tells_of_a_server_that_is_none_or_goes_away():
    for replies in ([b""], [b"hello\r\n"], [b"SSH-2.0-x\r\n"], [b"220-" + b"x" * 5000 + b"\r\n"], [b"220-x\r\n" * 1000],
                    [GOOD[0]], GOOD[:3], GOOD[:5], [b"22\r\n"]):
        def script(peer):
            for reply in replies[:-1]:
                peer.sendall(reply)
                peer.recv(4096)
            peer.sendall(replies[-1])

        port, wait = scripted_peer(script)
        status, output, errors = run("smtp_send", "127.0.0.1", port, "a@example.org", "b@example.org", input=b"x\n")
        wait()
        equal((replies[-1][:10], status, output), (replies[-1][:10], 1, b""))
        contains(errors, b"smtp_send: ")


@case
def smtp_does_not_end_a_message_that_cannot_be_read():
    seen = []
    port, wait = smtp_peer(GOOD[:5], seen)
    status, output, errors = run_reading_nothing("smtp_send", "127.0.0.1", port, "a@example.org", "b@example.org")
    wait()
    equal((status, output, seen[4]), (1, b"", b""))
    contains(errors, b"smtp_send: ")


@case
def smtp_addresses_that_would_say_more_are_refused():
    for address in ("a@example.org> SIZE=1", "a\r\nRCPT TO:<x@y>", "a b", "<a>"):
        equal(run("smtp_send", "127.0.0.1", "1", address, "b@example.org")[:2], (2, b""))
        equal(run("smtp_send", "127.0.0.1", "1", "a@example.org", address)[:2], (2, b""))
    equal(run("smtp_send", "127.0.0.1", "1", "a@example.org", "")[:2], (2, b""))


@case
def smtp_to_aiosmtpd():
    python = "/usr/bin/python3"
    if subprocess.run([python, "-c", "import aiosmtpd"], stderr=subprocess.DEVNULL).returncode != 0:
        raise Skip("aiosmtpd is not installed")
    port = free_port()
    server = start([python, "-u", "-m", "aiosmtpd", "-n", "-c", "aiosmtpd.handlers.Debugging", "stdout", "-l",
                    f"127.0.0.1:{port}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wait_until(lambda: answers(port), "aiosmtpd")
    equal(run("smtp_send", "127.0.0.1", port, "anna@example.org", "bert@example.org",
              input=b"From: anna@example.org\nTo: bert@example.org\nSubject: x\n\nHello\n.dot\n"), (0, b"", b""))
    lines = []
    while not lines or b"END MESSAGE" not in lines[-1]:
        lines.append(server.stdout.readline())
        assert lines[-1] != b"", lines
    assert b"Hello\n" in lines and b".dot\n" in lines, lines
    status, output, errors = run("smtp_send", "127.0.0.1", port, "nonsense@", "bert@example.org", input=b"x\n")
    equal((status, output), (1, b""))
    contains(errors, b"smtp_send: MAIL FROM:<nonsense@> refused: 5")


run_cases()
