"""Connections whose clients are slow: uvicorn waits for them as long as they like, and a server for strangers cannot.

uvicorn ends connections that are idle between two requests. What is added here: a request's head has to come within a
time, its body at a least rate, and somebody has to take the answer; a head that is too large gets its own status; and
when there are too many connections, a new one takes the place of the one that has waited longest without a request.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from http import HTTPStatus
from typing import Any

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

from dreamlake.server.errors import Refused
from dreamlake.server.operation.metrics import RequestMetrics
from dreamlake.server.settings import Limits

__all__ = ["Connection"]

log = logging.getLogger(__name__)


class Connection(H11Protocol):
    """One connection over TCP.

    Args:
        settings: its limits.
        metrics: that count who is cut off.
        options: of uvicorn.
    """

    def __init__(self, *, settings: Limits, metrics: RequestMetrics, **options: Any) -> None:
        super().__init__(**options)
        self._settings = settings
        self._metrics = metrics
        self._waiting: float | None = None  # since when for the rest of a head
        self._window = 0.0  # when the body's bytes were counted last
        self._came = 0
        self._unsent = 0  # bytes that wait for the client to take them
        self._taken = 0.0  # when it took some

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # (as uvicorn's own)
        super().connection_made(transport)
        self._waiting = self._taken = self.loop.time()
        if len(self.connections) > self._settings.max_connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        if self._waiting is None and self._answered():
            self._waiting = self.loop.time()
        self._came += len(data)
        super().data_received(data)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._waiting, self._window, self._came = None, self.loop.time(), 0

    def on_response_complete(self) -> None:
        self._window = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request, with the status that the parser gives it."""
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if status == 431 and b"\n" not in self.conn.trailing_data[0]:
            status = 414  # it is the URL that does not end
        self._refuse(status, msg)

    def check(self, now: float) -> None:
        """Cut the client off when it is too slow; called about once a second.

        Args:
            now: the loop's time in seconds.
        """
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent:
            self._taken = now
        self._unsent = unsent
        limits = self._settings
        if unsent and now - self._taken > limits.stall_seconds:
            self._cut("answer")
        elif self._waiting is not None and now - self._waiting > limits.head_seconds:
            self._cut("head")
        elif self.cycle is not None and self.conn.their_state is h11.SEND_BODY:
            self._check_body(now)

    def _check_body(self, now: float) -> None:
        """A body, of a request that may have been answered already."""
        if self.cycle.response_complete:
            if now - self._window > self._settings.head_seconds:
                self._cut("rest")
        elif self.flow.read_paused or self.cycle.waiting_for_100_continue:
            self._window, self._came = now, 0  # it is us whom the client waits for
        elif now - self._window > self._settings.body_seconds:
            if self._came < self._settings.body_rate * (now - self._window):
                self._cut("body")
            self._window, self._came = now, 0

    def _answered(self) -> bool:
        """Whether what comes next is a head."""
        return self.cycle is None or (self.cycle.response_complete and self.conn.their_state is not h11.SEND_BODY)

    def _cut(self, reason: str) -> None:
        self._metrics.cut(reason)
        log.info("a client was cut off: its %s came too slowly", reason, extra={"reason": reason})
        begun = self.conn.trailing_data[0] if reason == "head" else b""
        if reason == "body" or begun:
            self._refuse(408, f"the {reason} of the request came too slowly")
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer in the place of the application, and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self.cycle.response_started:
                self.transport.abort()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = msgspec.json.encode(Refused(status, detail).problem)
        headers = [("content-type", "application/problem+json"), ("content-length", str(len(body)))]
        head = h11.Response(
            status_code=status, headers=[*headers, ("connection", "close")], reason=HTTPStatus(status).phrase.encode()
        )
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _make_room(self) -> None:
        """Close whoever has waited longest without a request; this one, if nobody has."""
        idle = [one for one in self.connections if isinstance(one, Connection) and one is not self and one._answered()]
        victim = min(idle, key=lambda one: one._window if one._waiting is None else one._waiting, default=self)
        self._metrics.cut("connections")
        victim.transport.abort()
