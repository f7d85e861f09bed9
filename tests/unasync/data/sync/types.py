# Generated from tests/unasync/data/async/types.py by scripts/unasync.py. Edit that file, then run it.
"""Types of what is awaited."""

import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Handler: TypeAlias = Callable[[str], None]
Nested: TypeAlias = dict[str, list[T]] | None
Wide: TypeAlias = dict[str, int] | dict[str, float]


class Box:
    value: int
    mode: typing.Literal["r", "w"] = "r"

    def get(self, é: str, make: Callable[[], T], ü: "list[T] | None" = None) -> T:
        self.values = [é, typing.cast(list[int], ü)]  # noqa: TC006
        return make()

    def each(self, then: Handler) -> Iterator[tuple[()]]:
        raise NotImplementedError(then)

    def later(self, then: Handler) -> Any: ...
