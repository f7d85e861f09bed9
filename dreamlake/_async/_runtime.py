"""What differs between the async and the blocking API, the async side.

The rest of `dreamlake._async` is written against these names, and the blocking API generated from it finds
the same names, with the same signatures, in its own hand-written twin. Concurrency takes callables, never
coroutine objects, so that the twin can run them in threads.

Wherever several calls run, one rule holds: the first error keeps calls that have not begun from beginning,
waits for those that run, and is then raised as it is. When the caller is cancelled, or closes an iterator
early, the running calls are cancelled and waited for. No call ever outlives the function that began it.
"""

import asyncio
import atexit
import os
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Hashable,
    Iterable,
    Iterator,
)
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Generic, Literal, Protocol, Self, TypeAlias, TypeVar, overload
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
from aiofiles.threadpool import wrap

from dreamlake.errors import UsageError

if TYPE_CHECKING:
    import httpx  # slow to import, and not needed before the first request

__all__ = [
    "ASYNC",
    "Background",
    "BinaryMode",
    "Event",
    "File",
    "Lock",
    "Shared",
    "Slots",
    "Stream",
    "async_only",
    "async_property",
    "close_client",
    "close_clients",
    "crew",
    "demand",
    "gather",
    "http_client",
    "map_ordered",
    "map_unordered",
    "offload",
    "open_file",
    "read_body",
    "received",
    "settle",
    "sleep",
    "take",
]

D = TypeVar("D")
S = TypeVar("S")
T = TypeVar("T")

# `Final[bool]`, not `Final`: type checkers then check both sides of `if ASYNC`.
ASYNC: Final[bool] = True

# What an async generator function returns; `aclosing` takes it.
Stream: TypeAlias = AsyncGenerator[T, None]

BinaryMode: TypeAlias = Literal["rb", "wb", "ab", "xb", "r+b", "w+b"]


# Only for the async source: the generator drops the first and makes the second a `property`.


def async_only(definition: D) -> D:
    """Mark a function, method or class that the blocking API does not have."""
    return definition


class async_property(Generic[T]):  # noqa: N801 (named like `property`, which it becomes)
    """A property that does I/O: `await video.image`.

    Reading the attribute gives a lazy awaitable. Until it is awaited no coroutine exists, so `hasattr` and
    debuggers may look at it without a "never awaited" warning; each `await` runs the method once.
    """

    def __init__(self, method: Callable[[Any], Coroutine[Any, Any, T]]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Awaitable[T]: ...
    def __get__(self, instance: object | None, owner: type) -> Self | Awaitable[T]:
        return self if instance is None else _Lazy(partial(self._method, instance))

    def __set__(self, instance: object, value: object) -> None:
        raise AttributeError(f"property {self._method.__name__!r} of {type(instance).__name__!r} has no setter")


class _Lazy(Awaitable[T]):
    """An awaitable that makes its coroutine when it is awaited."""

    __slots__ = ("_call",)

    def __init__(self, call: partial[Coroutine[Any, Any, T]]) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, Any, T]:
        return self._call().__await__()

    def __repr__(self) -> str:
        return f"<await {self._call.func.__qualname__} to get its value>"


# Waiting


class Lock:
    """A lock for `async with`, not bound to the event loop that it was made in."""

    def __init__(self) -> None:
        self._lock = anyio.Lock(fast_acquire=True)

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()


