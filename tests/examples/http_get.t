#!/usr/bin/env python3
"""http_get against Python's http.server, nginx, and servers that break the rules."""

from examples import *


def scripted(answer, *options, path="/"):
    """What http_get does when the whole answer is these bytes: (status, output, errors, request)."""
    requests = []

    def script(peer):
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            piece = peer.recv(65536)
            assert piece, request
            request += piece
        requests.append(request)
        peer.sendall(answer)

    port, wait = scripted_peer(script)
    status, output, errors = run("http_get", *options, "127.0.0.1", port, path)
    wait()
    return status, output, errors, requests[0]


def site():
    root = folder()
    with open(os.path.join(root, "page.txt"), "wb") as page:
        page.write(b"a page\n" * 100_000)
    return root


def check_site(port):
    equal(run("http_get", "127.0.0.1", port, "/page.txt"), (0, b"a page\n" * 100_000, b""))
    equal(run("http_get", "127.0.0.1", port, "page.txt"), (0, b"a page\n" * 100_000, b""))
    status, output, errors = run("http_get", "127.0.0.1", port, "/missing")
    equal((status, output), (1, b""))
    contains(errors, b"404")


@case
def from_the_http_server_of_python():
    server = start([sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", site(), "0"],
                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    check_site(int(server.stdout.readline().split(b" port ")[1].split()[0]))


@case
def from_nginx():
    nginx = need("nginx")
    root, port = site(), free_port()
    os.chmod(root, 0o755)
    with open(os.path.join(root, "nginx.conf"), "w") as file:
        file.write(f"daemon off; pid {root}/pid; error_log {root}/errors; worker_processes 1;\n"
                   f"events {{}} http {{ access_log off; client_body_temp_path {root}/body;\n"
                   f"proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi; uwsgi_temp_path {root}/uwsgi;\n"
                   f"scgi_temp_path {root}/scgi; server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n")
    start([nginx, "-p", root, "-c", f"{root}/nginx.conf"], stderr=subprocess.DEVNULL)
    wait_until(lambda: answers(port), "nginx")
    check_site(port)


@case
def the_request_is_a_good_one():
    status, output, errors, request = scripted(b"HTTP/1.0 200 OK\r\n\r\nbody", path="/a?b=c")
    equal((status, output, errors), (0, b"body", b""))
    lines = request.split(b"\r\n")
    equal(lines[0], b"GET /a?b=c HTTP/1.0")
    assert any(line.startswith(b"Host: 127.0.0.1:") for line in lines), lines


@case
def a_body_ends_with_its_length_or_with_the_connection():
    equal(scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyrest")[:3], (0, b"body", b""))
    equal(scripted(b"HTTP/1.1 200 OK\ncontent-length:4\n\nbody")[:3], (0, b"body", b""))
    equal(scripted(b"HTTP/1.1 200 OK\r\n\r\n")[:3], (0, b"", b""))
    equal(scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")[:3], (0, b"", b""))


@case
def a_body_that_is_cut_is_an_error():
    status, output, errors, _ = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbody")
    equal((status, output), (1, b"body"))
    contains(errors, b"in the middle")


@case
def a_refusal_is_told_in_the_words_of_the_server():
    status, output, errors, _ = scripted(b"HTTP/1.1 503 Come back later\r\n\r\nwhatever")
    equal((status, output, errors), (1, b"", b"http_get: HTTP/1.1 503 Come back later\n"))


@case
def what_is_not_http_is_an_error():
    for answer in (b"", b"SSH-2.0-x\r\n", b"\r\n\r\n", b"HTTP/2\r\n", b"HTTP/1.1 200 OK\r\n", b"x" * 100_000,
                   b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000):
        status, output, errors, _ = scripted(answer)
        equal((answer[:20], status, output), (answer[:20], 1, b""))
        contains(errors, b"http_get: ")


@case
def the_deadline_covers_a_server_that_drips():
    def script(peer):
        peer.recv(65536)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                peer.sendall(b"x")
                time.sleep(0.02)

    port, wait = scripted_peer(script)
    started = time.monotonic()
    status, output, errors = run("http_get", "-t", "300", "127.0.0.1", port, "/")
    took = time.monotonic() - started
    equal(status, 1)
    contains(errors, b"timed out")
    assert 0.29 < took < 10, took
    wait()


@case
def a_path_that_would_smuggle_a_header_is_refused():
    for path in ("/a b", "/a\r\nX: y", "/a\n"):
        equal(run("http_get", "127.0.0.1", "1", path)[:2], (2, b""))


run_cases()
