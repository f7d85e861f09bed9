"""What stands before the application of a server: an id for each request, a line in the log, and the first limits."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from dreamlake.server.errors import Refused
from dreamlake.server.operation.logs import request_id, sane_request_id
from dreamlake.server.operation.metrics import RequestMetrics
from dreamlake.server.settings import Limits

__all__ = ["ASGIApp", "Front"]

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]

log = logging.getLogger("dreamlake.access")

ABOUT_ITSELF = frozenset({"/healthz", "/readyz", "/metrics"})  # asked when there is too much to do above all
CLIENT_GONE = 499  # as nginx calls it: nobody was there any more to answer


class Front:
    """An ASGI application around a server's.

    Args:
        app: of the server.
        settings: its limits.
        metrics: that count the requests.
    """

    def __init__(self, app: ASGIApp, settings: Limits, metrics: RequestMetrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics
        self._busy = 0  # requests that do not wait for their clients
        self._held = 0  # bytes of bodies that are collected

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        known = sane_request_id(next((value for name, value in scope["headers"] if name == b"x-request-id"), None))
        token = request_id.set(known)
        header = (b"x-request-id", known.encode())
        status, came, went, held = CLIENT_GONE, 0, 0, 0

        async def watched_receive() -> Any:
            nonlocal came, held
            with self._waiting():
                event = await receive()
            size = len(event.get("body", b""))
            came += size
            if scope["method"] != "PUT":  # parts go to the storage as they come; all else is collected first
                held += size
                self._held += size
                if self._held > self._settings.max_held_bytes:
                    self._metrics.refused("memory")
                    raise Refused(503, "the server has too much to do; try again", {"Retry-After": "1"})
            return event

        async def watched_send(event: Any) -> None:
            nonlocal status, went
            if event["type"] == "http.response.start":
                status = event["status"]
                event["headers"] = [*event.get("headers", ()), header]
            else:
                went += len(event.get("body", b""))
            with self._waiting():
                await send(event)

        self._busy += 1
        self._metrics.running.inc()
        try:
            refused = self._refusal(scope)
            if refused is None:
                await self._app(scope, watched_receive, watched_send)
            else:
                await _answer(refused, watched_send)
        except asyncio.CancelledError:
            # Only a server that ends cancels a request. Passed on, it would be logged as a failure.
            if status == CLIENT_GONE:
                await _answer(Refused(503, "the server ends; try again", {"Retry-After": "1"}), watched_send)
        finally:
            self._busy -= 1
            self._held -= held
            self._metrics.running.dec()
            seconds = time.perf_counter() - begun
            method, path = scope["method"], (scope.get("raw_path") or b"").decode("latin-1")[:1024]
            # An unknown path has no template, and strangers can think of any number of them.
            self._metrics.request(method, scope.get("path_template") or "unknown", status, seconds, came, went)
            if log.isEnabledFor(logging.INFO):
                ms = round(seconds * 1000, 1)
                said = {"method": method, "path": path, "status": status, "ms": ms, "bytes": went, "received": came}
                log.info("%s %s %d %.1f ms %d bytes", method, path, status, ms, went, extra=said)
            request_id.reset(token)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """While the client is waited for: however slow many of them are, they leave room for others."""
        self._busy -= 1
        try:
            yield
        finally:
            self._busy += 1

    def _refusal(self, scope: Any) -> Refused | None:
        """Why a request is not even looked at."""
        settings = self._settings
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > settings.max_url_bytes:
            self._metrics.refused("url")
            return Refused(414, f"a URL has at most {settings.max_url_bytes} bytes")
        headers = scope["headers"]
        if len(headers) > settings.max_headers or sum(len(n) + len(v) for n, v in headers) > settings.max_header_bytes:
            self._metrics.refused("headers")
            most = f"{settings.max_headers} header fields of {settings.max_header_bytes} bytes"
            return Refused(431, f"a request has at most {most}")
        if self._busy > settings.max_requests and scope["path"] not in ABOUT_ITSELF:
            self._metrics.refused("requests")
            return Refused(503, "the server has too much to do; try again", {"Retry-After": "1"})
        return None


async def _answer(refused: Refused, send: Any) -> None:
    body = msgspec.json.encode(refused.problem)
    headers = {"Content-Type": "application/problem+json", "Content-Length": str(len(body)), **(refused.headers or {})}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": False})
