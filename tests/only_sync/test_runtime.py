"""The runtime of the blocking API: threads that end with the call that needed them, and what stops them."""

import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from contextvars import ContextVar
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dreamlake._sync import _runtime
from dreamlake._sync._runtime import (
    ASYNC,
    Event,
    Lock,
    gather,
    map_ordered,
    map_unordered,
    offload,
    open_file,
    sleep,
)

Map = Callable[..., Iterator[Any]]
both_maps = pytest.mark.parametrize("map_", [map_ordered, map_unordered])

PATIENCE = 20  # seconds after which a test that hangs fails


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


class Work:
    """Calls that stay until they are let go, and the record of what became of them."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.threads: set[threading.Thread] = set()
        self._changed = threading.Condition()
        self._open: set[int] = set()

    def let_go(self, *items: int) -> None:
        with self._changed:
            self._open.update(items)
            self._changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE)

    def __call__(self, item: int) -> int:
        with self._changed:
            self.begun.append(item)
            self.threads.add(threading.current_thread())
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: item in self._open, PATIENCE)
            self.ended.append(item)
            self._changed.notify_all()
        return item * 10

    def fail(self, item: int) -> int:
        self(item)
        raise KeyError(item)


class Background:
    """A call in a thread of its own, so that the test can watch it block."""

    def __init__(self, fn: Callable[[], Any]) -> None:
        self._fn = fn
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result, self._error = self._fn(), None
        except BaseException as error:  # noqa: BLE001
            self._error = error

    def blocks(self) -> bool:
        return self._thread.is_alive()

    def result(self) -> Any:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error
        return self._result


# Lock, Event, sleep, offload


def test_flag() -> None:
    assert ASYNC is False


def test_lock_guards() -> None:
    lock = Lock()
    barrier = threading.Barrier(4)
    inside = 0
    most = 0

    def enter() -> None:
        nonlocal inside, most
        barrier.wait(PATIENCE)
        for _ in range(200):
            with lock:
                inside += 1
                most = max(most, inside)
                sleep(0)  # gives the others the chance that they must not have
                inside -= 1

    gather(*[enter] * 4)
    assert most == 1


def test_lock_is_released_on_errors() -> None:
    lock = Lock()
    for _ in range(2):
        with pytest.raises(KeyError), lock:
            raise KeyError


def test_event_wakes_all() -> None:
    event = Event()
    assert not event.is_set()
    assert event.wait(0) is False
    waiters = [Background(event.wait) for _ in range(3)]
    event.set()
    assert [waiter.result() for waiter in waiters] == [True, True, True]
    assert event.is_set()
    assert event.wait(timeout=0) is True


def test_offload_just_calls() -> None:
    assert offload(threading.current_thread) is threading.current_thread()


# gather


def test_gather_overlaps_and_keeps_the_order() -> None:
    barrier = threading.Barrier(3)  # passes only when all three are inside

    def call(number: int) -> tuple[int, bool]:
        barrier.wait(PATIENCE)
        return number, threading.current_thread() is threading.main_thread()

    assert gather(*(partial(call, number) for number in range(3))) == [(0, True), (1, False), (2, False)]


def test_gather_of_little_needs_no_thread() -> None:
    assert gather() == []
    assert gather(threading.current_thread) == [threading.current_thread()]


@pytest.mark.parametrize("failing", [0, 1])
def test_gather_waits_for_what_runs_and_raises_the_error(failing: int) -> None:
    work = Work()
    calls = [partial(work.fail if item == failing else work, item) for item in range(2)]
    result = Background(partial(gather, *calls))
    work.until(lambda: len(work.begun) == 2)
    work.let_go(failing)
    work.until(lambda: work.ended == [failing])
    assert result.blocks()
    work.let_go(0, 1)
    with pytest.raises(KeyError, match=str(failing)):
        result.result()
    assert sorted(work.ended) == [0, 1]


def test_gather_raises_the_first_of_two_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    run_as_ever = _runtime._Calls.run

    def run(self: _runtime._Calls, fn: Callable[[], Any]) -> Any:
        try:
            return run_as_ever(self, fn)
        except ValueError:
            failed.set()
            raise

    def fail_here() -> None:
        assert failed.wait(PATIENCE)
        raise KeyError

    monkeypatch.setattr(_runtime._Calls, "run", run)
    with pytest.raises(ValueError, match="first"):
        gather(fail_here, partial(int, "first"))


# map_ordered, map_unordered


def test_map_ordered_keeps_the_order() -> None:
    work = Work()
    with closing(map_ordered(work, range(3), limit=3)) as results:
        first = Background(partial(next, results))
        for item in (2, 1):
            work.let_go(item)
            work.until(lambda item=item: item in work.ended)
        assert first.blocks()
        work.let_go(0)
        assert [first.result(), *results] == [0, 10, 20]
    assert work.ended == [2, 1, 0]


def test_map_unordered_yields_what_is_finished() -> None:
    work = Work()
    with closing(map_unordered(work, range(3), limit=3)) as results:
        for item in (2, 0, 1):
            work.let_go(item)
            assert next(results) == item * 10
        with pytest.raises(StopIteration):
            next(results)


@both_maps
def test_map_runs_as_many_as_it_may(map_: Map) -> None:
    barrier = threading.Barrier(4)
    assert sorted(map_(lambda _: barrier.wait(PATIENCE), range(8), limit=4)) == [0, 0, 1, 1, 2, 2, 3, 3]


@both_maps
def test_map_is_bounded_and_lazy(map_: Map) -> None:
    work = Work()
    work.let_go(*range(10))
    pulled: list[int] = []
    items = (pulled.append(item) or item for item in count())
    with closing(map_(work, items, limit=3)) as results:
        assert pulled == []
        next(results)
        # Three are ahead of the consumer, finished or not.
        work.until(lambda: len(work.ended) == 4)
        assert pulled == sorted(work.begun) == [0, 1, 2, 3]
        next(results)
        work.until(lambda: len(work.ended) == 5)
        assert pulled == sorted(work.begun) == [0, 1, 2, 3, 4]


@both_maps
def test_map_runs_one_ahead_of_the_consumer(map_: Map) -> None:
    work = Work()
    work.let_go(0)
    with closing(map_(work, range(9), limit=1)) as results:
        assert next(results) == 0
        work.until(lambda: work.begun == [0, 1])
        work.let_go(1)
        work.until(lambda: work.ended == [0, 1])
    assert work.begun == [0, 1]


@both_maps
@pytest.mark.parametrize("limit", [1, 8])
def test_map_of_little_needs_no_thread(map_: Map, limit: int) -> None:
    assert list(map_(lambda _: threading.current_thread(), [0], limit=limit)) == [threading.current_thread()]
    assert list(map_(lambda _: threading.current_thread(), [], limit=limit)) == []


@both_maps
def test_map_shares_few_threads(map_: Map) -> None:
    work = Work()
    work.let_go(*range(50))
    assert sorted(map_(work, range(50), limit=2)) == list(range(0, 500, 10))
    assert len(work.threads) <= 2
    assert threading.main_thread() not in work.threads


def test_map_ordered_raises_an_error_in_its_place() -> None:
    work = Work()
    pulled: list[int] = []
    items = (pulled.append(item) or item for item in range(9))
    results = map_ordered(lambda item: work.fail(item) if item == 1 else work(item), items, limit=3)
    first = Background(partial(next, results))
    work.until(lambda: len(work.begun) == 3)
    work.let_go(1)
    work.until(lambda: work.ended == [1])
    assert first.blocks()
    work.let_go(0)
    assert first.result() == 0
    second = Background(partial(next, results))
    assert second.blocks()  # 2 still runs
    work.let_go(*range(2, 9))
    with pytest.raises(KeyError, match="1"):
        second.result()
    assert 2 in work.ended
    assert len(pulled) <= 4  # 3 may have been taken just before the error was known


def test_map_unordered_stops_at_the_first_error() -> None:
    work = Work()
    results = map_unordered(lambda item: work.fail(item) if item == 1 else work(item), range(9), limit=3)
    first = Background(partial(next, results))
    work.until(lambda: len(work.begun) == 3)
    work.let_go(1)
    work.until(lambda: work.ended == [1])
    assert first.blocks()  # 0 and 2 still run
    work.let_go(0, 2)
    with pytest.raises(KeyError, match="1"):
        first.result()
    assert sorted(work.begun) == sorted(work.ended) == [0, 1, 2]


@both_maps
def test_map_raises_the_error_and_not_that_others_never_began(map_: Map) -> None:
    for _ in range(50):
        with pytest.raises(ZeroDivisionError):
            list(map_(lambda item: 1 // item, range(50), limit=4))


@both_maps
def test_an_error_of_the_items_waits_for_what_runs(map_: Map) -> None:
    work = Work()

    def items() -> Iterator[int]:
        yield 0
        yield 1
        raise KeyError

    result = Background(lambda: list(map_(work, items(), limit=3)))
    work.until(lambda: sorted(work.begun) == [0, 1])
    assert result.blocks()
    work.let_go(0, 1)
    with pytest.raises(KeyError):
        result.result()
    assert sorted(work.ended) == [0, 1]


@both_maps
def test_a_map_that_is_closed_waits_for_what_runs_and_begins_no_more(map_: Map) -> None:
    work = Work()
    work.let_go(0)
    results = map_(work, count(), limit=2)
    next(results)
    work.until(lambda: len(work.begun) == 3)
    close = Background(results.close)
    assert close.blocks()
    work.let_go(1, 2)
    close.result()
    assert sorted(work.begun) == sorted(work.ended) == [0, 1, 2]


@both_maps
def test_map_refuses_a_limit_that_would_do_nothing(map_: Map) -> None:
    with pytest.raises(ValueError, match="limit must be at least 1, not 0"):
        next(map_(Work(), [1], limit=0))


# Interrupts


class Interrupt:
    """Interrupts the main thread, as Ctrl-C does."""

    def __init__(self) -> None:
        self.arrived = threading.Event()

    def __call__(self) -> None:
        # Python misses a signal that comes just before a wait begins, as a person would: press again.
        while not self.arrived.wait(0.05):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def handle(self, *_: object) -> None:
        if not self.arrived.is_set():
            self.arrived.set()
            raise KeyboardInterrupt


@pytest.fixture
def interrupt() -> Iterator[Interrupt]:
    interrupt = Interrupt()
    before = signal.signal(signal.SIGINT, interrupt.handle)
    yield interrupt
    signal.signal(signal.SIGINT, before)


@both_maps
def test_an_interrupt_while_a_map_waits_begins_no_more(map_: Map, interrupt: Interrupt) -> None:
    both_run = threading.Barrier(2)
    begun: list[int] = []

    def call(item: int) -> None:
        begun.append(item)
        if item < 2:
            both_run.wait(PATIENCE)  # an interrupt must not hit the start of a thread: nobody could join it
        else:
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        list(map_(call, range(100), limit=2))
    assert set(begun) <= {0, 1, 2, 3}


def test_an_interrupted_gather_waits_for_what_runs(interrupt: Interrupt) -> None:
    all_run = threading.Barrier(3)
    ended: list[bool] = []

    def call(first: bool = False) -> None:
        all_run.wait(PATIENCE)
        if first:
            interrupt()
        assert interrupt.arrived.wait(PATIENCE)
        ended.append(first)

    with pytest.raises(KeyboardInterrupt):
        gather(call, call, partial(call, first=True))
    assert sorted(ended) == [False, True]  # and the one in the main thread was interrupted


@both_maps
def test_an_interrupt_of_the_consumer_begins_no_more(map_: Map) -> None:
    work = Work()
    work.let_go(*range(100))
    with pytest.raises(KeyboardInterrupt):
        for _ in map_(work, range(100), limit=2):
            raise KeyboardInterrupt
    gc.collect()
    assert len(work.begun) <= 3


# Contexts and processes

request: ContextVar[str] = ContextVar("request")


@both_maps
def test_threads_see_the_context_of_the_caller(map_: Map) -> None:
    request.set("r1")
    assert list(map_(lambda _: request.get(), range(3), limit=2)) == ["r1"] * 3
    assert gather(request.get, request.get) == ["r1"] * 2


def test_a_forked_process_starts_clean() -> None:
    run(
        """
        import os
        from dreamlake._sync._runtime import gather, map_ordered, map_unordered

        for map_ in (map_ordered, map_unordered):
            results = map_(str, range(9), 3)
            next(results)
            results.close()
        child = os.fork()
        if not child:
            assert list(map_ordered(str, range(9), 3)) == list("012345678")
            assert sorted(map_unordered(str, range(9), 3)) == list("012345678")
            assert gather(dict, dict) == [{}, {}]
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """
    )


def test_the_module_is_cheap_to_import() -> None:
    # By its path, since importing the package may load more.
    run(
        f"""
        import importlib.util, sys
        spec = importlib.util.spec_from_file_location("runtime", {_runtime.__file__!r})
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        assert not sys.modules.keys() & {{"aiofiles", "anyio", "asyncio", "httpx"}}
        """
    )


def run(script: str) -> None:
    lines = script.splitlines()
    text = "\n".join(line[8:] for line in lines)
    subprocess.run([sys.executable, "-W", "error", "-c", text], check=True, timeout=PATIENCE)


# Files


def test_open_file_writes_reads_and_seeks(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with open_file(path, "wb") as file:
        assert file.write(b"0123456789") == 10
    with open_file(str(path), "r+b") as file:
        assert file.read(2) == b"01"
        assert file.seek(-2, 2) == 8
        assert file.read() == b"89"
        assert file.seek(1) == 1
        file.write(memoryview(b"x"))
    assert path.read_bytes() == b"0x23456789"


def test_open_file_refuses_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode must be binary"), open_file(tmp_path / "a", "w"):  # type: ignore[arg-type]
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_file(tmp_path / "a", "rb"):
        pass


def test_map_ordered_raises_what_failed_and_not_what_was_kept_from_beginning() -> None:
    def fail_but_first(item: int) -> int:
        if item:
            raise ValueError(item)
        return item

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns as often as they can
    try:
        for _ in range(1500):
            with pytest.raises(ValueError):
                list(map_ordered(fail_but_first, range(4), 4))
    finally:
        sys.setswitchinterval(interval)
