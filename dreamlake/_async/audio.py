"""Audio: a recording and a range of its samples, lazy until they are asked for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from dreamlake._async._runtime import Stream, demand, offload
from dreamlake._async.clip import AsyncClip
from dreamlake._async.hearing import peaks_of, pieces_of, resampled, samples_in
from dreamlake._async.sound import AsyncSoundSource, SoundFacts
from dreamlake.core.notebook import card, short, short_uri
from dreamlake.core.span import Span, at_time, check_rate, sample_type, whole_number
from dreamlake.errors import DreamlakeError, UsageError
from dreamlake.media.tensors import to_tensor

if TYPE_CHECKING:
    import torch

__all__ = ["AsyncAudio"]

Samples = NDArray[Any]

PREVIEW_SECONDS = 60.0
PREVIEW_PEAKS = 480


class AsyncAudio(AsyncClip[AsyncSoundSource, Span | tuple[float, float], SoundFacts]):
    """A recording, or a clip of one; or the sound of a video. Nothing is fetched before it is needed.

    Indexing gives an Audio again: ``int`` is a sample, ``float`` is seconds, both relative to the clip in hand.

    Example:
        >>> audio = await adl.load("a-BV1bW411n7fY9x01")
        >>> (await audio[1.0:2.5].numpy()).shape
        (72000, 2)
    """

    NOT_LOADED = "this sound is not loaded yet: `await audio.load()` first"

    __slots__ = ()

    # -- what is known without I/O -----------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """``audio``."""
        return "audio"

    @property
    def sample_rate(self) -> int:
        """Samples a second, Hz."""
        return self._known().sample_rate

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return self._known().channels

    @property
    def codec(self) -> str:
        """What the original was coded with, FFmpeg's name, such as ``mp3`` or ``pcm_s16le``."""
        return self._known().codec

    @property
    def st(self) -> float:
        """Seconds of the whole recording, or of the video, at which this clip begins."""
        return self._selected().start / self.sample_rate

    @property
    def et(self) -> float:
        """Seconds of the whole recording, or of the video, at which this clip ends."""
        return self._selected().stop / self.sample_rate

    @property
    def duration(self) -> float:
        """Seconds from st to et."""
        return len(self._selected()) / self.sample_rate

    @property
    def samples(self) -> int:
        """How many samples there are of each channel."""
        return len(self._selected())

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, key: Any) -> AsyncAudio:
        """A sample (int), the sample at a time (float), or a slice of either; always a lazy Audio.

        Args:
            key: relative to this clip. A time is the sample that begins nearest to it. Slices are clamped.

        Raises:
            FrameIndexError: outside of the clip.
            UsageError: not a number, a step, or seconds and samples in one key.
        """
        span = self._selected()
        selected = span.select(key, self.sample_rate)
        return self if selected == span else AsyncAudio(self._source, selected, self._facts)

    # -- how it shows itself -----------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        name, uri = type(self).__name__, short_uri(self.uri)
        if self._facts is None or not isinstance(self._selection, Span):
            return f'{name}("{uri}", not loaded)'
        if self._selection == Span(0, self._facts.samples):
            return (
                f'{name}("{uri}", sample_rate={self.sample_rate}, channels={self.channels}, '
                f"duration={short(self.duration)})"
            )
        return f'{name}("{uri}", st={short(self.st)}, et={short(self.et)}, duration={short(self.duration)})'

    def _repr_html_(self) -> str:
        """A player of the first minute, the waveform and the facts; the async API shows the facts alone."""
        facts = {"id": self.id or "none: a file outside of a lake", "uri": self.uri}
        if self._facts is not None and isinstance(self._selection, Span):
            facts["time"] = f"{short(self.st)} s to {short(self.et)} s, {short(self.duration)} s"
            facts["sound"] = f"{self.channels} channels at {self.sample_rate} Hz, {self.codec}"
        found: list[tuple[bytes, bytes]] = []

        async def fetch() -> None:
            found.append(await self._preview())

        with suppress(DreamlakeError):  # a repr never fails
            demand(fetch, "a repr cannot wait for sound")
        picture, player = found[0] if found else (b"", b"")
        return card(repr(self), [picture] if picture else [], facts, player)

    async def _preview(self) -> tuple[bytes, bytes]:
        """The waveform as a JPEG, and the beginning as an MP3."""
        from dreamlake.media.soundfile import as_mp3, drawn

        await self.load()
        if not self.samples:
            return b"", b""
        picture = await offload(partial(drawn, await self.peaks(PREVIEW_PEAKS)))
        beginning = await self[:PREVIEW_SECONDS].numpy()
        return picture, await offload(partial(as_mp3, beginning, self.sample_rate))

    async def metadata(self) -> Any:
        """What the lake knows of the asset: name, status, sha256, size in bytes, and more by its kind."""
        return await self._source.metadata()

    # -- samples -----------------------------------------------------------------------------------------------------

    async def numpy(
        self, *, rate: int | None = None, dtype: DTypeLike = np.float32, out: Samples | None = None
    ) -> Samples:
        """All samples as an array: the very ones that decoding the original gives there.

        Args:
            rate: Hz that the sound is resampled to; None for its own. A part gives what the same part of the whole
                would.
            dtype: ``float32`` or ``float64`` from -1.0 to 1.0, ``int16`` or ``int32`` from one end of their range to
                the other. Of a 32-bit recording ``int32`` and ``float64`` hold every bit.
            out: an array of the right shape and type to write to, instead of a new one.

        Returns:
            (samples, channels); silence where a video has no sound.

        Raises:
            IntegrityError: stored bytes are not what they were.
            LakeUnreachableError: the lake does not answer.
            UsageError: an argument that makes no sense, or ``out`` does not fit.

        Example:
            >>> (await audio[1.0:2.5].numpy(rate=16_000)).shape
            (24000, 2)
        """
        wanted, form = check_rate(rate), sample_type(getattr(out, "dtype", dtype))
        await self.load()
        span = self._selected()
        if wanted is None or wanted == self.sample_rate:
            if out is not None:
                _check_out(out, (len(span), self.channels), form)
            return await samples_in(self._source, span, form, out)
        async with aclosing(self._pieces(wanted, form)) as found:
            joint: Samples = np.concatenate([piece async for piece in found])
        if out is None:
            return joint
        _check_out(out, joint.shape, form)
        out[:] = joint
        return out

    async def tensor(
        self, *, rate: int | None = None, dtype: Any = np.float32, channels_first: bool = True, device: Any = None
    ) -> torch.Tensor:
        """All samples as a torch tensor.

        Args:
            rate: as for ``numpy``.
            dtype: as for ``numpy``; torch's types as well.
            channels_first: (channels, samples), as torchaudio has it; otherwise as ``numpy``.
            device: to move the result to, such as ``"cuda"``.

        Returns:
            (channels, samples), contiguous; or (samples, channels).

        Raises:
            MissingExtraError: torch is not installed. Otherwise as ``numpy``.
        """
        samples = await self.numpy(rate=rate, dtype=sample_type(dtype))
        return to_tensor(np.ascontiguousarray(samples.T) if channels_first else samples, device, None)

    async def iterator(
        self, block: int | float = 1.0, *, rate: int | None = None, dtype: DTypeLike = np.float32
    ) -> AsyncIterator[Samples]:
        """The samples block by block, fetched and decoded ahead, in bounded memory.

        Args:
            block: how long a block is: samples (int) or seconds (float), after resampling.
            rate: as for ``numpy``.
            dtype: as for ``numpy``.

        Yields:
            (block, channels), of which the last may hold fewer samples.

        Raises:
            As ``numpy``.

        Example:
            >>> async for second in audio.iterator(1.0):
            ...     listen(second)
        """
        wanted, form = check_rate(rate), sample_type(dtype)
        await self.load()
        most = _block(block, wanted or self.sample_rate)
        async with aclosing(_blocks(self._pieces(wanted, form), most)) as blocks:
            async for samples in blocks:
                yield samples

    async def peaks(self, count: int = 1000) -> NDArray[np.float32]:
        """The waveform for display: the least and the greatest sample of so many parts of equal length.

        Of long clips they come out of the index, without decoding; the parts then begin at the nearest peak there.

        Args:
            count: how many parts; a clip with fewer samples has as many.

        Returns:
            (count, channels, 2).

        Raises:
            As ``numpy``.
        """
        parts = whole_number(count, "a number of peaks")
        await self.load()
        return await peaks_of(self._source, self._selected(), parts)

    async def save(
        self, to: str | os.PathLike[str], *, rate: int | None = None, dtype: DTypeLike | None = None
    ) -> Path:
        """Write the clip to a file, sample by sample as it is, in bounded memory.

        Args:
            to: a ``.wav``, or a ``.flac`` for sound that is stored as integers. It is there when all of it is, and
                replaces one that was there.
            rate: Hz; None for its own.
            dtype: of the samples, as for ``numpy``; None for what the recording is decoded to.

        Returns:
            The path of the file.

        Raises:
            UsageError: another extension, or floats for a ``.flac``.
            SourceError: the file cannot be written. Otherwise as ``numpy``.

        Example:
            >>> await audio[10.0:20.0].save("clip.wav")
        """
        from dreamlake.media.soundfile import SoundWriter

        wanted = check_rate(rate)
        form = None if dtype is None else sample_type(dtype)
        await self.load()
        header = self._source.loaded().header
        form = form or header.dtype
        bits = header.bits if form == header.dtype and wanted is None else 32
        make = partial(SoundWriter, to, wanted or header.sample_rate, header.channels, form, bits)
        writer = await offload(make)
        try:
            async with aclosing(self._pieces(wanted, form)) as pieces:
                async for samples in pieces:
                    await offload(partial(writer.write, samples))
            await offload(writer.finish)
        finally:
            await offload(writer.close)
        return writer.path

    # -- how ---------------------------------------------------------------------------------------------------------

    def _pieces(self, rate: int | None, dtype: str) -> Stream[Samples]:
        """The samples of a loaded clip, some at a time."""
        if rate is None or rate == self.sample_rate:
            return pieces_of(self._source, self._selected(), dtype)
        return resampled(self._source, self._selected(), rate, dtype)

    def _selected(self) -> Span:
        if not isinstance(self._selection, Span):
            self._known()
        assert isinstance(self._selection, Span)
        return self._selection

    def _select(self, facts: SoundFacts) -> None:
        if self._selection is None:
            self._selection = Span(0, facts.samples)
        elif not isinstance(self._selection, Span):  # seconds, of a clip of a video, until the sample rate is known
            start, stop = (at_time(seconds, facts.sample_rate) for seconds in self._selection)
            self._selection = Span(start, stop)


def _block(block: int | float, rate: int) -> int:
    if isinstance(block, float | np.floating):
        if not 0 < block * rate < 2**63:
            raise UsageError(f"a block is a number of samples (int) or of seconds (float) above 0, not {block!r}")
        return max(1, at_time(float(block), rate))
    return whole_number(block, "a block")


async def _blocks(pieces: Stream[Samples], most: int) -> Stream[Samples]:
    """The same samples, so many at a time."""
    waiting: list[Samples] = []
    count = 0
    async with aclosing(pieces) as opened:
        async for piece in opened:
            waiting.append(piece)
            count += len(piece)
            if count < most:
                continue
            joint = np.concatenate(waiting)
            whole = count // most * most
            for begin in range(0, whole, most):
                yield joint[begin : begin + most].copy()  # an array of its own, as every other
            waiting, count = [joint[whole:]], count - whole
    if count:
        yield np.concatenate(waiting)


def _check_out(out: Any, shape: tuple[int, ...], form: str) -> None:
    if not isinstance(out, np.ndarray) or (out.shape, out.dtype.name) != (shape, form) or not out.flags.writeable:
        what = f"{out.dtype.name} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise UsageError(f"out has to be a writeable array of {form} {shape}, not {what}")
