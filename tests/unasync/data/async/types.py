"""Types of what is awaited."""

import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Handler: TypeAlias = Callable[[str], Awaitable[None]]
Nested: TypeAlias = Awaitable[dict[str, list[Awaitable[T]]]] | None
Wide: TypeAlias = Awaitable[
    dict[str, int] | dict[str, float]  # a comment
]


class AsyncBox:
    value: Awaitable[int]
    mode: typing.Literal["r", "w"] = "r"

    async def get(self, é: str, make: Callable[[], Coroutine[Any, Any, T]], ü: "list[T] | None" = None) -> T:
        self.values = [é, typing.cast(list[typing.Awaitable[int]], ü)]  # noqa: TC006
        return await make()

    def each(self, then: Handler) -> AsyncIterator[Awaitable[tuple[()]]]:
        raise NotImplementedError(then)

    def later(self, then: Handler) -> Coroutine[Any, Any, Any]: ...
