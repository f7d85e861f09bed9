"""The runtime of the async API: what overlaps, what waits, and what a cancellation does."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from contextvars import ContextVar
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from dreamlake._async._runtime import (
    ASYNC,
    Event,
    Lock,
    async_only,
    async_property,
    gather,
    map_ordered,
    map_unordered,
    offload,
    open_file,
    sleep,
)

Map = Callable[..., AsyncIterator[Any]]
both_maps = pytest.mark.parametrize("map_", [map_ordered, map_unordered])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def turns(number: int = 10) -> None:
    """Let everything else that can run do so: far more turns of the loop than anything here needs."""
    for _ in range(number):
        await sleep(0)


class Work:
    """Calls that stay until they are let go, and the record of what became of them."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.cancelled: set[int] = set()
        self._open: dict[int, asyncio.Event] = {}

    def door(self, item: int) -> asyncio.Event:
        return self._open.setdefault(item, asyncio.Event())

    def let_go(self, *items: int) -> None:
        for item in items:
            self.door(item).set()

    async def __call__(self, item: int) -> int:
        self.begun.append(item)
        try:
            await self.door(item).wait()
        except asyncio.CancelledError:
            await turns()  # to end takes a while
            self.cancelled.add(item)
            raise
        self.ended.append(item)
        return item * 10

    async def fail(self, item: int) -> int:
        await self(item)
        raise KeyError(item)


# async_property, async_only


class Clip:
    def __init__(self) -> None:
        self.reads = 0

    @async_property
    async def image(self) -> int:
        """The picture."""
        await sleep(0)
        self.reads += 1
        return self.reads


async def test_async_property_runs_on_each_await() -> None:
    clip = Clip()
    image = clip.image
    assert [await image, await image, await clip.image] == [1, 2, 3]
    assert await gather(lambda: clip.image, lambda: image) == [4, 5]


def test_async_property_may_be_looked_at_without_awaiting() -> None:
    clip = Clip()
    assert hasattr(clip, "image")
    assert isinstance(clip.image, Awaitable)
    assert repr(clip.image) == "<await Clip.image to get its value>"
    gc.collect()  # a coroutine that was never awaited would warn here
    assert clip.reads == 0


def test_async_property_is_a_property() -> None:
    assert Clip.image.__doc__ == "The picture."
    with pytest.raises(AttributeError, match="property 'image' of 'Clip' has no setter"):
        Clip().image = 1  # type: ignore[misc]


def test_marks() -> None:
    assert async_only(Clip) is Clip
    assert ASYNC is True


# Lock, Event, sleep


def test_lock_guards_in_every_event_loop_it_meets() -> None:
    lock = Lock()
    inside: list[int] = []

    async def enter(number: int) -> None:
        async with lock:
            inside.append(number)
            await turns()
            assert inside == [number]
            inside.clear()

    async def contend() -> None:
        await gather(*(partial(enter, number) for number in range(5)))

    asyncio.run(contend())
    asyncio.run(contend())


async def test_lock_is_released_on_errors() -> None:
    lock = Lock()
    for _ in range(2):
        with pytest.raises(KeyError):
            async with lock:
                raise KeyError


async def test_event_wakes_all() -> None:
    event = Event()
    waiters = [asyncio.create_task(event.wait()) for _ in range(3)]
    await turns()
    assert not event.is_set()
    assert not any(waiter.done() for waiter in waiters)
    event.set()
    assert [await waiter for waiter in waiters] == [True, True, True]
    assert event.is_set()
    assert await event.wait(0) is True


async def test_event_stops_waiting() -> None:
    assert await Event().wait(0) is False
    assert await Event().wait(timeout=0.001) is False


def test_event_may_be_set_outside_of_a_loop() -> None:
    event = Event()
    event.set()
    assert asyncio.run(event.wait()) is True


# offload

request: ContextVar[str] = ContextVar("request")


async def test_offload_calls_in_a_thread_with_the_context() -> None:
    request.set("r1")
    assert await offload(lambda: (request.get(), threading.current_thread() is threading.main_thread())) == (
        "r1",
        False,
    )


async def test_offload_leaves_the_loop_free() -> None:
    arrived = threading.Event()
    call = asyncio.create_task(offload(partial(arrived.wait, 10)))
    await turns()
    arrived.set()
    assert await call is True


async def test_offload_raises_plain_errors() -> None:
    with pytest.raises(ZeroDivisionError):
        await offload(lambda: 1 / 0)


