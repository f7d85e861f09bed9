"""VideoArray: clips of one or many videos as one array, lazy until pixels are asked for (seed 1, "Chunking")."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dreamlake._async._runtime import map_ordered, map_unordered
from dreamlake._async.reading import Frames, pixels_of
from dreamlake._async.video import AsyncVideo
from dreamlake.core.notebook import card
from dreamlake.core.pixels import check_batch_size, check_layout, pixel_format
from dreamlake.core.selection import positions_of
from dreamlake.errors import FrameIndexError, UsageError
from dreamlake.media.tensors import as_array, to_tensor

if TYPE_CHECKING:
    import torch

__all__ = ["AsyncVideoArray"]

Pixels = NDArray[Any]

LOADS = 8
BATCHES_AHEAD = 2
PREVIEWS = 6
NAMED = 4  # lengths or sizes in a message


class AsyncVideoArray:
    """Clips, in order, of one or many videos.

    The first index chooses clips, the second frames or times of each: ``clips[:, 0]`` are the first frames of all.

    Args:
        clips: videos, clips of them, or arrays of clips, which are strung together.

    Example:
        >>> clips = video.chunk(0.200)
        >>> first = await clips[:, 0].tensor()
    """

    __slots__ = ("_clips",)

    def __init__(self, clips: Iterable[Any]) -> None:
        strung: list[AsyncVideo] = []
        for clip in clips:
            if not isinstance(clip, AsyncVideo | AsyncVideoArray):
                raise UsageError(f"an array of clips is made of videos, not of {type(clip).__name__}")
            strung += [clip] if isinstance(clip, AsyncVideo) else clip._clips
        self._clips: tuple[AsyncVideo, ...] = tuple(strung)

    # -- what is known without I/O -----------------------------------------------------------------------------------

    @property
    def frames(self) -> NDArray[np.int64]:
        """(B,) how many frames each clip has."""
        return np.array([clip.frames for clip in self._clips], np.int64)

    @property
    def st(self) -> NDArray[np.float64]:
        """(B,) seconds of its video at which each clip begins."""
        return np.array([clip.st for clip in self._clips], np.float64)

    @property
    def et(self) -> NDArray[np.float64]:
        """(B,) seconds of its video at which each clip ends."""
        return np.array([clip.et for clip in self._clips], np.float64)

    def __len__(self) -> int:
        return len(self._clips)

    def __iter__(self) -> Iterator[AsyncVideo]:
        return iter(self._clips)

    @overload
    def __getitem__(self, key: int) -> AsyncVideo: ...
    @overload
    def __getitem__(self, key: tuple[int, Any]) -> AsyncVideo: ...
    @overload
    def __getitem__(self, key: Any) -> AsyncVideoArray: ...
    def __getitem__(self, key: Any) -> Any:
        """One clip (int), several (slice, list, mask), and of each what a second index says.

        Args:
            key: ``clips[3]``, ``clips[2:5]``, ``clips[[0, 4]]``, ``clips[mask]``; with a second index, which is that of
                a Video: ``clips[:, 0]``, ``clips[:, -1]``, ``clips[:, ::2]``, ``clips[2:5, 0.0:1.5]``.

        Returns:
            A Video where the first index is an int, otherwise a VideoArray.

        Raises:
            FrameIndexError: a clip, or a frame of a clip, that is not there.
            UsageError: what is no index.
        """
        if isinstance(key, tuple):
            if len(key) != 2:
                raise UsageError(f"clips have two axes, clips and frames, and {len(key)} indexes were given")
            positions = positions_of(key[0], len(self), "clip")
            if isinstance(positions, int):
                return self._inside(positions, key[1])
            return AsyncVideoArray([self._inside(position, key[1]) for position in positions])
        positions = positions_of(key, len(self), "clip")
        if isinstance(positions, int):
            return self._clips[positions]
        return AsyncVideoArray([self._clips[position] for position in positions])

    def __getitems__(self, positions: list[int]) -> AsyncVideoArray:
        """The clips of a batch: a torch DataLoader asks for them so, and gives them to its ``collate_fn``."""
        return AsyncVideoArray([self._clips[position] for position in positions])

    def __add__(self, other: object) -> AsyncVideoArray:
        if not isinstance(other, AsyncVideo | AsyncVideoArray):
            return NotImplemented
        return AsyncVideoArray([self, other])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AsyncVideoArray):
            return NotImplemented
        return self._clips == other._clips

    def __hash__(self) -> int:
        return hash(self._clips)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self._clips),)

    def __repr__(self) -> str:
        if not self._clips:
            return f"{type(self).__name__}(no clips)"
        videos = len({clip._source.key for clip in self._clips})
        clips = ("1 clip" if len(self) == 1 else f"{len(self)} clips") + (f" of {videos} videos" if videos > 1 else "")
        if any(clip._selection is None for clip in self._clips):
            return f"{type(self).__name__}({clips}, not loaded)"
        low, high = int(self.frames.min()), int(self.frames.max())
        each = f"{low} to {high} frames" if low < high else "1 frame" if low == 1 else f"{low} frames"
        return f"{type(self).__name__}({clips}, {each} each)"

    def _repr_html_(self) -> str:
        """The first clips' thumbnails, for notebooks."""
        previews: list[bytes] = []
        for clip in self._clips[:PREVIEWS]:
            preview = clip._preview("JPEG")
            if preview is None and (clip._selection is None or len(clip._selection)):
                break  # a lake that does not answer is not waited for once more for every clip
            previews += [preview] if preview else []
        facts = {str(number): repr(clip) for number, clip in enumerate(self._clips[:PREVIEWS])}
        if len(self) > PREVIEWS:
            facts["…"] = f"{len(self) - PREVIEWS} more"
        return card(repr(self), previews, facts)

    # -- pixels ------------------------------------------------------------------------------------------------------

    async def load(self) -> AsyncVideoArray:
        """Get the frame indexes of all videos. Only clips that come from another process need it."""
        clips = {clip._source: clip for clip in self._clips if clip._source.index is None}.values()
        async with aclosing(map_unordered(_load, clips, LOADS)) as loaded:
            async for _ in loaded:
                pass
        for clip in self._clips:
            clip._settle()
        return self

    async def numpy(
        self,
        *,
        keepdims: bool = False,
        layout: str = "NHWC",
        pad: str | None = None,
        size: Sequence[int] | None = None,
        dtype: DTypeLike | None = None,
        out: Pixels | None = None,
    ) -> Pixels:
        """All clips as one array: planned as a whole, each segment fetched once, each frame decoded once.

        Args:
            keepdims: keep the axis of the frames where every clip has only one.
            layout: ``"NHWC"``, or ``"NCHW"`` for channels first.
            pad: what clips that are shorter than the longest end with: ``"last"`` repeats their last frame,
                ``"zero"`` is black. None: clips of different lengths are an error.
            size: height and width in pixels that frames are scaled to; videos of different sizes need it.
            dtype: ``uint8``; ``uint16``, in which videos of 10 and more bits keep them, scaled to 0 … 65535;
                ``float16`` or ``float32``, which are these integers divided, from 0 to 1.
            out: an array of the right shape and type to write to, instead of a new one.

        Returns:
            (B, H, W, 3) RGB for clips of one frame, otherwise (B, T, H, W, 3), as in seed 1.

        Raises:
            UsageError: clips of different lengths or sizes, no clips at all, or ``out`` does not fit.
            MediaError: a frame could not be decoded.
            IntegrityError: stored bytes are not what they were.
            LakeUnreachableError: a lake does not answer.
        """
        order = check_layout(layout) or "NHWC"
        form = pixel_format(size, getattr(out, "dtype", np.uint8) if dtype is None else dtype)
        await self.load()
        if not self._clips:
            raise UsageError("there are no clips, so there is no shape to give them")
        length = self._length(pad)
        wanted = [Frames(clip._source, _padded(clip, length, pad)) for clip in self._clips]
        lead = (len(self), length) if keepdims or length != 1 else (len(self),)
        return await pixels_of(wanted, lead, form.size or self._size(), form, order, out)

    async def tensor(
        self,
        *,
        keepdims: bool = False,
        layout: str = "NHWC",
        pad: str | None = None,
        size: Sequence[int] | None = None,
        dtype: Any = None,
        device: Any = None,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """All clips as one torch tensor.

        Args:
            keepdims: as for ``numpy``.
            layout: as for ``numpy``.
            pad: as for ``numpy``.
            size: as for ``numpy``.
            dtype: as for ``numpy``; torch's types as well.
            device: to move the result to, such as ``"cuda"``.
            out: a tensor in main memory to write to, instead of a new one.

        Returns:
            (B, H, W, 3) uint8 RGB for clips of one frame, otherwise (B, T, H, W, 3), as in seed 1.

        Raises:
            MissingExtraError: torch is not installed. Otherwise as ``numpy``.

        Example:
            >>> (await video[1.2:2.4].chunk(0.200).tensor()).shape
            torch.Size([6, 240, 360, 3])
        """
        pixels = await self.numpy(keepdims=keepdims, layout=layout, pad=pad, size=size, dtype=dtype, out=as_array(out))
        return to_tensor(pixels, device, out)

    async def iterator(
        self,
        batch_size: int | None = None,
        *,
        keepdims: bool = False,
        layout: str = "NHWC",
        pad: str | None = None,
        size: Sequence[int] | None = None,
        dtype: DTypeLike = np.uint8,
    ) -> AsyncIterator[Pixels]:
        """The clips one after the other, or in batches, fetched and decoded ahead, in bounded memory.

        Args:
            batch_size: how many clips at a time; None for single ones.
            keepdims: as for ``numpy``.
            layout: as for ``numpy``.
            pad: as for ``numpy``; to the longest clip of a batch.
            size: as for ``numpy``.
            dtype: as for ``numpy``.

        Yields:
            Batches as ``numpy`` gives them, of which the last may hold fewer; single clips as ``Video.numpy``.

        Raises:
            As ``numpy``.
        """
        check_batch_size(batch_size)
        read: Callable[[int], Any]

        async def read_clip(at: int) -> Pixels:
            return await self._clips[at].numpy(keepdims=keepdims, layout=layout, size=size, dtype=dtype)

        async def read_batch(at: int) -> Pixels:
            batch = AsyncVideoArray(self._clips[at : at + (batch_size or 1)])
            return await batch.numpy(keepdims=keepdims, layout=layout, pad=pad, size=size, dtype=dtype)

        read = read_clip if batch_size is None else read_batch
        batches = map_ordered(read, range(0, len(self), batch_size or 1), BATCHES_AHEAD)
        async with aclosing(batches) as ahead:
            async for batch in ahead:
                yield batch

    # -- how -----------------------------------------------------------------------------------------------------------

    def _inside(self, position: int, key: Any) -> AsyncVideo:
        try:
            return self._clips[position][key]
        except FrameIndexError as error:
            raise FrameIndexError(f"clip {position}: {error}") from None

    def _length(self, pad: str | None) -> int:
        """How many frames each clip has in the result."""
        if pad not in (None, "last", "zero"):
            raise UsageError(f'pad is "last" or "zero", not {pad!r}')
        lengths = self.frames
        longest = int(lengths.max())
        if pad is None and bool((lengths != longest).any()):
            raise UsageError(
                f"clips of different lengths make no array: {_named(lengths.tolist(), 'frames')}; "
                'pad="last" or pad="zero" fills them up'
            )
        if pad == "last" and longest and not lengths.all():
            raise UsageError(f"clip {int(lengths.argmin())} has no frame to repeat")
        return longest

    def _size(self) -> tuple[int, int]:
        """Height and width that all clips share."""
        sizes = [clip._known().size for clip in self._clips]
        if len(set(sizes)) > 1:
            named = _named([f"{height}x{width}" for height, width in sizes], "(height x width)")
            raise UsageError(f"clips of different sizes make no array: {named}; size=(height, width) scales them")
        return sizes[0]


async def _load(clip: AsyncVideo) -> None:
    await clip.load()


def _padded(clip: AsyncVideo, length: int, pad: str | None) -> NDArray[np.int64]:
    numbers = clip._selected().numbers
    missing = length - len(numbers)
    if not missing:
        return numbers
    return np.append(numbers, np.full(missing, numbers[-1] if pad == "last" else -1))


def _named(values: Sequence[Any], unit: str) -> str:
    """Which clips have which value: "clip 0 has 6 frames, clip 7 has 3 frames"."""
    first: dict[Any, int] = {}
    for number, value in enumerate(values):
        first.setdefault(value, number)
    named = [f"clip {number} has {value} {unit}" for value, number in list(first.items())[:NAMED]]
    return ", ".join(named) + (", …" if len(first) > NAMED else "")