class Slots:
    """So many may be inside of `async with` at once; the others wait.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._semaphore = anyio.Semaphore(count, fast_acquire=True)

    async def __aenter__(self) -> None:
        await self._semaphore.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._semaphore.release()


class Event:
    """A flag that is set once and that many can wait for."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        """Raise the flag and wake everyone who waits."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._event.is_set()

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 (the twin's signature)
        """Wait for the flag, at most `timeout` seconds; return whether it is up."""
        with anyio.move_on_after(timeout):
            await self._event.wait()
        return self.is_set()


async def sleep(seconds: float) -> None:
    """Do nothing for so many seconds."""
    await anyio.sleep(seconds)


# Running


async def offload(fn: Callable[[], T]) -> T:
    """Call a function that blocks or computes, without holding up the event loop.

    It runs in a thread, in a copy of the caller's context. A thread cannot be stopped: once `fn` has begun,
    a cancellation is raised only after it returned, so `fn` never works on what its caller has cleaned up.
    """
    call: Future[T] = Future()

    def run() -> None:
        if call.set_running_or_notify_cancel():
            try:
                call.set_result(fn())
            except BaseException as error:  # noqa: BLE001 (raised in the caller, by `call.result()`)
                call.set_exception(error)

    try:
        await anyio.to_thread.run_sync(run)
    except asyncio.CancelledError:
        if not call.cancel():
            ended = asyncio.wrap_future(call)
            ended.add_done_callback(_look_at)
            await _ended([ended])
        raise
    return call.result()


async def gather(*fns: Callable[[], Awaitable[T]]) -> list[T]:
    """Call all of a few functions at once and return their results in order."""
    async with _Calls() as calls:
        tasks = [calls.start(fn) for fn in fns]
        if tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if calls.error is not None:
            raise calls.error
    return [task.result() for task in tasks]


async def map_ordered(fn: Callable[[S], Awaitable[T]], items: Iterable[S], limit: int) -> Stream[T]:
    """Call `fn` for every item, ahead of the consumer, and yield the results in the order of the items.

    Args:
        fn: What to call with each item.
        items: Taken one by one, as calls begin.
        limit: How many calls may run or wait for the consumer. With 1, one call runs while the consumer
            works on the result before it.
    """
    rest = _rest(items, limit)
    async with _Calls() as calls:
        ahead = deque(calls.start(partial(fn, item)) for item in islice(rest, limit))
        while ahead:
            await asyncio.wait([ahead[0]])
            result = ahead.popleft().result()
            if calls.error is None:
                ahead.extend(calls.start(partial(fn, item)) for item in islice(rest, 1))
            yield result


async def map_unordered(fn: Callable[[S], Awaitable[T]], items: Iterable[S], limit: int) -> Stream[T]:
    """Call `fn` for every item and yield the results as they finish.

    Args:
        fn: What to call with each item.
        items: Taken one by one, as calls begin.
        limit: How many calls may run or wait for the consumer.
    """
    rest = _rest(items, limit)
    finished: asyncio.Queue[asyncio.Task[T]] = asyncio.Queue()
    async with _Calls() as calls:

        def start(item: S) -> None:
            calls.start(partial(fn, item)).add_done_callback(finished.put_nowait)

        unseen = sum(1 for _ in map(start, islice(rest, limit)))
        while unseen:
            result = (await finished.get()).result()
            unseen -= 1
            if calls.error is None:
                unseen += sum(1 for _ in map(start, islice(rest, 1)))
            yield result


class Shared(Generic[T]):
    """Calls for the same key that are made while one of them runs are that one, and get its result or its error.

    When it is cancelled, the others call for themselves.
    """

    def __init__(self) -> None:
        # Tasks cannot wait for those of another loop, so each loop calls for itself.
        self._running: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, asyncio.Future[T]]]
        self._running = WeakKeyDictionary()

    async def call(self, key: Hashable, fn: Callable[[], Awaitable[T]]) -> T:
        """Call `fn`, or wait for the call that runs for this key already."""
        loop = asyncio.get_running_loop()
        running = self._running.setdefault(loop, {})
        while (other := running.get(key)) is not None:
            await asyncio.wait([other])
            if not other.cancelled():
                return other.result()
        mine: asyncio.Future[T] = loop.create_future()
        running[key] = mine
        try:
            result = await fn()
        except Exception as error:
            mine.set_exception(error)
            mine.exception()  # it is raised here, whether others wait for it or not
            raise
        except BaseException:
            mine.cancel()
            raise
        else:
            mine.set_result(result)
            return result
        finally:
            del running[key]


