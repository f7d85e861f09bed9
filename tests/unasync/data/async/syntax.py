"""Every place that `async` and `await` can stand in."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import cache


class AsyncSource:
    ready = True

    @staticmethod
    @cache
    def of(*things: object) -> AsyncSource:
        return AsyncSource()

    @classmethod
    async def open(cls) -> AsyncSource:
        return cls()

    async def get(self, *keys: object, **options: object) -> AsyncSource:
        return self

    async def each(self, *things: object) -> AsyncIterator[int]:
        yield 1


async def statements(source: AsyncSource, lock: AbstractAsyncContextManager[AsyncSource]) -> None:
    await source.get()
    with suppress(KeyError):
        await source.get()
    async with lock:
        pass
    async with lock as one, lock as two:
        await one.get(two)
    async with (
        lock as one,  # async is only a word here
        lock,
    ):
        pass
    async for number in source.each():
        if number:
            continue
    else:
        await source.get()
    async for _ in source.each(await source.get()):
        break
    if await source.get():
        assert await source.get(), await source.get()
    while not await source.get():
        await source.get()
    del (await source.get()).ready
    raise (await source.get()) from None


async def expressions(source: AsyncSource) -> object:
    é = [await source.get("ä"), "ü", await source.get("€😀"), {"ß": await source.get()}]
    chosen = await source.get(1) if await source.get(é) else await source.get(2)
    listed = [await source.get(number) async for number in source.each() if await source.get()]
    mapped = {number: (await source.get(number)).ready async for number in source.each()}
    made = {number + 1 async for number in source.each() for _ in range(number)}
    lazily = (number * 2 async for number in source.each())
    call: Callable[[], object] = lambda: source.get(1)  # noqa: E731
    sliced = [1, 2, 3][len(str(await source.get())) :]
    whole = await source.get(
        # a comment between
        await source.get(),
        *await source.get(),
        **await source.get(),
        key=await source.get(),
    )
    return chosen, listed, mapped, made, lazily, call, sliced, whole


async def brackets(source: AsyncSource, items: AsyncIterable[AsyncSource]) -> object:
    ready = (await source.get()).ready
    ready = (await (await source.get()).get()).ready
    ready = not (await source.get()).ready
    power = (await source.get()) ** 2
    sets = [(await source.get()), {(await source.get())}]
    called = source.get(await source.get())
    subscripted = [source.get][0](await source.get())
    tupled = (await source.get(),)
    walrus = (found := await source.get())
    wide = (
        await source.get(
            "a long argument list, which moves the brackets to lines of their own",
        )
    ).ready
    commented = (
        # this comment needs its brackets
        await source.get()
    ).ready
    return [ready, power, sets, called, subscripted, tupled, walrus, found, wide, commented, items]


async def outer(source: AsyncSource) -> Callable[[], AsyncIterator[int]]:
    async def inner() -> AsyncIterator[int]:
        async for number in source.each():
            yield number + 1
        return

    return inner
