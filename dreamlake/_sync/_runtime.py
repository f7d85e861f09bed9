"""What differs between the async and the blocking API, the blocking side.

The hand-written twin of `dreamlake/_async/_runtime.py`: the same names and signatures, on threads and plain
files. Threads live as long as the call that needs them, and the connections that are kept are left behind by
a forked process, which starts clean. There is no event loop anywhere.

Wherever several calls run, one rule holds: the first error keeps calls that have not begun from beginning,
waits for those that run, and is then raised as it is. When the caller is interrupted, or closes an iterator
early, the same happens. No call ever outlives the function that began it.
"""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Protocol, Self, TypeAlias, TypeVar, cast

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

S = TypeVar("S")
T = TypeVar("T")

ASYNC: Final[bool] = False

# What a generator function returns; `closing` takes it.
Stream: TypeAlias = Generator[T, None, None]

BinaryMode: TypeAlias = Literal["rb", "wb", "ab", "xb", "r+b", "w+b"]


# Waiting


class Lock:
    """A lock for `with`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()


class Slots:
    """So many may be inside of `with` at once; the others wait.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._semaphore = threading.Semaphore(count)

    def __enter__(self) -> None:
        self._semaphore.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._semaphore.release()


class Event:
    """A flag that is set once and that many can wait for."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Raise the flag and wake everyone who waits."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the flag, at most `timeout` seconds; return whether it is up."""
        return self._event.wait(timeout)


def sleep(seconds: float) -> None:
    """Do nothing for so many seconds."""
    time.sleep(seconds)


# Running


def offload(fn: Callable[[], T]) -> T:
    """Call a function that blocks or computes. Here the caller may be held up, so it is just called."""
    return fn()


def gather(*fns: Callable[[], T]) -> list[T]:
    """Call all of a few functions at once and return their results in order."""
    if len(fns) < 2:
        return [fn() for fn in fns]
    with _Calls(len(fns) - 1) as calls:
        others = [calls.start(fn) for fn in fns[1:]]
        with suppress(Exception):  # `calls` keeps it; an interrupt goes through
            first = calls.run(fns[0])
        wait(others)
        if calls.error is not None:
            raise calls.error
    return [first, *(future.result() for future in others)]


def map_ordered(fn: Callable[[S], T], items: Iterable[S], limit: int) -> Stream[T]:
    """Call `fn` for every item, ahead of the consumer, and yield the results in the order of the items.

    Args:
        fn: What to call with each item.
        items: Taken one by one, as calls begin.
        limit: How many calls may run or wait for the consumer. With 1, one call runs while the consumer
            works on the result before it.
    """
    rest, single = _rest(items, limit)
    if single:
        yield from map(fn, rest)
        return
    with _Calls(limit) as calls:
        ahead = deque(calls.start(partial(fn, item)) for item in islice(rest, limit))
        while ahead:
            future = ahead.popleft()
            wait([future])
            if calls.error is not None and isinstance(future.exception(), CancelledError):
                raise calls.error  # this call was kept from beginning by one that failed
            result = future.result()
            if calls.error is None:
                ahead.extend(calls.start(partial(fn, item)) for item in islice(rest, 1))
            yield result


def map_unordered(fn: Callable[[S], T], items: Iterable[S], limit: int) -> Stream[T]:
    """Call `fn` for every item and yield the results as they finish.

    Args:
        fn: What to call with each item.
        items: Taken one by one, as calls begin.
        limit: How many calls may run or wait for the consumer.
    """
    rest, single = _rest(items, limit)
    if single:
        yield from map(fn, rest)
        return
    finished: SimpleQueue[Future[T]] = SimpleQueue()
    with _Calls(limit) as calls:

        def start(item: S) -> None:
            calls.start(partial(fn, item)).add_done_callback(finished.put)

        unseen = sum(1 for _ in map(start, islice(rest, limit)))
        while unseen:
            future = finished.get()
            if future.exception() is not None and calls.error is not None:
                raise calls.error  # a call kept from beginning may get here before the one that failed
            unseen -= 1
            if calls.error is None:
                unseen += sum(1 for _ in map(start, islice(rest, 1)))
            yield future.result()


