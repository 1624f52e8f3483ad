"""Small HTTP servers in threads, which answer as a table says."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Broken(bytes):
    """A body that breaks off: the connection is closed before its announced end."""


class FakeServer(ThreadingHTTPServer):
    """Answers `paths`: a path to a status and a body (JSON, or bytes as they are). Everything else is 404."""

    daemon_threads = True

    def __init__(self, paths: dict[str, object]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.paths = paths
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.gate = threading.Event()
        self.gate.set()

    @property
    def port(self) -> int:
        return self.server_address[1]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        self.server.gate.wait(10)
        answer = self.server.paths.get(self.path, (404, {"error": {"message": "no such path"}}))
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if isinstance(body, Broken):
            self.send_header("Transfer-Encoding", "chunked")
            data = b"%x\r\n%b\r\n" % (len(data), data)
        else:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(paths: dict[str, object] | None = None, /, **more: object) -> Iterator[FakeServer]:
    """A server of the paths, which may be written as `v1_models` for `/v1/models`."""
    server = FakeServer({**(paths or {}), **{"/" + name.replace("_", "/"): answer for name, answer in more.items()}})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def listing(*names: str, **more: object) -> dict[str, object]:
    """An answer to GET /v1/models."""
    return {"object": "list", "data": [{"id": name, "object": "model", **more} for name in names]}
