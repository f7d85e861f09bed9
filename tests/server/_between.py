"""Stands between a client and an S3 server, and does what networks and stores do when they fail."""

from __future__ import annotations

import base64
import hashlib
import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

ERROR = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code><Message>We failed.</Message></Error>'


class Between:
    """Passes on every request, but for those that ``fault`` says something of.

    ::

        "lose"      the server does it, and its answer is lost
        "200"       the server does nothing, and the answer is a 200 with an error in it, as S3 may give
        "503"       the server does nothing, and the answer is a 503
        "cut"       the answer ends in the middle

    Args:
        target: URL of the server.
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target).netloc
        self.fault: Callable[[str], str | None] = lambda line: None
        self.checks = False  # of checksum headers, as AWS does
        self.requests: list[str] = []
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                between._handle(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815 (the names that http.server asks for)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        line = f"{handler.command} {handler.path}"
        self.requests.append(line)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        fault = self.fault(line)
        if fault in ("200", "503"):
            self._answer(handler, int(fault), {"Content-Type": "application/xml"}, ERROR)
            return
        checksum = handler.headers.get("x-amz-checksum-sha256") if self.checks else None
        if checksum is not None and checksum != base64.b64encode(hashlib.sha256(body).digest()).decode():
            self._answer(
                handler, 400, {"Content-Type": "application/xml"}, ERROR.replace(b"InternalError", b"BadDigest")
            )
            return
        server = http.client.HTTPConnection(self._target, timeout=30)
        try:
            server.request(handler.command, handler.path, body, dict(handler.headers.items()))
            answer = server.getresponse()
            data = answer.read()
        finally:
            server.close()
        if fault == "lose":
            handler.close_connection = True
            return
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
        headers.setdefault("Content-Length", str(len(data)))
        self._answer(handler, answer.status, headers, data[: len(data) // 2] if fault == "cut" else data)
        handler.close_connection = handler.close_connection or fault == "cut"

    def _answer(self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes) -> None:
        handler.send_response_only(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)
