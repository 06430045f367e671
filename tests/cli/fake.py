"""What answers on a socket in the place of a Docker Engine."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self

Answer = tuple[int, str, bytes]
"""Status, type of content, body."""
Answers = Mapping[str, Answer] | bytes | None
"""Those of an HTTP server, by path; a path that is not there is refused with 404. Bytes are written
as they are, whatever was asked, before the connection is closed; None says nothing and stays."""


def as_json(value: object, status: int = 200) -> Answer:
    """An answer as the engine gives them."""
    return status, "application/json", json.dumps(value).encode()


HTML: Answer = (200, "text/html", b"<html><body>Welcome to nginx!</body></html>")
EMPTY_ENGINE: Mapping[str, Answer] = {
    "/version": as_json({"ApiVersion": "1.41", "Version": "20.10.24", "MinAPIVersion": "1.12"}),
    "/_ping": (200, "text/plain", b"OK"),
    "/v1.41/containers/json": as_json([]),
    "/v1.41/networks": as_json([]),
}


class FakeServer:
    """Serves on a Unix socket until it is closed."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self.connections = 0
        self._came = threading.Condition()
        self._closed = threading.Event()
        handler: Any = _http(answers) if isinstance(answers, Mapping) else self._raw(answers)
        self._server = _Server(str(path), handler)
        self._server.came = self._count
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def wait_for_more(self, connections: int, deadline: float = 30.0) -> None:
        """Wait until so many further connections have come."""
        with self._came:
            aim = self.connections + connections
            assert self._came.wait_for(lambda: self.connections >= aim, deadline)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def _count(self) -> None:
        with self._came:
            self.connections += 1
            self._came.notify_all()

    def _raw(self, answer: bytes | None) -> type[socketserver.BaseRequestHandler]:
        closed = self._closed

        class Raw(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if answer is None:
                    closed.wait()
                elif answer:
                    self.rfile.readline()
                    self.wfile.write(answer)

        return Raw


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    came: Callable[[], None]

    def verify_request(self, *_: object) -> bool:
        self.came()
        return True

    def handle_error(self, *_: object) -> None:
        """The client left; that is its right."""


def _http(answers: Mapping[str, Answer]) -> type[BaseHTTPRequestHandler]:
    class Http(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.split("?")[0]
            status, kind, body = answers.get(path, as_json({"message": "page not found"}, 404))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Http
