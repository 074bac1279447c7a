"""A web server on this machine that misbehaves in the ways that real ones do, each under a path.

`server.url("page")` is a mirror that answers every request with a web page, and so for each name
in `WAYS`. `server.asked` lists the paths that were asked for, and `server.headers` with what.
"""

import contextlib
import gzip
import http.server
import threading
import time

CONTENT = {"one": b"the first file " * 4000, "two": bytes(range(256)) * 8}
PACKED = {name: gzip.compress(content) for name, content in CONTENT.items()}


def whole(body, *, length=None, status=200, kind="application/gzip"):
    """An ordinary answer, whose length may be a lie."""

    def answer(handler, name):
        content = body(name)
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(length or len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def error(status):
    return whole(lambda name: b"<html>no</html>", status=status, kind="text/html")


def redirect(target):
    def answer(handler, name):
        handler.send_response(302)
        handler.send_header("Location", f"/{target}/{name}.gz")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def chunked(ending):
    def answer(handler, name):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for byte in (PACKED[name][:99], PACKED[name][99:]):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(byte), byte))
        handler.wfile.write(ending)

    return answer


def slow(pieces, pause):
    """The first bytes at once, and then pieces with a pause before each."""

    def answer(handler, name):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(PACKED[name])))
        handler.end_headers()
        handler.wfile.write(PACKED[name][:10])
        for i in range(10, 10 + pieces):
            handler.server.closing.wait(pause)
            handler.wfile.write(PACKED[name][i : i + 1])

    return answer


def endless(handler, name):
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.closing.is_set():
        handler.wfile.write(bytes(1 << 16))


def silent(handler, name):
    handler.server.closing.wait(30)


def hang_up(handler, name):
    handler.close_connection = True


def nonsense(handler, name):
    handler.wfile.write(b"hello\r\n\r\n")


WAYS = {
    "good": whole(PACKED.get),
    "unpacked": whole(CONTENT.get),
    "hop": redirect("good"),
    "pieces": chunked(b"0\r\n\r\n"),
    "missing": error(404),
    "forbidden": error(403),
    "busy": error(503),
    "page": whole(lambda name: b"\n<!doctype html><p>moved</p>", kind="text/html"),
    "empty": whole(lambda name: b""),
    "short": whole(PACKED.get, length=1 << 20),
    "cut": whole(lambda name: PACKED[name][: len(PACKED[name]) // 2]),
    "damaged": whole(lambda name: PACKED[name][:-8] + b"none" + PACKED[name][-4:]),
    "other": whole(lambda name: gzip.compress(b"another file")),
    "bomb": whole(lambda name: gzip.compress(bytes(1 << 24))),
    "large": whole(lambda name: b"", length=1 << 40),
    "endless": endless,
    "broken pieces": chunked(b"5\r\nab"),
    "stalled": slow(1, 30),
    "dripping": slow(60, 0.1),
    "silent": silent,
    "hang up": hang_up,
    "nonsense": nonsense,
    "circle": redirect("circle"),
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.headers.append(dict(self.headers))
        way, name = self.path.rpartition("//")[2].strip("/").split("/")[-2:]
        with contextlib.suppress(OSError):  # who asked has gone
            WAYS[way.replace("%20", " ")](self, name.removesuffix(".gz"))

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    """`with Server() as server:` it answers on a free port until the end of the block."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.headers, self.closing = [], [], threading.Event()

    def url(self, way, scheme="http"):
        return f"{scheme}://127.0.0.1:{self.server_port}/{way.replace(' ', '%20')}/"

    def handle_error(self, request, client_address):
        pass  # a TLS greeting is no request

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.closing.set()
        time.sleep(0.01)
        self.shutdown()
        self.server_close()
