"""The thread that an embedded lake's loop runs in."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from dreamlake.server.loopthread import LoopThread

from ._app import WAIT


@pytest.fixture
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    thread.start()
    yield thread
    assert thread.stop(WAIT)


def test_loop_thread_runs_and_raises(loop_thread: LoopThread) -> None:
    async def where() -> tuple[str, bool]:
        return threading.current_thread().name, threading.current_thread().daemon

    async def fail() -> None:
        raise KeyError("as it is")

    assert loop_thread.run(where) == ("dreamlake-lake", True)
    with pytest.raises(KeyError, match="as it is"):
        loop_thread.run(fail)
    with pytest.raises(RuntimeError, match="already started"):
        loop_thread.start()


def test_loop_thread_does_not_wait_for_itself(loop_thread: LoopThread) -> None:
    async def never() -> None:
        raise AssertionError

    async def inside() -> None:
        assert loop_thread.here
        loop_thread.run(never)

    assert not loop_thread.here
    with pytest.raises(RuntimeError, match="cannot wait"):
        loop_thread.run(inside)


def test_loop_thread_cancels_what_is_given_up(loop_thread: LoopThread) -> None:
    running, cancelled = threading.Event(), threading.Event()

    async def hang() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        loop_thread.run(hang, timeout=0.01)
    assert cancelled.wait(WAIT)
    cancelled.clear()
    running.clear()
    future = loop_thread.submit(hang)
    assert running.wait(WAIT)
    assert future.cancel()
    assert cancelled.wait(WAIT)


def test_an_exit_inside_the_loop_thread_leaves_nobody_waiting() -> None:
    thread = LoopThread()
    thread.start()

    async def leave() -> None:
        raise SystemExit(3)

    waiting = thread.submit(lambda: asyncio.sleep(3600))
    with pytest.raises(SystemExit):
        thread.run(leave)
    with pytest.raises(CancelledError):
        waiting.result(WAIT)
    assert thread.stop(WAIT)
    with pytest.raises(RuntimeError, match="not running"):
        thread.run(leave)


def test_loop_thread_stops_once_and_for_all() -> None:
    thread = LoopThread()

    async def nothing() -> None:
        return None

    with pytest.raises(RuntimeError, match="not running"):
        thread.run(nothing)
    assert thread.stop()
    thread.start()
    hanging = thread.submit(lambda: asyncio.sleep(3600))
    assert thread.stop(WAIT)
    assert thread.stop(WAIT)
    with pytest.raises(CancelledError):
        hanging.result(WAIT)
    with pytest.raises(RuntimeError, match="not running"):
        thread.run(nothing)
    assert not thread.post(print, "never")


def test_loop_thread_gives_up_on_a_blocked_loop() -> None:
    thread = LoopThread()
    thread.start()
    blocked, release = threading.Event(), threading.Event()

    async def block() -> None:
        blocked.set()
        release.wait(WAIT)

    thread.submit(block)
    assert blocked.wait(WAIT)
    assert not thread.stop(0.01)
    release.set()
    assert thread.stop(WAIT)


def test_loop_thread_drops_nothing_it_took() -> None:
    """Submissions that race with stop either are refused or come to an end."""

    async def nothing() -> int:
        return 1

    for _ in range(20):
        thread = LoopThread()
        thread.start()
        barrier = threading.Barrier(5)

        def work(thread: LoopThread = thread, barrier: threading.Barrier = barrier) -> int:
            barrier.wait(WAIT)
            done = 0
            try:
                while True:
                    done += thread.submit(nothing).result(WAIT)
            except (RuntimeError, CancelledError):
                return done

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(work) for _ in range(4)]
            barrier.wait(WAIT)
            assert thread.stop(WAIT)
            assert all(future.result(WAIT) >= 0 for future in futures)
