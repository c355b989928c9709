#!/usr/bin/env python3
"""http_server under both models: real clients, bad requests, paths that would escape, slow and deaf clients."""

import re
from examples import *

MODELS = ("threads", "fibers")
BIG = os.urandom(5_000_000)


def site():
    """A folder to serve, beside a secret that must stay one."""
    place = folder()
    root = os.path.join(place, "root")
    os.makedirs(os.path.join(root, "sub", "empty"))
    for name, data in {"root/index.html": b"<p>home</p>\n", "root/page.txt": b"a page\n", "root/big": BIG,
                       "root/nothing.css": b"", "root/with space.txt": b"space\n", "root/sub/index.html": b"sub\n",
                       "root/..hidden": b"dots\n", "secret": b"secret\n", "root/unreadable": b"x"}.items():
        with open(os.path.join(place, name), "wb") as file:
            file.write(data)
    os.symlink("../secret", os.path.join(root, "link"))
    os.symlink("..", os.path.join(root, "up"))
    os.mkfifo(os.path.join(root, "fifo"))
    return root


def each_model(check, *options):
    root = site()
    for model in MODELS:
        process, port = serve("http_server", "-m", model, "-r", root, *options, "127.0.0.1", "0")
        check(port)
        stop(process)


def talk(port, request):
    """Sends these bytes and returns everything that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), LIMIT) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
        return read_all(connection)


def status_of(answer):
    match = re.match(rb"HTTP/1\.1 (\d{3}) [A-Za-z ]+\r\n", answer)
    assert match, answer[:200]
    return int(match[1])


def get(port, target, method="GET", headers="", version="1.1"):
    """One request on a connection of its own: (status, headers, body)."""
    host = "Host: localhost\r\n" if version == "1.1" else ""
    answer = talk(port, f"{method} {target} HTTP/{version}\r\n{host}Connection: close\r\n{headers}\r\n".encode("latin-1"))
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = {line.split(b": ")[0].lower(): line.split(b": ")[1] for line in head.split(b"\r\n")[1:]}
    return status_of(answer), fields, body


@case
def files_with_their_length_and_type():
    def check(port):
        status, fields, body = get(port, "/page.txt")
        equal((status, body), (200, b"a page\n"))
        equal((fields[b"content-length"], fields[b"connection"]), (b"7", b"close"))
        contains(fields[b"content-type"], b"text/plain")
        assert re.fullmatch(rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", fields[b"date"]), fields
        status, fields, body = get(port, "/nothing.css")
        equal((status, body, fields[b"content-length"]), (200, b"", b"0"))
        contains(fields[b"content-type"], b"text/css")
        equal(get(port, "/big")[2] == BIG, True)
        equal(get(port, "/with%20space.txt?query=/../secret")[2], b"space\n")
        equal(get(port, "/..hidden")[2], b"dots\n")
        equal(get(port, "//sub///index.html")[2], b"sub\n")
        equal(get(port, "/./sub/./index.html")[2], b"sub\n")

    each_model(check)


@case
def folders_have_an_index_or_are_not_found():
    def check(port):
        for target in ("/", "/?query", "http://localhost", "http://localhost/", "HTTP://localhost?query"):
            equal((target, *get(port, target)[::2]), (target, 200, b"<p>home</p>\n"))
        equal(get(port, "/sub/")[2], b"sub\n")
        for target in ("/sub", "//sub", "/sub?query"):
            status, fields, body = get(port, target)
            equal((target, status, fields[b"location"]), (target, 301, b"/sub/"))
        equal(get(port, "/sub/empty/")[0], 404)

    each_model(check)


@case
def head_has_no_body():
    def check(port):
        status, fields, body = get(port, "/big", "HEAD")
        equal((status, int(fields[b"content-length"]), body), (200, len(BIG), b""))
        status, fields, body = get(port, "/missing", "HEAD")
        equal((status, body), (404, b""))

    each_model(check)


@case
def no_path_escapes_the_root():
    def check(port):
        for target in ("/../secret", "/sub/../../secret", "/..", "/../", "/%2e%2e/secret", "/%2E%2e%2fsecret", "/..%2fsecret",
                       "/sub/..", "/link", "/up/secret", "/up", "/up/", "http://localhost/../secret",
                       "/..%5csecret", "/page.txt/../../secret", "/./../secret", "//../secret", "/fifo/../../secret"):
            status, fields, body = get(port, target)
            assert status in (400, 404), (target, status)
            assert b"secret" not in body, target

    each_model(check)


@case
def what_is_no_file_is_not_found():
    def check(port):
        for target in ("/missing", "/page.txt/", "/page.txt/more", "/fifo", "/" + "x" * 300, "/" + "x/" * 1000):
            equal((target[:20], get(port, target)[0]), (target[:20], 404))

    each_model(check)


@case
def what_may_not_be_read_is_forbidden():
    root = site()
    os.chmod(os.path.join(root, "unreadable"), 0)
    os.chmod(root, 0o755)
    os.chmod(os.path.dirname(root), 0o755)
    somebody = {"user": 65534} if os.getuid() == 0 else {}  # root may read everything
    try:
        process, port = serve("http_server", "-r", root, "127.0.0.1", "0", **somebody)
    except PermissionError:
        raise Skip("another user may not run what is built here")
    equal((get(port, "/unreadable")[0], get(port, "/page.txt")[0]), (403, 200))
    stop(process)


@case
def bad_requests_get_their_status():
    host = b"Host: x\r\n"
    table = [
        (400, b"GET\r\n\r\n"), (400, b"GET /\r\n\r\n"), (400, b"GET / HTTP/1.1 \r\n" + host + b"\r\n"),
        (400, b"GET  / HTTP/1.1\r\n" + host + b"\r\n"), (400, b"G(T / HTTP/1.1\r\n" + host + b"\r\n"),
        (400, b" GET / HTTP/1.1\r\n" + host + b"\r\n"), (400, b"GET / HTTP/11\r\n" + host + b"\r\n"),
        (400, b"GET / http/1.1\r\n" + host + b"\r\n"), (400, b"GET page.txt HTTP/1.1\r\n" + host + b"\r\n"),
        (400, b"GET /%zz HTTP/1.1\r\n" + host + b"\r\n"), (400, b"GET /%4 HTTP/1.1\r\n" + host + b"\r\n"),
        (400, b"GET /% HTTP/1.1\r\n" + host + b"\r\n"), (400, b"GET /page.txt%00.png HTTP/1.1\r\n" + host + b"\r\n"),
        (400, b"GET /page\0.txt HTTP/1.1\r\n" + host + b"\r\n"), (400, b"GET /\xff HTTP/1.1\r\n" + host + b"\r\n"),
        (400, b"GET / HTTP/1.1\r\n\r\n"), (400, b"GET / HTTP/1.1\r\n" + host + host + b"\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"), (400, b"GET / HTTP/1.1\r\n" + host + b" folded\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + host + b"no colon\r\n\r\n"), (400, b"GET / HTTP/1.1\r\n" + host + b": x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + host + b"X: a\0b\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + host + b"Content-Length: x\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\n" + host + b"Content-Length: 1 2\r\n\r\n"),
        (405, b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 3\r\n\r\nabc"), (405, b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n"),
        (405, b"CONNECT x:1 HTTP/1.1\r\n" + host + b"\r\n"), (501, b"BREW / HTTP/1.1\r\n" + host + b"\r\n"),
        (501, b"get / HTTP/1.1\r\n" + host + b"\r\n"), (505, b"GET / HTTP/2.0\r\n" + host + b"\r\n"),
        (414, b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n" + host + b"\r\n"),
        (414, b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n" + host + b"\r\n"),
        (431, b"GET / HTTP/1.1\r\n" + host + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\n" + host + b"X: y\r\n" * 10_000 + b"\r\n"),
    ]

    def check(port):
        for expected, request in table:
            equal((request[:60], status_of(talk(port, request))), (request[:60], expected))
        contains(talk(port, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"), b"Allow: GET, HEAD\r\n")
        equal(get(port, "/page.txt")[0], 200)

    each_model(check)


@case
def a_connection_serves_many_requests():
    def check(port):
        request = b"GET /page.txt HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /missing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = talk(port, b"\r\n" + request * 50 + last)
        equal((answer.count(b" 200 OK\r\n"), answer.count(b"a page\n"), answer.count(b" 404 ")), (50, 50, 1))
        answer = talk(port, b"GET /page.txt HTTP/1.0\r\n\r\n" + request)
        equal(answer.count(b" 200 OK\r\n"), 1)
        answer = talk(port, b"GET /page.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" + last)
        equal((answer.count(b" 200 OK\r\n"), answer.count(b" 404 ")), (1, 1))
        answer = talk(port, b"GET /page.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n" + request)
        equal(answer.count(b" 200 OK\r\n"), 1)

    each_model(check)


@case
def bytes_may_come_one_at_a_time():
    def check(port):
        connection = connect(port)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /page.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            connection.send(bytes([byte]))
        equal(read_all(connection).endswith(b"\r\n\r\na page\n"), True)

    each_model(check)


@case
def slow_clients_are_ended_and_hold_nobody_up():
    def check(port):
        silent, slow = connect(port), connect(port)
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        started = time.monotonic()
        dripping = True
        slow.setblocking(False)
        answer = b""
        while dripping and time.monotonic() - started < LIMIT:
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                slow.send(b"x")
            try:
                piece = slow.recv(1000)
                answer += piece
                dripping = piece != b""
            except BlockingIOError:
                time.sleep(0.01)
            except ConnectionResetError:
                dripping = False
            if time.monotonic() - started < 0.3:
                equal(get(port, "/page.txt")[2], b"a page\n")
        equal(status_of(answer), 408)
        equal(read_all(silent), b"")

    each_model(check, "-t", "1000")


@case
def a_client_that_does_not_read_is_ended_and_holds_nobody_up():
    def check(port):
        deaf = socket.socket()
        current.callback(deaf.close)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        equal(get(port, "/big")[2] == BIG, True)
        time.sleep(2.2)  # twice the server's patience: there is nothing else to wait for
        deaf.settimeout(LIMIT)
        received = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := deaf.recv(1 << 20):
                received += len(piece)
        assert received < 3 * len(BIG), received

    each_model(check, "-t", "1000")


@case
def curl_gets_what_is_there():
    curl = need("curl")

    def check(port):
        url = f"http://127.0.0.1:{port}"
        done = subprocess.run([curl, "-sS", f"{url}/big", f"{url}/page.txt", f"{url}/with%20space.txt"],
                              capture_output=True, timeout=LIMIT)
        equal((done.returncode, done.stdout == BIG + b"a page\nspace\n", done.stderr), (0, True, b""))
        done = subprocess.run([curl, "-sS", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects} %{http_code},",
                               f"{url}/page.txt", f"{url}/missing"], capture_output=True, timeout=LIMIT)
        equal(done.stdout, b"1 200,0 404,")
        done = subprocess.run([curl, "-sS", "-L", f"{url}/sub"], capture_output=True, timeout=LIMIT)
        equal(done.stdout, b"sub\n")
        done = subprocess.run([curl, "-sS", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", f"{url}/../secret"],
                              capture_output=True, timeout=LIMIT)
        equal(done.stdout, b"400")

    each_model(check)


@case
def a_large_upload_is_answered_before_it_ends():
    curl = need("curl")

    def check(port):
        upload = os.path.join(folder(), "upload")
        with open(upload, "wb") as file:
            file.write(BIG)
        done = subprocess.run([curl, "-sS", "-H", "Expect:", "-o", "/dev/null", "-w", "%{http_code}", "-T", upload,
                               f"http://127.0.0.1:{port}/upload"], capture_output=True, timeout=LIMIT)
        equal(done.stdout, b"405")

    each_model(check)


@case
def wrk_finds_no_error():
    wrk = need("wrk")

    def check(port):
        done = subprocess.run([wrk, "-t", "1", "-c", "50", "-d", "1s", f"http://127.0.0.1:{port}/page.txt"],
                              capture_output=True, timeout=LIMIT)
        contains(done.stdout, b"requests in")
        assert b"Socket errors" not in done.stdout and b"Non-2xx" not in done.stdout, done.stdout.decode()

    each_model(check)


@case
def ab_finds_no_error():
    ab = need("ab")

    def check(port):
        for options in ((), ("-k",)):
            done = subprocess.run([ab, "-q", *options, "-n", "1000", "-c", "20", f"http://127.0.0.1:{port}/page.txt"],
                                  capture_output=True, timeout=LIMIT)
            contains(done.stdout, b"Failed requests:        0\n")
            contains(done.stdout, b"Complete requests:      1000\n")
            assert b"Non-2xx" not in done.stdout, done.stdout.decode()

    each_model(check)


@case
def the_requests_of_a_browser_are_served():
    def check(port):
        status, fields, body = get(port, "/", headers="User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0)\r\n"
                                   "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"
                                   "Accept-Encoding: gzip, deflate, br\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\n"
                                   "Cookie: a=b; c=d\r\nPriority: u=0, i\r\n")
        equal((status, body), (200, b"<p>home</p>\n"))
        equal(get(port, "/favicon.ico")[0], 404)

    each_model(check)


@case
def descriptors_do_not_leak():
    def check(port):
        def count():
            return len(os.listdir(f"/proc/{process.pid}/fd"))

        for target in ("/page.txt", "/missing", "/sub", "/sub/", "/sub/empty/", "/../x", "/fifo", "/link", "/up/x", "/page.txt/"):
            for _ in range(20):
                get(port, target)
        wait_until(lambda: count() <= before, f"{count()} descriptors to become {before}")

    root = site()
    for model in MODELS:
        process, port = serve("http_server", "-m", model, "-r", root, "127.0.0.1", "0")
        get(port, "/")
        before = len(os.listdir(f"/proc/{process.pid}/fd"))
        check(port)
        stop(process)


@case
def a_root_that_is_none_is_told():
    status, output, errors = run("http_server", "-r", "/does/not/exist", "127.0.0.1", "0")
    equal((status, output), (1, b""))
    contains(errors, b"http_server: /does/not/exist: No such file")


run_cases()
