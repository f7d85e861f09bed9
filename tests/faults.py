"""A proxy that understands HTTP/1.1 and does to chosen requests what networks and servers do to them.

::

    with FaultProxy(served) as proxy:
        proxy.fault(Cut(after=1000), "PUT", "/uploads/", nth=2)
        proxy.fault(slow_down("1"), "POST", "/complete$")
        dl.connect(proxy.url)
        ...
        assert proxy.unused == []
        assert sum(seen.body for seen in proxy.log if seen.part) == size

The Host header passes through as it came, so URLs that are signed for it stay good: a store is given the proxy's URL as
its endpoint. Requests go one at a time over each connection, as all clients here send them.
"""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qs, urlsplit

from tests.messages import LONGEST, Head, Opening, Peer
from tests.proxy import Proxy

LARGEST = 64 * 1024**2  # bytes of a request that is kept, to be sent twice or late


# What can happen to a request.


@dataclass(frozen=True)
class Cut:
    """The connection is reset after so many bytes of the request's body; the server gets no more than these."""

    after: int


@dataclass(frozen=True)
class CutAnswer:
    """The answer ends after so many bytes of its body: by a reset, or as if that were all of it."""

    after: int
    reset: bool = True


@dataclass(frozen=True)
class Stall:
    """Nothing moves for so many seconds, after so many bytes of the request's body; None: before the answer."""

    seconds: float
    after: int | None = None


@dataclass(frozen=True)
class Answer:
    """Another answer than the server's, which hears of the request only where it is ``delivered``."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    delivered: bool = False


@dataclass(frozen=True)
class Lose:
    """The server has done it all, and its answer is lost."""


@dataclass(frozen=True)
class Twice:
    """The server gets the request twice, one after the other or at once; the client gets the second answer."""

    at_once: bool = False


@dataclass(frozen=True)
class Late:
    """The client's connection is reset, and the server gets the request when so many others were answered."""

    after: int


Action = Cut | CutAnswer | Stall | Answer | Lose | Twice | Late


def slow_down(retry_after: str) -> Answer:
    """503 as S3 sends it to those who are too fast; ``Retry-After`` in seconds or as a date."""
    return Answer(503, _s3_error("SlowDown"), (("Retry-After", retry_after), ("Content-Type", "application/xml")))