class Shared(Generic[T]):
    """Calls for the same key that are made while one of them runs are that one, and get its result or its error.

    When it is interrupted, the others call for themselves.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, Future[T]] = {}

    def call(self, key: Hashable, fn: Callable[[], T]) -> T:
        """Call `fn`, or wait for the call that runs for this key already."""
        key = (os.getpid(), key)  # a forked child has its parent's calls in memory, and nobody who ends them
        mine: Future[T] = Future()
        while (other := self._running.setdefault(key, mine)) is not mine:
            wait([other])
            if not other.cancelled():
                return other.result()
        try:
            result = fn()
        except Exception as error:
            del self._running[key]
            mine.set_exception(error)
            raise
        except BaseException:
            del self._running[key]
            mine.cancel()
            mine.set_running_or_notify_cancel()  # which wakes those who wait
            raise
        del self._running[key]
        mine.set_result(result)
        return result


def crew(
    work: Callable[[], None],
    count: int,
    stop: Callable[[], None],
    finish: Callable[[], None],
    patience: float,
) -> None:
    """Have several workers do the same work at once until they are done, and then finish.

    An error of one is raised when the others have ended too. When the caller is interrupted, it finishes all the same.

    Args:
        work: What each of them does.
        count: How many there are.
        stop: Called after an error or an interruption: lets workers end soon, of themselves.
        finish: Called once, when all have ended.
        patience: Seconds that workers have to end after an interruption. Threads cannot be stopped: those that have
            not ended are left behind, and keep no process from ending.
    """
    failures: list[BaseException] = []
    # Not `Thread.join`: until Python 3.13 an interrupted one takes its thread for ended, and nobody would wait for it.
    ended = [threading.Event() for _ in range(count)]

    def run(number: int) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (raised below, in the caller)
            failures.append(error)
            stop()
        finally:
            ended[number].set()

    # Not an executor's threads: the interpreter waits for these at its end.
    workers = [
        threading.Thread(target=copy_context().run, args=(run, number), name=f"dreamlake-crew-{number}", daemon=True)
        for number in range(count)
    ]
    try:
        for worker in workers:
            worker.start()
        for end in ended:
            end.wait()
    except BaseException:
        stop()
        deadline = time.monotonic() + patience
        for worker, end in zip(workers, ended, strict=True):
            if worker.ident is not None:
                end.wait(max(0.0, deadline - time.monotonic()))
        finish()
        raise
    finish()
    if failures:
        raise failures[0]


def settle(fn: Callable[[], Any]) -> Any:
    """Call a function of the user's that may block; one that gives an awaitable is for the async API."""
    result = fn()
    if isinstance(result, Awaitable):
        if isinstance(result, Coroutine):
            result.close()
        raise UsageError("this needs the async API: it gives what has to be awaited")
    return result


def take(iterator: Any, end: Any) -> Any:
    """The next item of an iterator; an asynchronous one is for the async API.

    Args:
        iterator: Has `__next__`.
        end: What to return when there is none.
    """
    if hasattr(iterator, "__anext__"):
        raise UsageError("an asynchronous source needs the async API: dreamlake.aio.AsyncClient")
    return next(iterator, end)


def _rest(items: Iterable[S], limit: int) -> tuple[Iterator[S], bool]:
    """An iterator over the items, and whether there is at most one: that needs no thread."""
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    rest = iter(items)
    first = list(islice(rest, 2))
    return chain(first, rest), len(first) < 2


class _Calls:
    """The calls that run in threads on behalf of one `with` block, and end with it."""

    def __init__(self, threads: int) -> None:
        self.error: BaseException | None = None
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="dreamlake")

    def start(self, fn: Callable[[], T]) -> Future[T]:
        return self._executor.submit(copy_context().run, self.run, fn)

    def run(self, fn: Callable[[], T]) -> T:
        if self.error is not None:
            # Nobody asks for this result: calls begin in order, so the failed call's is asked for first.
            raise CancelledError
        try:
            return fn()
        except BaseException as error:
            if self.error is None:
                self.error = error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)


