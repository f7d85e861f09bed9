"""Names: the prefix, the exact map, and strings that are one name."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, closing
from typing import Literal, Self

import httpx

from dreamlake._async import _runtime
from dreamlake._async._runtime import (
    Lock,
    async_property,  # a comment about it
    gather,
)

__all__ = ["AsyncClip", "Frame", "_AsyncReader", "open_clip", "titles"]


class Frame:
    """A plain class keeps its name."""


class _AsyncReader(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""


class AsyncClip(AbstractAsyncContextManager[Frame]):
    kind: Literal["clip"] = "clip"

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = iter(frames)
        self.lock = Lock()

    @async_property
    async def size(self) -> int:
        async with self.lock:
            return len(list(self.frames))

    async def __aenter__(self) -> Frame:
        return await anext(self)

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        for frame in self.frames:
            return frame
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.frames = iter([])


@asynccontextmanager
async def open_clip(stream: object) -> AsyncIterator[AsyncClip]:
    async with AsyncExitStack() as stack, aclosing(AsyncClip([])) as clip:
        if hasattr(stream, "aclose"):
            await stack.enter_async_context(aclosing(stream))
        yield clip


async def titles(clips: AsyncIterable[AsyncClip], plain: object) -> list[str]:
    with closing(plain):
        await gather(_runtime.Lock().__aenter__)
    message = "Longer strings such as AsyncClip and aclose() stay; await nothing."
    return [message + clip.kind async for clip in clips]
