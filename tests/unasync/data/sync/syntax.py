# Generated from tests/unasync/data/async/syntax.py by scripts/unasync.py. Edit that file, then run it.
"""Every place that `async` and `await` can stand in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from functools import cache


class Source:
    ready = True

    @staticmethod
    @cache
    def of(*things: object) -> Source:
        return Source()

    @classmethod
    def open(cls) -> Source:
        return cls()

    def get(self, *keys: object, **options: object) -> Source:
        return self

    def each(self, *things: object) -> Iterator[int]:
        yield 1


def statements(source: Source, lock: AbstractContextManager[Source]) -> None:
    source.get()
    with suppress(KeyError):
        source.get()
    with lock:
        pass
    with lock as one, lock as two:
        one.get(two)
    with (
        lock as one,  # async is only a word here
        lock,
    ):
        pass
    for number in source.each():
        if number:
            continue
    else:
        source.get()
    for _ in source.each(source.get()):
        break
    if source.get():
        assert source.get(), source.get()
    while not source.get():
        source.get()
    del source.get().ready
    raise source.get() from None


def expressions(source: Source) -> object:
    é = [source.get("ä"), "ü", source.get("€😀"), {"ß": source.get()}]
    chosen = source.get(1) if source.get(é) else source.get(2)
    listed = [source.get(number) for number in source.each() if source.get()]
    mapped = {number: source.get(number).ready for number in source.each()}
    made = {number + 1 for number in source.each() for _ in range(number)}
    lazily = (number * 2 for number in source.each())
    call: Callable[[], object] = lambda: source.get(1)  # noqa: E731
    sliced = [1, 2, 3][len(str(source.get())) :]
    whole = source.get(
        # a comment between
        source.get(),
        *source.get(),
        **source.get(),
        key=source.get(),
    )
    return chosen, listed, mapped, made, lazily, call, sliced, whole


def brackets(source: Source, items: Iterable[Source]) -> object:
    ready = source.get().ready
    ready = source.get().get().ready
    ready = not source.get().ready
    power = source.get() ** 2
    sets = [source.get(), {source.get()}]
    called = source.get(source.get())
    subscripted = [source.get][0](source.get())
    tupled = (source.get(),)
    walrus = (found := source.get())
    wide = source.get(
        "a long argument list, which moves the brackets to lines of their own",
    ).ready
    commented = (
        # this comment needs its brackets
        source.get()
    ).ready
    return [ready, power, sets, called, subscripted, tupled, walrus, found, wide, commented, items]


def outer(source: Source) -> Callable[[], Iterator[int]]:
    def inner() -> Iterator[int]:
        for number in source.each():
            yield number + 1
        return

    return inner
