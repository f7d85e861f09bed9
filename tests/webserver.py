"""A web server for the tests of remote files: ranges, entity tags, redirects, and faults that can be switched on."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

_numbers = count()


@dataclass(frozen=True)
class Request:
    """What was asked, and what was answered."""

    target: str
    port: int  # of the connection at its other end
    begin: int | None
    status: int
    sent: int


@dataclass
class WebServer:
    """Serves the bytes in ``files`` on a free port, and remembers what it was asked.

    Attributes:
        files: bytes by path.
        redirects: status and location by path.
        answers: statuses to answer the next requests with instead, and their headers.
        cuts: how many of the next bodies end early.
        ranges: whether ranges are known.
        length: whether it says how long a whole file is.
        most: the most bytes that one answer holds.
        validator: the header that tells versions apart; empty for none.
        password: of HTTP's basic authentication, in base64; empty for none.
        before: called before each request is answered.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    redirects: dict[str, tuple[int, str]] = field(default_factory=dict)
    answers: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    cuts: int = 0
    ranges: bool = True
    length: bool = True
    most: int = 1 << 40
    validator: str = "ETag"
    password: str = ""
    before: Callable[[], object] = bool
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        web = self

        class Handler(_Handler):
            server_state = web

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    def url(self, path: str) -> str:
        """The URL of a file."""
        return f"http://{self.host}{path}"

    def put(self, name: str, data: bytes) -> str:
        """Serve these bytes under a path that was never used before; returns their URL."""
        path = f"/{next(_numbers)}/{name}"
        self.files[path] = data
        return self.url(path)

    def put_file(self, path: Path) -> tuple[str, int]:
        """Serve a file; returns its URL and its size."""
        data = path.read_bytes()
        return self.put(path.name, data), len(data)

    @property
    def sent(self) -> int:
        """Bytes of bodies, of all requests."""
        return sum(request.sent for request in self.requests)


@lru_cache(16)
def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: WebServer

    def do_GET(self) -> None:
        web = self.server_state
        web.before()
        path = urlsplit(self.path).path
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if web.password and self.headers.get("Authorization") != f"Basic {web.password}":
            self._answer(401, {})
        elif web.answers:
            self._answer(*web.answers.popleft())
        elif path in web.redirects:
            status, location = web.redirects[path]
            self._answer(status, {"Location": location})
        elif path not in web.files:
            self._answer(404, {})
        else:
            data = web.files[path]
            headers = {"ETag": _etag(data), "Last-Modified": f"{len(data)}"}
            headers = {name: value for name, value in headers.items() if name == web.validator}
            if asked is None or not web.ranges:
                self._answer(200, headers, data)
            elif int(asked[1]) >= len(data):
                self._answer(416, {"Content-Range": f"bytes */{len(data)}"})
            else:
                begin = int(asked[1])
                end = min(int(asked[2]) + 1, len(data), begin + web.most)
                headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
                self._answer(206, headers, data[begin:end], begin)

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"", begin: int | None = None) -> None:
        web = self.server_state
        cut = web.cuts > 0 and bool(body)
        web.cuts -= cut
        web.requests.append(Request(self.path, self.client_address[1], begin, status, len(body)))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if web.length:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = self.close_connection or cut or not web.length
        try:
            self.wfile.write(body[: len(body) // 2] if cut else body)
        except ConnectionError:
            self.close_connection = True  # whoever asked has seen enough

    def log_message(self, *_: Any) -> None:
        pass
