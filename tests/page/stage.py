"""A stage for the page: a server that shows it beside whatever status a test has set."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from threading import Thread
from typing import Any, Self

PAGE = files("listener.telemetry.http").joinpath("page.html").read_text(encoding="utf-8")


def allowed(tag: str) -> str:
    """The one inline element of this kind, as a Content-Security-Policy names it."""
    [content] = re.findall(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; connect-src 'self'; img-src data:; style-src {allowed('style')};"
    f" script-src {allowed('script')}; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'"
)
"""The strictest that there is: neither a style attribute nor `innerHTML` would pass."""


class Stage(AbstractContextManager["Stage"]):
    """The server; `status` is what it says, unless `answer` is set to something else."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {}
        self.answer: Callable[[], tuple[int, bytes]] = self.tell
        self.asked = 0
        self._port = 0
        self._server: ThreadingHTTPServer | None = None
        self.come()

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self._port}/"

    def tell(self) -> tuple[int, bytes]:
        """Answer with the status."""
        return 200, json.dumps(self.status).encode()

    def come(self) -> None:
        """Listen (again)."""
        stage = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/":
                    code, body, kind = 200, PAGE.encode(), "text/html; charset=utf-8"
                elif self.path == "/status.json":
                    stage.asked += 1
                    code, body = stage.answer()
                    kind = "application/json"
                else:
                    code, body, kind = 404, b"", "text/plain"
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def go(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        """Already there."""
        return self

    def __exit__(self, *_: object) -> None:
        """Go."""
        self.go()