async def crew(
    work: Callable[[], Awaitable[None]],
    count: int,
    stop: Callable[[], None],
    finish: Callable[[], Awaitable[None]],
    patience: float,
) -> None:
    """Have several workers do the same work at once until they are done, and then finish.

    An error of one is raised when the others have ended too. When the caller is cancelled, it finishes all the same.

    Args:
        work: What each of them does.
        count: How many there are.
        stop: Called after an error or a cancellation: lets workers end soon, of themselves.
        finish: Called once, when all have ended.
        patience: Seconds that workers have to end after a cancellation. Those that have not are cancelled too.
    """
    workers = [asyncio.create_task(_worker(work, stop)) for _ in range(count)]
    try:
        await asyncio.wait(workers)
    except asyncio.CancelledError:
        stop()
        with anyio.CancelScope(shield=True):
            await asyncio.wait(workers, timeout=patience)
            for worker in workers:
                worker.cancel()
            await _ended(workers)
            await finish()
        raise
    finally:
        for worker in workers:
            worker.cancel()
        await _ended(workers)
    failures = [worker.exception() for worker in workers if not worker.cancelled()]
    await finish()
    for failure in failures:
        if failure is not None:
            raise failure


async def _worker(work: Callable[[], Awaitable[None]], stop: Callable[[], None]) -> None:
    try:
        await work()
    except BaseException:
        stop()
        raise


async def settle(fn: Callable[[], Any]) -> Any:
    """Call a function of the user's that may block; where it gives an awaitable, that is awaited."""
    result = await offload(fn)
    return await result if isinstance(result, Awaitable) else result


async def take(iterator: Any, end: Any) -> Any:
    """The next item of an iterator that may block, or of an asynchronous one.

    Args:
        iterator: Has `__next__` or `__anext__`.
        end: What to return when there is none.
    """
    if hasattr(iterator, "__anext__"):
        return await anext(iterator, end)
    return await offload(lambda: next(iterator, end))


def _rest(items: Iterable[S], limit: int) -> Iterator[S]:
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    return iter(items)


class _Calls:
    """The calls that run in tasks on behalf of one `async with` block, and end with it."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, fn: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        task = asyncio.create_task(self._run(fn))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(_look_at)
        return task

    async def _run(self, fn: Callable[[], Awaitable[T]]) -> T:
        if self.error is not None:
            # Nobody asks for this result: tasks begin in order, so the failed call's is asked for first.
            raise asyncio.CancelledError
        try:
            return await fn()
        except BaseException as error:
            if self.error is None:
                self.error = error
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            # GeneratorExit and CancelledError are no Exceptions: then nobody wants what still runs.
            if isinstance(error, Exception) and self._running:
                await asyncio.wait(self._running)
        finally:
            for task in self._running:
                task.cancel()
            await _ended(self._running)


async def _ended(futures: Collection[asyncio.Future[Any]]) -> None:
    """Wait until all of them have ended, however often we are cancelled meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while running := [future for future in futures if not future.done()]:
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled


