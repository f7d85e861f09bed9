# Generated from tests/unasync/data/async/names.py by scripts/unasync.py. Edit that file, then run it.
"""Names: the prefix, the exact map, and strings that are one name."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import Literal, Self

import httpx

from dreamlake._sync import _runtime
from dreamlake._sync._runtime import (
    Lock,
    gather,
)

__all__ = ["Clip", "Frame", "_Reader", "open_clip", "titles"]


class Frame:
    """A plain class keeps its name."""


class _Reader(httpx.ByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield b""


class Clip(AbstractContextManager[Frame]):
    kind: Literal["clip"] = "clip"

    def __init__(self, frames: list[Frame]) -> None:
        self.frames = iter(frames)
        self.lock = Lock()

    @property
    def size(self) -> int:
        with self.lock:
            return len(list(self.frames))

    def __enter__(self) -> Frame:
        return next(self)

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        for frame in self.frames:
            return frame
        raise StopIteration

    def close(self) -> None:
        self.frames = iter([])


@contextmanager
def open_clip(stream: object) -> Iterator[Clip]:
    with ExitStack() as stack, closing(Clip([])) as clip:
        if hasattr(stream, "close"):
            stack.enter_context(closing(stream))
        yield clip


def titles(clips: Iterable[Clip], plain: object) -> list[str]:
    with closing(plain):
        gather(_runtime.Lock().__enter__)
    message = "Longer strings such as AsyncClip and aclose() stay; await nothing."
    return [message + clip.kind for clip in clips]