def in_seconds(seconds: float) -> str:
    """The date that many seconds from now, as HTTP writes it: in whole seconds, rounded up."""
    return formatdate(-(-(time.time() + seconds) // 1), usegmt=True)


def expired() -> Answer:
    """403 as S3 sends it for a presigned URL that is too old."""
    return Answer(403, _s3_error("AccessDenied"), (("Content-Type", "application/xml"),))


def failed_in_200(*, delivered: bool = False) -> Answer:
    """200 with an error in its body, as S3 answers a CompleteMultipartUpload that fails while it runs."""
    return Answer(200, _s3_error("InternalError"), (("Content-Type", "application/xml"),), delivered)


def _s3_error(code: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>-</Message></Error>'.encode()


# What was seen of them.


@dataclass
class Seen:
    """A request that came.

    Attributes:
        method: of HTTP.
        target: path and query.
        action: what was done to it.
        at: when its head came, in seconds of a clock that only runs forward.
        body: bytes of its body that the client has sent.
        statuses: what the server answered, once for each time it got the request.
    """

    method: str
    target: str
    action: Action | None
    at: float = field(default_factory=time.monotonic)
    body: int = 0
    statuses: list[int] = field(default_factory=list)

    @property
    def part(self) -> tuple[str, int] | None:
        """The upload and the number of the part that this is, if it is one: a lake's own, or one of S3."""
        url = urlsplit(self.target)
        if self.method != "PUT":
            return None
        if found := re.search(r"/uploads/([^/]+)/(\d+)$", url.path):
            return found[1], int(found[2])
        query = parse_qs(url.query)
        if "uploadId" in query and "partNumber" in query:
            return query["uploadId"][0], int(query["partNumber"][0])
        return None

    @property
    def acknowledged(self) -> bool:
        """Whether the server has said yes to it, heard or not."""
        return any(status < 300 for status in self.statuses)


@dataclass
class _Planned:
    action: Action
    method: str
    path: str
    skip: int
    forever: bool


@dataclass
class _Held:
    seen: Seen
    message: bytes
    wait: int


class _Broken(Exception):
    """The connection is to be reset."""


class FaultProxy(Proxy):
    """A proxy that does as it is told to single requests, and writes down what it saw.

    Args:
        target: URL of the server behind it.

    Attributes:
        log: the requests, in the order in which their heads came.
    """

    def reset(self) -> None:
        """Count from zero and forget the plan; what is held back is dropped."""
        super().reset()
        self.log: list[Seen] = []
        self._plan: list[_Planned] = []
        self._held: list[_Held] = []
        self._delivering: set[asyncio.Task[None]] = set()

    def fault(self, action: Action, method: str = "", path: str = "", nth: int = 1, *, forever: bool = False) -> None:
        """Have something happen to the nth request from now on.

        Args:
            action: what.
            method: of the requests that count; all where it is empty.
            path: a regular expression that is found in their targets.
            nth: 1 is the next one.
            forever: to all after it too, where nothing else is planned for them.
        """
        self._plan.append(_Planned(action, method, path, nth - 1, forever))

    def calm(self) -> None:
        """Let everything pass from now on; what is held back stays so."""
        self._plan.clear()

    @property
    def unused(self) -> list[Action]:
        """What has not happened yet."""
        return [planned.action for planned in self._plan if not planned.forever or planned.skip]

    def acknowledged(self) -> dict[tuple[str, int], int]:
        """The parts that the server has taken so far: upload and number to bytes."""
        return {seen.part: seen.body for seen in self.log if seen.part is not None and seen.acknowledged}

    def parts(self) -> list[Seen]:
        """The requests that sent parts, or began to."""
        return [seen for seen in self.log if seen.part is not None]

    def deliver(self) -> None:
        """Let the server have what is still held back, and wait until it has answered all of it."""

        async def all_of_it() -> None:
            for held in self._held:
                held.wait = 0
            self._release()
            if self._delivering:
                await asyncio.wait(self._delivering)

        done: Future[None] = asyncio.run_coroutine_threadsafe(all_of_it(), self._loop)
        done.result(30)

    # -- connections -------------------------------------------------------------------------------------------------

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        client = Peer(reader, writer)
        try:
            while (head := await client.head()) is not None:
                seen = self._see(head)
                if not await self._exchange(client, head, seen):
                    break
                self._release()
        except _Broken:
            client.break_off()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            client.break_off()  # the server is not there, or one of the two has gone in the midst of a message
        finally:
            self._release()
            await client.close()

    def _see(self, head: Head) -> Seen:
        method, target = head.line.split(" ")[:2]
        seen = Seen(method, target, None)
        for planned in sorted(self._plan, key=lambda planned: planned.forever):
            if planned.method not in ("", method) or not re.search(planned.path, target):
                continue
            if planned.skip or seen.action is not None:  # two for the same request: the second is for the next
                planned.skip = max(0, planned.skip - 1)
                continue
            seen.action = planned.action
            if not planned.forever:
                self._plan.remove(planned)
        self.log.append(seen)
        self.requests.append(f"{method} {target}")
        return seen

    async def _exchange(self, client: Peer, head: Head, seen: Seen) -> bool:
        """One request and its answer; returns whether another may follow on the connection."""
        action = seen.action
        if isinstance(action, Twice | Late):
            message = await self._whole(client, head, seen)
            if isinstance(action, Late):
                self._held.append(_Held(seen, message, action.after + 1))  # this request itself counts, when it ends
                raise _Broken
            return await self._twice(client, message, head, seen, action)
        if isinstance(action, Answer) and not action.delivered:
            await self._whole(client, head, seen)
            return await self._say(client, action)
        async with self._server() as server:
            return await self._through(client, server, head, seen)

    def _server(self) -> Opening:
        return Opening(*self._target)

    async def _through(self, client: Peer, server: Peer, head: Head, seen: Seen) -> bool:
        server.write(head.raw)
        up = asyncio.create_task(self._upwards(client, server, head, seen))
        down = asyncio.create_task(self._downwards(client, server, head, seen))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            if up.done() and isinstance(up.exception(), _Broken | EOFError):
                raise _Broken
            keep = await down  # where the server has closed early, it may have said why
            return keep and up.done() and up.exception() is None
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.wait([up, down])
            for task in (up, down):
                if not task.cancelled():
                    task.exception()

    async def _upwards(self, client: Peer, server: Peer, head: Head, seen: Seen) -> None:
        action = seen.action
        limit = action.after if isinstance(action, Cut | Stall) and action.after is not None else LONGEST
        async for piece in client.body(head, head.length):
            self.sent += len(piece)
            before, seen.body = seen.body, seen.body + len(piece)
            if seen.body > limit >= before:
                server.write(piece[: limit - before])
                await server.drain()
                piece = piece[limit - before :]
                await self._interrupt(action)
            server.write(piece)
            await server.drain()
        if seen.body <= limit < LONGEST:  # a shorter body than that: after all of it
            await self._interrupt(action)

    async def _interrupt(self, action: Action | None) -> None:
        if isinstance(action, Cut):
            raise _Broken  # which ends the connection to the server too
        assert isinstance(action, Stall)
        await self._stall(action.seconds)

    async def _stall(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
            raise _Broken

    async def _downwards(self, client: Peer, server: Peer, request: Head, seen: Seen) -> bool:
        action = seen.action
        answer = await server.answer_head(request)
        while answer.status < 200:  # 100 Continue
            client.write(answer.raw)
            answer = await server.answer_head(request)
        seen.statuses.append(answer.status)  # now: the client may be gone
        if isinstance(action, Stall) and action.after is None:
            await self._stall(action.seconds)
        hidden = isinstance(action, Lose | Answer)
        limit = action.after if isinstance(action, CutAnswer) else LONGEST
        if not hidden:
            client.write(answer.raw)
        done = 0
        async for piece in server.body(answer, answer.length):
            self.received += len(piece)
            if not hidden:
                client.write(piece[: limit - done])
                await client.drain()
            done += len(piece)
            if done >= limit:
                break
        if isinstance(action, CutAnswer):
            if action.reset:
                raise _Broken
            return False
        if isinstance(action, Lose):
            raise _Broken
        if isinstance(action, Answer):
            return await self._say(client, action)
        await client.drain()
        return answer.length != LONGEST and not answer.closes

    # -- requests that are kept --------------------------------------------------------------------------------------

    async def _whole(self, client: Peer, head: Head, seen: Seen) -> bytes:
        if head.fields.get("expect", "").lower() == "100-continue":
            client.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces = [head.raw]
        async for piece in client.body(head, head.length):
            self.sent += len(piece)
            seen.body += len(piece)
            assert seen.body <= LARGEST, "too large to be kept"
            pieces.append(piece)
        return b"".join(pieces)

    async def _send(self, message: bytes, request: Head, seen: Seen) -> tuple[Head, bytes]:
        """The server's answer to a whole request."""
        async with self._server() as server:
            server.write(message)
            while (answer := await server.answer_head(request)).status < 200:
                pass
            body = b"".join([piece async for piece in server.body(answer, answer.length)])
        seen.statuses.append(answer.status)
        return answer, body

    async def _twice(self, client: Peer, message: bytes, request: Head, seen: Seen, action: Twice) -> bool:
        if action.at_once:
            answers = await asyncio.gather(*(self._send(message, request, seen) for _ in range(2)))
        else:
            answers = [await self._send(message, request, seen) for _ in range(2)]
        answer, body = answers[1]
        client.write(answer.raw + body)
        await client.drain()
        return answer.length != LONGEST and not answer.closes

    async def _say(self, client: Peer, answer: Answer) -> bool:
        """An answer of our own."""
        fields = [*answer.headers, ("Content-Length", str(len(answer.body)))]
        head = "".join(f"{name}: {value}\r\n" for name, value in fields)
        client.write(f"HTTP/1.1 {answer.status} -\r\n{head}\r\n".encode("latin-1") + answer.body)
        await client.drain()
        return True

    def _release(self) -> None:
        """A request has ended: those that wait for it go to the server."""
        for held in list(self._held):
            held.wait -= 1
            if held.wait > 0:
                continue
            self._held.remove(held)
            head = Head(held.message.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            task = asyncio.create_task(self._deliver(held, head))
            self._delivering.add(task)
            task.add_done_callback(self._delivering.discard)

    async def _deliver(self, held: _Held, head: Head) -> None:
        with suppress(OSError, EOFError):
            await self._send(held.message, head, held.seen)
