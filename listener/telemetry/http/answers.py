"""From a request to the bytes of its answer: a page, or why there is none.

A rendered page serves for a while: whoever asks soon after another is sent the same bytes, for the
longer the more it took of the processor.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import urlsplit

import h11
from loguru import logger

SHARE = 0.1
"""Of one core: the most that serving takes."""
FRESH = 0.2
"""Seconds for which a rendered page serves, at least."""

_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Response:
    """What is answered.

    Args:
        body: all of it.
        content_type: of the body.
        status: of HTTP.
        policy: what a browser may load and run for it, as a Content-Security-Policy.
    """

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = HTTPStatus.OK
    policy: str = _NOTHING


def page(html: bytes) -> Response:
    """An HTML page that may run its own scripts and styles and ask this server, and nothing else.

    Args:
        html: the page; its scripts and styles stand in elements, not in attributes.
    """

    def own(element: bytes) -> str:
        found = re.findall(rb"<%b\b[^>]*>(.*?)</%b>" % (element, element), html, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in found]
        return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"

    scripts, styles = own(b"script"), own(b"style")
    allowed = f"script-src {scripts}; style-src {styles}; connect-src 'self'; img-src data:"
    return Response(html, "text/html; charset=utf-8", policy=f"{_NOTHING}; {allowed}")


Routes = Mapping[str, Callable[[], Response]]
"""By its path, what renders a page; it is called on the endpoint's thread."""


class Answer:
    """A response as it is sent."""

    def __init__(self, response: Response, *headers: str, good_until: float = 0.0) -> None:
        status = HTTPStatus(response.status)
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {response.content_type}",
            f"Content-Length: {len(response.body)}",
            f"Content-Security-Policy: {response.policy}",
            "X-Content-Type-Options: nosniff",
            "Referrer-Policy: no-referrer",
            "Cross-Origin-Resource-Policy: same-origin",
            "Cache-Control: no-store",
            "Connection: close",
            *headers,
        ]
        head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
        self.whole = memoryview(head + response.body)
        self.head = self.whole[: len(head)]
        self.good_until = good_until


def refusal(status: int, why: str, *headers: str) -> Answer:
    """Why there is no page, as a sentence for whoever asked."""
    return Answer(Response(f"{why}\n".encode(), status=status), *headers)


class Answers:
    """From a request to the bytes of its answer.

    Args:
        routes: the pages.
        only_for: a host's name; requests for another name are refused.
    """

    def __init__(self, routes: Routes, *, only_for: str | None) -> None:
        self._routes = routes
        self._only_for = only_for
        self._rendered: dict[str, Answer] = {}
        self._failing: dict[str, str] = {}

    def to(self, request: h11.Request) -> memoryview:
        """What is sent for this request."""
        answer = self._find(request)
        return answer.head if request.method == b"HEAD" else answer.whole

    def _find(self, request: h11.Request) -> Answer:
        if request.method not in (b"GET", b"HEAD"):
            return refusal(405, "nothing can be changed here", "Allow: GET, HEAD")
        if not self._is_ours(dict(request.headers).get(b"host", b"").decode("latin-1")):
            return refusal(421, "ask for localhost, an IP address or the host that --http names")
        path = request.target.partition(b"?")[0].decode("ascii")
        if path not in self._routes:
            return refusal(404, f"there are {' '.join(self._routes)}")
        answer = self._rendered.get(path)
        if answer is None or answer.good_until <= time.monotonic():
            answer = self._rendered[path] = self._render(path)
        return answer

    def _is_ours(self, host: str) -> bool:
        if self._only_for is None or not host:
            return True
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in ("localhost", self._only_for.lower()):
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _render(self, path: str) -> Answer:
        began = time.thread_time()
        try:
            response = self._routes[path]()
        except Exception as error:
            response = Response(b"this page cannot be shown; the log says why\n", status=500)
            said = self._failing.get(path)
            self._failing[path] = repr(error)
            if said != repr(error):
                logger.bind(event="http").exception("the page {} cannot be shown", path)
        else:
            self._failing.pop(path, None)
        # Half of our share is for pages that were rendered already, however long that takes.
        serves = max(FRESH, 2 * (time.thread_time() - began) / SHARE)
        return Answer(response, good_until=time.monotonic() + serves)
