"""Video: a source and a selection of its frames, lazy until pixels are asked for (seed 1, "Video")."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dreamlake._async._runtime import async_property, demand
from dreamlake._async.clip import AsyncClip
from dreamlake._async.preview import preview
from dreamlake._async.reading import Frames, pixels_of, stream
from dreamlake._async.sources import AsyncSource, Facts
from dreamlake.core.frameindex import FrameIndex
from dreamlake.core.notebook import card, short, short_uri
from dreamlake.core.pixels import arrange, check_batch_size, check_layout, pixel_format
from dreamlake.core.selection import Selection
from dreamlake.core.windows import on_clip
from dreamlake.errors import FrameIndexError, MediaError
from dreamlake.media.tensors import as_array, to_tensor

if TYPE_CHECKING:
    import PIL.Image
    import torch

    from dreamlake._async.audio import AsyncAudio
    from dreamlake._async.track import AsyncTrack
    from dreamlake._async.videoarray import AsyncVideoArray

__all__ = ["AsyncVideo"]

Pixels = NDArray[Any]

BATCH_BYTES = 12 * 1024**2


class AsyncVideo(AsyncClip[AsyncSource, Selection, Facts]):
    """A video, or a clip of one. Both have the same interface; nothing is fetched before it is needed.

    Indexing gives a Video again: ``int`` is a frame, ``float`` is seconds, both relative to the clip in hand.

    Example:
        >>> video = await adl.load_video("v-BV1bW411n7fY9x01")
        >>> clip = video[10.0:20.0]
        >>> first = await clip[0].image
    """

    NOT_LOADED = "this video is not loaded yet: `await video.load()` first"

    __slots__ = ()

    # -- what is known without I/O -----------------------------------------------------------------------------------

    @property
    def fps(self) -> float:
        """Frames per second of the video, on average; a clip that leaves out frames keeps it."""
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

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """(N,) when each frame begins, in seconds of the whole video, as ``st``."""
        return self._index().timeline.times[self._selected().numbers]

    @property
    def keyframes(self) -> NDArray[np.int64]:
        """(K,) which frames of this clip are key frames, for ``clip[clip.keyframes]``."""
        return np.flatnonzero(self._index().is_key[self._selected().numbers])

    @property
    def has_audio(self) -> bool:
        """Whether the video has sound."""
        return self._index().header.has_audio

    @property
    def audio(self) -> AsyncAudio:
        """The sound from ``st`` to ``et``, lazily: silence where a video has sound for a part of its time alone.

        Raises:
            MediaError: the video has none.
        """
        from dreamlake._async.audio import AsyncAudio

        if not self.has_audio:
            raise MediaError(f"{self.uri}: has no sound")
        return AsyncAudio(self._source.sound(), (self.st, self.et))

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, key: Any) -> AsyncVideo:
        """A frame (int), the frame on display at a time (float), a slice or a list of either; always a lazy Video.

        Args:
            key: relative to this clip. Slices may have a step: ``video[::10]`` is every tenth frame,
                ``video[0.0:60.0:0.5]`` what is on display every half second. One boolean for each frame works too.

        Raises:
            FrameIndexError: outside of the clip. Slices are clamped instead.
            UsageError: not a number, or seconds and frames in one key.
        """
        selection = self._selected()
        return self._with(selection.select(self._index().timeline, key))

    def played_at(self, seconds: Any) -> AsyncVideo:
        """The frame on display at a time; ints are seconds here too.

        Args:
            seconds: a number, or a list or array of them, relative to this clip.

        Raises:
            FrameIndexError: outside of the clip.
            UsageError: not a finite number.

        Example:
            >>> video.played_at(2) == video[2.0]
            True
        """
        return self._with(self._selected().on_display(self._index().timeline, seconds))

    def chunk(self, seconds: float, *, by_iframe: bool = False) -> AsyncVideoArray:
        """Split the clip into chunks that hold every frame once.

        Args:
            seconds: length of a chunk; the last one may be shorter.
            by_iframe: move each cut to the nearest key frame, so that no chunk needs another's frames to decode.

        Returns:
            The chunks. One in which no frame would begin is left out, and the one before it lasts until the next.

        Raises:
            UsageError: not a positive number.

        Example:
            >>> chunks = video[1.2:2.4].chunk(0.200)
        """
        from dreamlake._async.videoarray import AsyncVideoArray

        selection, timeline = self._selected(), self._index().timeline
        if by_iframe:
            chunks = selection.key_chunks(timeline, seconds, self.keyframes)
        else:
            chunks = selection.chunks(timeline, seconds)
        return AsyncVideoArray([self._with(chunk) for chunk in chunks])

    def __iter__(self) -> Iterator[AsyncVideo]:
        """Every frame as a lazy Video; ``iterator()`` gives pixels, and reads ahead."""
        return (self[number] for number in range(len(self)))

    # -- how it shows itself -----------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        name, uri = type(self).__name__, short_uri(self.uri)
        if self._facts is None or self._selection is None:
            return f'{name}("{uri}", not loaded)'
        if self._selection == Selection.whole(self._facts.frames, self._facts.duration):
            size = f"{self.width}x{self.height}"
            return f'{name}("{uri}", fps={short(self.fps)}, duration={short(self.duration)}, {size})'
        count = "" if self._selection.contiguous else f", frames={self.frames}"
        st, et, duration = short(self.st), short(self.et), short(self.duration)
        return f'{name}("{uri}", st={st}, et={et}, duration={duration}{count})'

    def _repr_html_(self) -> str:
        """The thumbnail and the facts, for notebooks; the async API shows the facts alone."""
        facts = {"id": self.id or "none: a file outside of a lake", "uri": self.uri}
        if self._facts is not None:
            facts["time"] = f"{short(self.st)} s to {short(self.et)} s, {short(self.duration)} s"
            facts["frames"] = f"{self.frames} of {self._facts.frames}, {short(self.fps)} a second"
            facts["size"] = f"{self.width}x{self.height} pixels"
        picture = self._preview("JPEG")
        return card(repr(self), [picture] if picture else [], facts)

    def _repr_png_(self) -> bytes | None:
        """The thumbnail, for notebooks that show pictures and no HTML."""
        return self._preview("PNG")

    def _preview(self, form: str) -> bytes | None:
        return preview(lambda: self.thumbnail, form)

    # -- pixels ------------------------------------------------------------------------------------------------------

    @async_property
    async def image(self) -> PIL.Image.Image:
        """The first frame as a PIL image."""
        return await self._picture(0)

    @async_property
    async def thumbnail(self) -> PIL.Image.Image:
        """The middle frame as a PIL image."""
        await self.load()
        return await self._picture(len(self) // 2)

    async def numpy(
        self,
        *,
        keepdims: bool = False,
        layout: str = "NHWC",
        size: Sequence[int] | None = None,
        dtype: DTypeLike | None = None,
        out: Pixels | None = None,
    ) -> Pixels:
        """All frames as an array.

        Args:
            keepdims: keep the first axis for a single frame too.
            layout: ``"NHWC"``, or ``"NCHW"`` for channels first.
            size: height and width in pixels that frames are scaled to while they are converted.
            dtype: ``uint8``; ``uint16``, in which videos of 10 and more bits keep them, scaled to 0 … 65535;
                ``float16`` or ``float32``, which are these integers divided, from 0 to 1.
            out: an array of the right shape and type to write to, instead of a new one.

        Returns:
            (N, H, W, 3) RGB, or (H, W, 3) for a single frame.

        Raises:
            MediaError: a frame could not be decoded.
            IntegrityError: stored bytes are not what they were.
            LakeUnreachableError: the lake does not answer.
            UsageError: an argument that makes no sense, or ``out`` does not fit.

        Example:
            >>> (await video[10.0:20.0].numpy(size=(224, 224))).shape
            (300, 224, 224, 3)
        """
        order = check_layout(layout) or "NHWC"
        form = pixel_format(size, getattr(out, "dtype", np.uint8) if dtype is None else dtype)
        await self.load()
        numbers = self._selected().numbers
        lead = (len(numbers),) if keepdims or len(numbers) != 1 else ()
        size = form.size or self._known().size
        return await pixels_of([Frames(self._source, numbers)], lead, size, form, order, out)

    async def tensor(
        self,
        *,
        keepdims: bool = False,
        layout: str | None = None,
        size: Sequence[int] | None = None,
        dtype: Any = None,
        device: Any = None,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """All frames as a torch tensor.

        Args:
            keepdims: (N, C, H, W) for a single frame too.
            layout: ``"NCHW"`` or ``"NHWC"``, with or without N; None for the shapes of seed 1.
            size: height and width in pixels that frames are scaled to while they are converted.
            dtype: as for ``numpy``; torch's types as well.
            device: to move the result to, such as ``"cuda"``.
            out: a tensor in main memory to write to, instead of a new one.

        Returns:
            (N, C, H, W) uint8 RGB, or (H, W, C) for a single frame, as in seed 1.

        Raises:
            MissingExtraError: torch is not installed. Otherwise as ``numpy``.
        """
        await self.load()
        order = check_layout(layout) or ("NCHW" if keepdims or self.frames != 1 else "NHWC")
        pixels = await self.numpy(keepdims=keepdims, layout=order, size=size, dtype=dtype, out=as_array(out))
        return to_tensor(pixels, device, out)

    async def iterator(
        self,
        batch_size: int | None = None,
        *,
        layout: str = "NHWC",
        size: Sequence[int] | None = None,
        dtype: DTypeLike = np.uint8,
    ) -> AsyncIterator[Pixels]:
        """The frames one after the other, fetched and decoded ahead, in bounded memory.

        Args:
            batch_size: how many frames at a time; None for single ones.
            layout: as for ``numpy``.
            size: as for ``numpy``.
            dtype: as for ``numpy``.

        Yields:
            (H, W, 3) RGB, or (batch_size, H, W, 3), of which the last may hold fewer.

        Raises:
            As ``numpy``.

        Example:
            >>> async for frame in video.iterator():
            ...     show(frame)
        """
        order = check_layout(layout) or "NHWC"
        form = pixel_format(size, dtype)
        check_batch_size(batch_size)
        await self.load()
        height, width = form.size or self._known().size
        most = batch_size or max(1, min(64, BATCH_BYTES // (width * height * 3 * np.dtype(form.dtype).itemsize)))
        frames = Frames(self._source, self._selected().numbers)
        rest: list[Pixels] = []
        async with aclosing(stream(frames, form, most)) as pieces:
            async for piece in pieces:
                if batch_size is None:
                    for picture in piece:
                        yield arrange(picture, order)
                    continue
                rest += piece  # the pieces end with the segments, the batches do not
                if len(rest) >= batch_size:
                    batch, rest = rest[:batch_size], rest[batch_size:]
                    yield arrange(np.stack(batch), order)
        if rest:
            yield arrange(np.stack(rest), order)

    # -- what lies on it ---------------------------------------------------------------------------------------------

    async def labels(self, track: AsyncTrack) -> list[dict[str, Any]]:
        """What a track says of this clip, in the clip's own times and frames.

        Args:
            track: of the same recording.

        Returns:
            The entries that hold during the clip: ``ts`` in seconds from its beginning, below zero where an entry began
            before; ``fs`` and ``fe`` as frames of the clip.

        Example:
            >>> [entry["label"] for entry in await video[10.0:20.0].labels(track)]
        """
        selected = self._selected()
        numbers = np.sort(selected.numbers)
        return [on_clip(entry, selected.st, numbers) for entry in await track.at(self).to_list()]

    async def captions(self, track: AsyncTrack) -> list[dict[str, Any]]:
        """The same of a text track."""
        return await self.labels(track)

    def _span(self) -> dict[str, Any]:
        """The times and the frames of this clip, as an entry of a track has them."""
        selected = self._selected()
        if not len(selected):
            raise FrameIndexError("an empty clip is the source of nothing")
        numbers = selected.numbers
        return {"st": selected.st, "et": selected.et, "sf": int(numbers.min()), "ef": int(numbers.max())}

    # -- how -----------------------------------------------------------------------------------------------------------

    async def _picture(self, number: int) -> PIL.Image.Image:
        import PIL.Image

        await self.load()
        if not len(self):
            raise FrameIndexError("an empty clip has no picture")
        return PIL.Image.fromarray(await self[number].numpy())

    def _with(self, selection: Selection) -> AsyncVideo:
        return self if selection is self._selection else AsyncVideo(self._source, selection, self._facts)

    def _selected(self) -> Selection:
        self._known()
        assert self._selection is not None
        return self._selection

    def _index(self) -> FrameIndex:
        if self._source.index is None:
            demand(self._source.load, "this clip comes from another process: `await clip.load()` before you slice it")
            self._settle()
        return self._source.loaded()

    def _select(self, facts: Facts) -> None:
        if self._selection is None:
            self._selection = Selection.whole(facts.frames, facts.duration)
