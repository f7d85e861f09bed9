"""From stored packets to samples: exactly those that decoding the whole recording gives at that place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext, Flags2
from av.packet import Packet
from numpy.typing import DTypeLike, NDArray

from dreamlake.core.sampleindex import SampleIndex, SoundRun, SoundType
from dreamlake.errors import DreamlakeError, IntegrityError, MediaError
from dreamlake.media.container import media_errors

__all__ = ["PCM", "PacketDecoder", "StoredSound", "converted", "decode_run", "joined", "samples_of"]

Samples = NDArray[Any]

# Stored PCM is little-endian.
PCM: dict[SoundType, str] = {"int16": "pcm_s16le", "int32": "pcm_s32le", "float32": "pcm_f32le", "float64": "pcm_f64le"}
_LITTLE = {"int16": "<i2", "int32": "<i4", "float32": "<f4", "float64": "<f8"}
_TYPES = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}  # FFmpeg's names
_DECODERS = {"mp3": "mp3float"}  # where FFmpeg's first choice is not called like the codec


@dataclass(frozen=True)
class StoredSound:
    """The bytes of a stored segment."""

    data: bytes

    @property
    def nbytes(self) -> int:
        """Of memory."""
        return len(self.data)


class PacketDecoder:
    """A decoder that is fed packets, and gives all that comes out, trimmed by nobody.

    Args:
        codec: of the packets.
        extradata: that the decoder needs before the first.
        dtype: of a sample.
        channels: how many.
        sample_rate: Hz.
        layout: of the channels.
    """

    def __init__(
        self, codec: str, extradata: bytes, dtype: SoundType, channels: int, sample_rate: int, layout: str
    ) -> None:
        self._dtype, self._channels = dtype, channels
        self._context: AudioCodecContext | None = None
        if not codec.startswith("pcm_"):
            context = cast("AudioCodecContext", CodecContext.create(_DECODERS.get(codec, codec), "r"))
            context.sample_rate = sample_rate
            context.layout = layout
            if extradata:
                context.extradata = extradata
            # What is to be left out of a recording is left out by its index.
            context.flags2 |= Flags2.skip_manual
            self._context = context

    def feed(self, data: bytes | memoryview | None) -> Samples:
        """(N, C) the samples that come out when a packet goes in; with None, all that are left.

        Raises:
            MediaError: the packet is damaged.
        """
        if self._context is None:
            return np.frombuffer(data or b"", _LITTLE[self._dtype]).reshape(-1, self._channels)
        packet: Packet[Any] | None = None
        if data is not None:
            # A packet made of bytes borrows them, and decoders read on into the zeros that have to follow a packet.
            packet = Packet(len(data))
            packet.update(bytes(data))
        with media_errors("segment"):
            frames = self._context.decode(packet)
        found = [samples_of(frame) for frame in frames]
        if any(piece.shape[1] != self._channels for piece in found):
            raise MediaError(f"its sound has not {self._channels} channels all the time")
        return joined(found, self._dtype, self._channels)


def joined(pieces: list[Samples], dtype: SoundType, channels: int) -> Samples:
    """(N, C) several pieces as one."""
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate(pieces) if pieces else np.zeros((0, channels), dtype)


def samples_of(frame: AudioFrame) -> Samples:
    """(N, C) what is in a decoded frame; integers fill 16 or 32 bits.

    Raises:
        MediaError: samples of a type that is not read.
    """
    form = frame.format.name
    dtype = _TYPES.get(form.rstrip("p"))
    if dtype is None:
        raise MediaError(f"sound of the type {form} is not read")
    channels, count = frame.layout.nb_channels, frame.samples
    if frame.format.is_planar:
        # PyAV's own to_ndarray takes what lies behind the planes for more of them where there are more than 8.
        found = np.empty((count, channels), dtype)
        for channel, plane in enumerate(frame.planes[:channels]):
            found[:, channel] = np.frombuffer(cast("Any", plane), dtype, count)
    else:
        found = np.frombuffer(cast("Any", frame.planes[0]), dtype, count * channels).reshape(-1, channels).copy()
    return (found.astype(np.int16) - 128) << 8 if form.startswith("u8") else found


def decode_run(index: SampleIndex, run: SoundRun, chunks: Mapping[int, StoredSound], start: int, out: Samples) -> None:
    """Decode one run, and write the samples to their places.

    Args:
        index: of the recording.
        run: what to decode.
        chunks: the segments ``run.segments``, by number.
        start: the number of the sample that comes first in ``out``.
        out: (N, C) of the recording's own type, or one that ``converted`` gives.

    Raises:
        IntegrityError: other samples come out than the index says.
    """
    header = index.header
    decoder = PacketDecoder(
        header.stored, header.extradata, header.dtype, header.channels, header.sample_rate, header.layout
    )
    last_of_all = len(index.packet_bytes) - 1
    rows = slice(run.entry, run.stop)
    ats, sizes = index.packet_at[rows].tolist(), index.packet_bytes[rows].tolist()
    begins, counts = index.packet_start[rows].tolist(), index.packet_samples[rows].tolist()
    skips = index.packet_skip[rows].tolist()
    segment = run.segments[0]
    chunk = memoryview(chunks[segment].data)
    for number, at, size, begin, count, skip in zip(
        range(run.entry, run.stop), ats, sizes, begins, counts, skips, strict=True
    ):
        while number >= index.segment_packet[segment + 1]:
            segment += 1
            chunk = memoryview(chunks[segment].data)
        try:
            found = decoder.feed(chunk[at : at + size])
            if number == last_of_all:
                found = np.concatenate([found, decoder.feed(None)])
        except DreamlakeError as error:
            if number < run.first or not count:
                continue  # of a packet that is damaged in the original as well nothing is wanted
            raise IntegrityError(f"packet {number} cannot be decoded: {error}") from error
        if number < run.first:
            continue
        found = found[skip : skip + count]
        if len(found) != count:
            raise IntegrityError(f"packet {number} gives {len(found)} samples where the index says {count}")
        low, high = max(begin, start), min(begin + count, start + len(out))
        if low < high:
            store(found[low - begin : high - begin], out[low - start : high - start])


def store(samples: Samples, target: Samples) -> None:
    """Write samples into an array of another type, as ``converted`` does."""
    if samples.dtype.kind == "i" and target.dtype.kind == "f":
        # Powers of two: nothing is rounded but what the type cannot hold.
        np.multiply(samples, 2.0 ** (1 - 8 * samples.itemsize), out=target, dtype=target.dtype)
    else:
        target[:] = converted(samples, target.dtype)


def converted(samples: Samples, dtype: DTypeLike) -> Samples:
    """Samples in another type: full scale stays full scale, which is 1.0 in floats.

    What does not fit into fewer bits is cut off from integers, and rounded and clipped from floats.
    """
    wanted = np.dtype(dtype)
    if samples.dtype == wanted:
        return samples
    if samples.dtype.kind == "f":
        if wanted.kind == "f":
            return samples.astype(wanted)
        scale = 2.0 ** (8 * wanted.itemsize - 1)
        scaled = np.rint(np.nan_to_num(samples.astype(np.float64), posinf=1.0, neginf=-1.0) * scale)
        return np.clip(scaled, -scale, scale - 1).astype(wanted)
    if wanted.kind == "f":
        target = np.empty(samples.shape, wanted)
        store(samples, target)
        return target
    shift = 8 * (wanted.itemsize - samples.itemsize)
    return samples.astype(wanted) << shift if shift > 0 else (samples >> -shift).astype(wanted)