def _look_at(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from logging an error for which another one, or a cancellation, is raised."""
    if not future.cancelled():
        future.exception()


class Background:
    """Calls a function beside its caller, some time after it was asked for, and never twice at once.

    What was asked for is done: when the event loop ends, or the interpreter, it is done then. A forked child leaves it
    to its parent.

    Args:
        fn: What to call. It raises nothing, and bears that the end of the interpreter calls it while it runs.
        seconds: How long it may take until it is called.
    """

    def __init__(self, fn: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._fn = fn
        self._seconds = seconds
        self._now: asyncio.Event | None = None  # of the call that has not begun
        self._loop: asyncio.AbstractEventLoop | None = None

    def ask(self, *, now: bool = False) -> None:
        """Have it called: within the time that was said, or at once; and once more when it runs already."""
        loop = asyncio.get_running_loop()
        if self._now is None or self._loop is not loop:
            begun = self._loop is not loop or self not in _asked
            self._loop, self._now = loop, asyncio.Event()
            if begun:
                _asked[self] = loop.create_task(self._run())  # loops forget tasks that nobody knows
                atexit.unregister(_finish)
                atexit.register(_finish)  # anew, so that it comes before the end of a lake that was opened meanwhile
        if now:
            self._now.set()

    async def _run(self) -> None:
        mine = asyncio.current_task()
        try:
            while _asked.get(self) is mine and (event := self._now) is not None:
                with anyio.move_on_after(self._seconds):
                    await event.wait()
                self._now = None  # whoever asks from here on wants another call
                await self._fn()
        except asyncio.CancelledError:
            self._now = asyncio.Event()
            while self._now is not None:  # the loop ends: now or never
                self._now = None
                await self._fn()
            raise
        finally:
            if _asked.get(self) is mine:
                del _asked[self]


_asked: dict[Background, asyncio.Task[None]] = {}


def _finish() -> None:
    """Make the calls that their loops have not made: they were stopped, and neither cancelled nor closed."""

    async def call(one: Background) -> None:
        await one._fn()

    for one in list(_asked):
        asyncio.run(call(one))


os.register_at_fork(after_in_child=_asked.clear)


def demand(fn: Callable[[], Awaitable[object]], otherwise: str) -> None:  # noqa: ARG001 (the twin's signature)
    """Load something where nothing can be awaited: the blocking API just does it, here it is an error.

    Args:
        fn: What loads it.
        otherwise: What to tell the caller to await instead.
    """
    raise UsageError(otherwise)


# Connections


def http_client(key: Hashable, make: Callable[[], "httpx.AsyncClient"]) -> "httpx.AsyncClient":
    """The client for a lake, made once for each event loop and closed when the loop is.

    A client's connections belong to the loop that opened them, so loops cannot share one.

    Args:
        key: What tells one lake from another.
        make: Makes the client if there is none.
    """
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    if key not in clients:
        client = make()
        closer = _closing(client)
        clients[key] = (client, closer)
        # A loop closes the generators that it has seen begin when it shuts down (PEP 525), and so our client.
        with suppress(StopIteration):
            closer.asend(None).send(None)
    return clients[key][0]


async def close_client(key: Hashable) -> None:
    """Close one client of the running loop, if there is one; the next use makes a new one."""
    clients = _clients.get(asyncio.get_running_loop(), {})
    if key in clients:
        await clients.pop(key)[1].aclose()


async def close_clients() -> None:
    """Close the clients of the running loop; the next use makes new ones."""
    for _, closer in _clients.pop(asyncio.get_running_loop(), {}).values():
        await closer.aclose()


async def _closing(client: "httpx.AsyncClient") -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await client.aclose()


_Clients: TypeAlias = "dict[Hashable, tuple[httpx.AsyncClient, AsyncGenerator[None, None]]]"
_clients: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Clients]" = WeakKeyDictionary()


async def received(response: "httpx.Response", size: int) -> AsyncIterator[bytes]:
    """The body of a response as it comes over the wire, so many bytes at a time."""
    async for piece in response.aiter_raw(size):
        yield piece


async def read_body(response: "httpx.Response") -> None:
    """Read all of the body of a response that was opened as a stream."""
    await response.aread()


# Files


class File(Protocol):
    """An open binary file."""

    async def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes, or all that are left."""

    async def readinto(self, buffer: bytearray | memoryview, /) -> int | None:
        """Fill a buffer as far as the file goes; returns how many bytes there were."""

    async def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Write all of `data` and return its length."""

    async def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset from the start (0), from here (1) or the end (2), and return where we are."""


@asynccontextmanager
async def open_file(path: str | PathLike[str], mode: BinaryMode) -> AsyncIterator[File]:
    """Open a binary file for the length of an `async with` block."""
    if "b" not in mode:
        raise ValueError(f"mode must be binary, such as 'rb', not {mode!r}")
    opened: list[BinaryIO] = []
    try:
        # A thread that opens it goes on when it is not waited for any more, and then it is here, and closed.
        await offload(lambda: opened.append(Path(path).open(mode)))  # noqa: SIM115 (closed below)
        yield wrap(opened[0])
    finally:
        for file in opened:
            file.close()  # at once: a task that is cancelled need not get another turn
