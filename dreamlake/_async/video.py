"""Video: a source and a selection of its frames, lazy until pixels are asked for (seed 1, "Video")."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dreamlake._async._runtime import Stream, async_property, demand, map_ordered, map_unordered, offload
from dreamlake._async.sources import AsyncSource, Facts
from dreamlake.core.decodeplan import Run, plan_runs
from dreamlake.core.frameindex import FrameIndex
from dreamlake.core.timeline import Selection
from dreamlake.errors import FrameIndexError, MissingExtraError

if TYPE_CHECKING:
    import PIL.Image
    import torch

__all__ = ["AsyncVideo"]

Pixels = NDArray[np.uint8]

CORES = os.cpu_count() or 1
SEGMENTS_AHEAD = 3
BATCH_BYTES = 32 * 1024**2


class AsyncVideo:
    """A video, or a clip of one. Both have the same interface; nothing is fetched before it is needed.

    Indexing gives a Video again: ``int`` is a frame, ``float`` is seconds, both relative to the clip in hand.

    Example:
        >>> video = await adl.load_video("v-BV1bW411n7fY9x01")
        >>> clip = video[10.0:20.0]
        >>> first = await clip[0].image
    """

    __slots__ = ("_facts", "_selection", "_source")

    def __init__(self, source: AsyncSource, selection: Selection | None = None, facts: Facts | None = None) -> None:
        self._source = source
        self._selection = selection
        self._facts = facts

    # -- what is known without I/O -----------------------------------------------------------------------------------

    @property
    def id(self) -> str | None:
        """The resource id, such as ``v-BV1bW411n7fY9x01``; None for a file outside of any lake."""
        return self._source.id

    @property
    def uri(self) -> str:
        """The URI, such as ``bss://localhost:10234/videos/{id}``."""
        return self._source.uri

    @property
    def fps(self) -> float:
        """Frames per second, on average."""
        return self._known().fps

    @property
    def width(self) -> int:
        """Pixels, as displayed."""
        return self._known().width

    @property
    def height(self) -> int:
        """Pixels, as displayed."""
        return self._known().height

    @property
    def st(self) -> float:
        """Seconds of the whole video at which this clip begins."""
        return self._selected().st

    @property
    def et(self) -> float:
        """Seconds of the whole video at which this clip ends."""
        return self._selected().et

    @property
    def duration(self) -> float:
        """Seconds from st to et."""
        return self.et - self.st

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self._selected())

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, key: Any) -> AsyncVideo:
        """A frame (int), the frame on display at a time (float), or a slice of either; always a lazy Video.

        Raises:
            FrameIndexError: outside of the clip. Slices are clamped instead.
            UsageError: not a number, or seconds and frames in one slice.
        """
        selection = self._selected()
        return AsyncVideo(self._source, selection.select(self._index().timeline, key), self._facts)

    def __iter__(self) -> Iterator[AsyncVideo]:
        """Every frame as a lazy Video; ``iterator()`` gives pixels, and reads ahead."""
        return (self[number] for number in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AsyncVideo):
            return NotImplemented
        return self._source.key == other._source.key and self._selected() == other._selected()

    def __hash__(self) -> int:
        return hash((self._source.key, self._selected()))

    def __repr__(self) -> str:
        name = type(self).__name__
        scheme, _, rest = self.uri.partition("://")
        uri = f"{scheme}://...{rest.rsplit('/', 1)[-1]}"
        if self._facts is None:
            return f'{name}("{uri}", not loaded)'
        if self._selection == self._whole(self._facts):
            size = f"{self.width}x{self.height}"
            return f'{name}("{uri}", fps={_short(self.fps)}, duration={_short(self.duration)}, {size})'
        st, et, duration = _short(self.st), _short(self.et), _short(self.duration)
        return f'{name}("{uri}", st={st}, et={et}, duration={duration})'

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._source.key, self._selection, self._facts)

    # -- pixels ------------------------------------------------------------------------------------------------------

    async def load(self) -> AsyncVideo:
        """Get the frame index, waiting until the lake has processed the video. ``load_video`` has done so already."""
        await self._source.load()
        self._settle()
        return self

    @async_property
    async def image(self) -> PIL.Image.Image:
        """The first frame as a PIL image."""
        return await self._picture(0)

    @async_property
    async def thumbnail(self) -> PIL.Image.Image:
        """The middle frame as a PIL image."""
        await self.load()
        return await self._picture(len(self) // 2)

    async def numpy(self, *, keepdims: bool = False) -> Pixels:
        """All frames as an array.

        Args:
            keepdims: keep the first axis for a single frame too.

        Returns:
            (N, H, W, 3) uint8 RGB, or (H, W, 3) for a single frame.

        Raises:
            MediaError: a frame could not be decoded.
            IntegrityError: stored bytes are not what they were.
            LakeUnreachableError: the lake does not answer.
        """
        await self.load()
        frames = self._selected().frames
        pixels = np.empty((len(frames), self.height, self.width, 3), np.uint8)

        def place(number: int, picture: Pixels) -> None:
            pixels[frames.index(number)] = picture

        await self._decode(plan_runs(self._index(), frames), place)
        return pixels if keepdims or len(frames) != 1 else pixels[0]

    async def tensor(self, *, keepdims: bool = False) -> torch.Tensor:
        """All frames as a torch tensor.

        Args:
            keepdims: (N, C, H, W) for a single frame too.

        Returns:
            (N, C, H, W) uint8 RGB, or (H, W, C) for a single frame, as in seed 1.

        Raises:
            MissingExtraError: torch is not installed. Otherwise as ``numpy``.
        """
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("torch", "tensor()") from error
        pixels = torch.from_numpy(await self.numpy(keepdims=keepdims))
        return pixels if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)

    async def iterator(self) -> AsyncIterator[Pixels]:
        """The frames one after the other, decoded and fetched ahead, in bounded memory.

        Yields:
            (H, W, 3) uint8 RGB.

        Raises:
            As ``numpy``.
        """
        await self.load()
        frames = self._selected().frames
        size = max(1, min(64, BATCH_BYTES // (self.width * self.height * 3)))
        if frames.step > 0:
            batches = self._forward(frames, size)
        else:
            pieces = (frames[at : at + size] for at in range(0, len(frames), size))
            batches = map_ordered(self._batch, pieces, 1)
        async with aclosing(batches) as opened:
            async for batch in opened:
                for picture in batch:
                    yield picture

    # -- how -----------------------------------------------------------------------------------------------------------

    async def _forward(self, frames: range, size: int) -> Stream[list[Pixels]]:
        """Frames in increasing order, ``size`` at a time, their segments fetched ahead."""
        index = self._index()

        async def fetch(run: Run) -> tuple[Run, list[Any]]:
            return run, [await self._source.segment(number) for number in run.segments]

        async with aclosing(map_ordered(fetch, plan_runs(index, frames), SEGMENTS_AHEAD)) as fetched:
            async for run, segments in fetched:
                async with aclosing(_decode_ahead(index, run, segments, size)) as batches:
                    async for batch in batches:
                        yield batch

    async def _batch(self, frames: range) -> list[Pixels]:
        pictures: dict[int, Pixels] = {}
        await self._decode(plan_runs(self._index(), frames), lambda number, picture: _keep(pictures, number, picture))
        return [pictures[number] for number in frames]

    async def _decode(self, runs: list[Run], place: Callable[[int, Pixels], None]) -> None:
        """Decode runs side by side, a decoder for each core."""
        index = self._index()

        async def work(run: Run) -> None:
            segments = [await self._source.segment(number) for number in run.segments]
            await offload(partial(_fill, index, run, segments, place))

        async with aclosing(map_unordered(work, runs, CORES)) as done:
            async for _ in done:
                pass

    async def _picture(self, number: int) -> PIL.Image.Image:
        import PIL.Image

        await self.load()
        if not len(self):
            raise FrameIndexError("an empty clip has no picture")
        return PIL.Image.fromarray(await self[number].numpy())

    def _known(self) -> Facts:
        if self._facts is None:
            demand(self.load, "this video is not loaded yet: `await video.load()` first")
            self._settle()
        assert self._facts is not None
        return self._facts

    def _selected(self) -> Selection:
        self._known()
        assert self._selection is not None
        return self._selection

    def _index(self) -> FrameIndex:
        if self._source.index is None:
            demand(self._source.load, "this clip comes from another process: `await clip.load()` before you slice it")
        return self._source.loaded()

    def _settle(self) -> None:
        """Take over what the loaded source knows."""
        if self._facts is None:
            self._facts = self._source.facts
        if self._selection is None:
            self._selection = self._whole(self._facts)

    @staticmethod
    def _whole(facts: Facts) -> Selection:
        return Selection(range(facts.frames), 0.0, facts.duration)


def _restore(
    kind: type[AsyncVideo], key: tuple[Any, ...], selection: Selection | None, facts: Facts | None
) -> AsyncVideo:
    return kind(AsyncSource.find(key), selection, facts)


def _fill(index: FrameIndex, run: Run, segments: list[Any], place: Callable[[int, Pixels], None]) -> None:
    from dreamlake.media.decode import decode_run

    for number, picture in decode_run(index, run, segments):
        place(number, picture)


def _keep(pictures: dict[int, Pixels], number: int, picture: Pixels) -> None:
    pictures[number] = picture.copy()  # the decoder's own memory is only lent


def _decode_ahead(index: FrameIndex, run: Run, segments: list[Any], size: int) -> Stream[list[Pixels]]:
    """The pictures of a run, ``size`` at a time; its decoder goes on while the consumer has the batch before."""
    from dreamlake.media.decode import decode_run

    pictures = decode_run(index, run, segments)

    async def take(_: int) -> list[Pixels]:
        return await offload(lambda: [picture.copy() for _, picture in islice(pictures, size)])

    return map_ordered(take, range(-(-len(run.frames) // size)), 1)


def _short(seconds: float) -> str:
    """At most six digits behind the point, at least one: 60.0, 33.333333."""
    text = f"{seconds:.6f}".rstrip("0")
    return text + "0" if text.endswith(".") else text