class Background:
    """Calls a function beside its caller, some time after it was asked for, and never twice at once.

    What was asked for is done: when the interpreter ends, it is done then. A forked child leaves it to its parent.

    Args:
        fn: What to call. It raises nothing, and bears that the end of the interpreter calls it while it runs.
        seconds: How long it may take until it is called.
    """

    def __init__(self, fn: Callable[[], None], seconds: float) -> None:
        self._fn = fn
        self._seconds = seconds
        self._now: threading.Event | None = None  # of the call that has not begun

    def ask(self, *, now: bool = False) -> None:
        """Have it called: within the time that was said, or at once; and once more when it runs already."""
        with _asked_lock:
            event = self._now
            if event is None:
                event = self._now = threading.Event()
                begun = self not in _asked
                _asked[self] = event
                if begun:
                    atexit.unregister(_finish)
                    atexit.register(
                        _finish
                    )  # anew, so that it comes before the end of a lake that was opened meanwhile
                    context = copy_context()
                    run = partial(context.run, self._run)
                    threading.Thread(target=run, name="dreamlake-background", daemon=True).start()
        if now:
            event.set()

    def _run(self) -> None:
        while True:
            with _asked_lock:
                event = self._now
                if event is None:
                    del _asked[self]
                    return
            event.wait(self._seconds)
            with _asked_lock:
                self._now = None  # whoever asks from here on wants another call
            try:
                self._fn()
            except BaseException:
                with _asked_lock:
                    del _asked[self]
                raise


_asked: dict[Background, threading.Event] = {}
_asked_lock = threading.Lock()


def _finish() -> None:
    """Make the calls that are still to be made: threads end with the interpreter."""
    for one in list(_asked):
        one._fn()


def demand(fn: Callable[[], object], otherwise: str) -> None:  # noqa: ARG001 (the twin's signature)
    """Load something where nothing can be awaited: here it is just done, the async API raises.

    Args:
        fn: What loads it.
        otherwise: What the async API tells the caller to await instead.
    """
    fn()


# Connections


def http_client(key: Hashable, make: Callable[[], "httpx.Client"]) -> "httpx.Client":
    """The client for a lake, made once for each process; any number of threads may use it at once.

    Args:
        key: What tells one lake from another.
        make: Makes the client if there is none.
    """
    with _clients_lock:
        if key not in _clients:
            _clients[key] = make()
        return _clients[key]


def close_client(key: Hashable) -> None:
    """Close one client of this process, if there is one; the next use makes a new one."""
    with _clients_lock:
        client = _clients.pop(key, None)
    if client is not None:
        client.close()


def close_clients() -> None:
    """Close the clients of this process; the next use makes new ones."""
    with _clients_lock:
        clients = list(_clients.values())
        _clients.clear()
    for client in clients:
        client.close()


_clients: "dict[Hashable, httpx.Client]" = {}
_clients_lock = threading.Lock()
_inherited: "list[httpx.Client]" = []


def _start_anew() -> None:
    """A forked child must not write into its parent's connections, nor close them."""
    global _clients_lock, _asked_lock
    _clients_lock = threading.Lock()
    _asked_lock = threading.Lock()
    _asked.clear()
    _inherited.extend(_clients.values())
    _clients.clear()


os.register_at_fork(after_in_child=_start_anew)


def received(response: "httpx.Response", size: int) -> Iterator[bytes]:
    """The body of a response as it comes over the wire, so many bytes at a time."""
    yield from response.iter_raw(size)


def read_body(response: "httpx.Response") -> None:
    """Read all of the body of a response that was opened as a stream."""
    response.read()


# Files


class File(Protocol):
    """An open binary file."""

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes, or all that are left."""

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None:
        """Fill a buffer as far as the file goes; returns how many bytes there were."""

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        """Write all of `data` and return its length."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to an offset from the start (0), from here (1) or the end (2), and return where we are."""


@contextmanager
def open_file(path: str | PathLike[str], mode: BinaryMode) -> Iterator[File]:
    """Open a binary file for the length of a `with` block."""
    if "b" not in mode:
        raise ValueError(f"mode must be binary, such as 'rb', not {mode!r}")
    with Path(path).open(mode) as file:
        yield cast("File", file)  # typing.BinaryIO lacks readinto