class Slow:
    """A blocking function that shows when it is in its thread and leaves it when told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.inside = threading.Event()
        self.leave = threading.Event()
        self.left = False
        self.error = error

    def __call__(self) -> None:
        self.inside.set()
        assert self.leave.wait(10)
        self.left = True
        if self.error:
            raise self.error

    async def entered(self) -> None:
        while not self.inside.is_set():
            await sleep(0)


@pytest.mark.parametrize("error", [None, KeyError()])
@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_offload_waits_for_its_thread(error: Exception | None, times: int) -> None:
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    slow = Slow(error)
    call = asyncio.create_task(offload(slow))
    await slow.entered()
    for _ in range(times):
        call.cancel()
        await turns()
        assert not call.done()
    slow.leave.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert slow.left
    del call
    gc.collect()
    assert unseen == []


async def test_offload_in_a_cancelled_scope_waits_for_its_thread() -> None:
    slow = Slow()
    async with anyio.create_task_group() as group:
        group.start_soon(offload, slow)
        await slow.entered()
        group.cancel_scope.cancel()
        slow.leave.set()
    assert slow.left


async def test_a_cancelled_offload_that_has_not_begun_never_begins() -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    before, limiter.total_tokens = limiter.total_tokens, 1
    try:
        first, second = Slow(), Slow()
        calls = [asyncio.create_task(offload(slow)) for slow in (first, second)]
        await first.entered()
        await turns()
        calls[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[1]
        first.leave.set()
        await calls[0]
        await offload(lambda: None)
        assert not second.inside.is_set()
    finally:
        limiter.total_tokens = before


# gather


async def test_gather_overlaps_and_keeps_the_order() -> None:
    work = Work()
    result = asyncio.create_task(gather(*(partial(work, item) for item in range(3))))
    await turns()
    assert work.begun == [0, 1, 2]
    for item in (2, 0, 1):
        work.let_go(item)
        await turns()
    assert work.ended == [2, 0, 1]
    assert await result == [0, 10, 20]


async def test_gather_of_nothing() -> None:
    assert await gather() == []


async def test_gather_waits_for_what_runs_and_raises_the_first_error() -> None:
    work = Work()
    result = asyncio.create_task(gather(partial(work, 0), partial(work.fail, 1), partial(work.fail, 2)))
    await turns()
    work.let_go(2)
    await turns()
    work.let_go(1)
    await turns()
    assert not result.done()
    work.let_go(0)
    with pytest.raises(KeyError, match="2"):
        await result
    assert work.ended == [2, 1, 0]
    assert not work.cancelled


async def test_gather_begins_nothing_after_an_error() -> None:
    work = Work()

    async def fail() -> int:
        raise KeyError

    with pytest.raises(KeyError):
        await gather(fail, partial(work, 1))
    assert work.begun == []


async def test_gather_takes_errors_of_the_callable_itself() -> None:
    with pytest.raises(TypeError):
        await gather(partial(Work()))


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_gather_cancels_and_waits(times: int) -> None:
    work = Work()
    result = asyncio.create_task(gather(partial(work, 0), partial(work, 1)))
    await turns()
    for _ in range(times):
        result.cancel()
        await turns(2)
    with pytest.raises(asyncio.CancelledError):
        await result
    assert work.cancelled == {0, 1}


async def test_a_gather_that_is_cancelled_while_it_waits_after_an_error_cancels_the_rest() -> None:
    work = Work()
    result = asyncio.create_task(gather(partial(work, 0), partial(work.fail, 1)))
    work.let_go(1)
    await turns()
    result.cancel()
    with pytest.raises(asyncio.CancelledError):
        await result
    assert work.cancelled == {0}


async def test_gather_in_a_cancelled_scope_cancels_and_waits() -> None:
    work = Work()
    with anyio.move_on_after(60) as scope:
        asyncio.get_running_loop().call_soon(scope.cancel)
        await gather(partial(work, 0), partial(work, 1))
    assert scope.cancelled_caught
    assert work.cancelled == {0, 1}


# map_ordered, map_unordered


async def test_map_ordered_keeps_the_order() -> None:
    work = Work()
    async with aclosing(map_ordered(work, range(3), limit=3)) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        work.let_go(2, 1)
        await turns()
        assert not first.done()
        work.let_go(0)
        assert [await first, *[result async for result in results]] == [0, 10, 20]
    assert work.ended == [2, 1, 0]


async def test_map_unordered_yields_what_is_finished() -> None:
    work = Work()
    async with aclosing(map_unordered(work, range(3), limit=3)) as results:
        for item in (2, 0, 1):
            work.let_go(item)
            assert await anext(results) == item * 10
        with pytest.raises(StopAsyncIteration):
            await anext(results)


@both_maps
async def test_map_is_bounded_and_lazy(map_: Map) -> None:
    work = Work()
    work.let_go(*range(10))
    pulled: list[int] = []
    items = (pulled.append(item) or item for item in count())
    async with aclosing(map_(work, items, limit=3)) as results:
        assert pulled == []
        assert await anext(results) == 0
        await turns()
        # Three are ahead of the consumer, finished or not.
        assert pulled == work.begun == [0, 1, 2, 3]
        assert await anext(results) == 10
        await turns()
        assert pulled == work.begun == [0, 1, 2, 3, 4]


@both_maps
async def test_map_runs_one_ahead_of_the_consumer(map_: Map) -> None:
    work = Work()
    work.let_go(0)
    async with aclosing(map_(work, range(9), limit=1)) as results:
        await anext(results)
        await turns()
        assert work.begun == [0, 1]
        work.let_go(1)
        await turns()
        assert work.begun == [0, 1]


async def test_map_ordered_raises_an_error_in_its_place() -> None:
    work = Work()
    pulled: list[int] = []
    items = (pulled.append(item) or item for item in range(9))

    async def fail_at_1(item: int) -> int:
        return await (work.fail(item) if item == 1 else work(item))

    async with aclosing(map_ordered(fail_at_1, items, limit=3)) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        work.let_go(1)
        await turns()
        assert not first.done()
        work.let_go(0)
        assert await first == 0
        second = asyncio.ensure_future(anext(results))
        await turns()
        assert not second.done()  # 2 still runs
        work.let_go(2)
        with pytest.raises(KeyError, match="1"):
            await second
    assert pulled == [0, 1, 2]
    assert work.ended == [1, 0, 2]


async def test_map_unordered_stops_at_the_first_error() -> None:
    work = Work()

    async def fail_at_1(item: int) -> int:
        return await (work.fail(item) if item == 1 else work(item))

    async with aclosing(map_unordered(fail_at_1, range(9), limit=3)) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        work.let_go(1)
        await turns()
        assert not first.done()  # 0 and 2 still run
        work.let_go(0, 2)
        with pytest.raises(KeyError, match="1"):
            await first
    assert work.begun == [0, 1, 2]
    assert sorted(work.ended) == [0, 1, 2]


@both_maps
async def test_map_begins_nothing_after_an_error(map_: Map) -> None:
    work = Work()

    async def fail_at_0(item: int) -> int:
        return await work(item) if item else {}[item]

    with pytest.raises(KeyError):
        async for _ in map_(fail_at_0, range(9), limit=9):
            raise AssertionError
    assert work.begun == []


@both_maps
async def test_an_error_of_the_items_waits_for_what_runs(map_: Map) -> None:
    work = Work()

    def items() -> Iterator[int]:
        yield 0
        raise KeyError

    first = asyncio.ensure_future(anext(map_(work, items(), limit=2)))
    await turns()
    work.let_go(0)
    with pytest.raises(KeyError):
        await first
    assert work.ended == [0]


@both_maps
async def test_a_map_that_is_closed_cancels_and_waits(map_: Map) -> None:
    work = Work()
    work.let_go(0)
    async with aclosing(map_(work, count(), limit=2)) as results:
        await anext(results)
        await turns()
    assert work.begun == [0, 1, 2]
    assert work.cancelled == {1, 2}


@both_maps
async def test_a_map_whose_consumer_is_cancelled_cancels_and_waits(map_: Map) -> None:
    work = Work()

    async def consume() -> None:
        async for _ in map_(work, count(), limit=2):
            raise AssertionError

    consumer = asyncio.create_task(consume())
    await turns()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert work.cancelled == {0, 1}


@both_maps
async def test_a_cancellation_while_a_map_closes_is_not_lost(map_: Map) -> None:
    work = Work()
    work.let_go(0)

    async def consume() -> None:
        async with aclosing(map_(work, count(), limit=2)) as results:
            await anext(results)
            await turns()

    consumer = asyncio.create_task(consume())
    while not work.begun[2:]:
        await sleep(0)
    await turns(12)  # by now it closes the map, which waits for the calls
    assert not work.cancelled
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert work.cancelled == {1, 2}


@both_maps
async def test_map_of_nothing(map_: Map) -> None:
    assert [result async for result in map_(Work(), [], limit=2)] == []


@both_maps
async def test_map_refuses_a_limit_that_would_do_nothing(map_: Map) -> None:
    with pytest.raises(ValueError, match="limit must be at least 1, not 0"):
        await anext(map_(Work(), [1], limit=0))


@both_maps
async def test_errors_that_are_not_raised_are_not_logged(map_: Map) -> None:
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    work = Work()
    work.let_go(*range(5))
    with pytest.raises(KeyError):
        async for _ in map_(work.fail, range(5), limit=5):
            raise AssertionError
    gc.collect()
    await turns()
    assert unseen == []


# Files


async def test_open_file_writes_reads_and_seeks(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    async with open_file(path, "wb") as file:
        assert await file.write(b"0123456789") == 10
    async with open_file(str(path), "r+b") as file:
        assert await file.read(2) == b"01"
        assert await file.seek(-2, 2) == 8
        assert await file.read() == b"89"
        assert await file.seek(1) == 1
        await file.write(memoryview(b"x"))
    assert path.read_bytes() == b"0x23456789"


async def test_open_file_refuses_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode must be binary"):
        async with open_file(tmp_path / "a", "w"):  # type: ignore[arg-type]
            pass


async def test_a_missing_file_is_a_plain_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with open_file(tmp_path / "a", "rb"):
            pass


async def test_a_file_is_closed_in_a_cancelled_scope(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with open_file(tmp_path / "a", "wb") as file:
            await file.write(b"x")
            scope.cancel()
            await sleep(0)
    assert (tmp_path / "a").read_bytes() == b"x"
    del file
    gc.collect()  # a file left open would warn here
