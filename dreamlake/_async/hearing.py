"""From sample numbers to samples: segments are fetched ahead and decoded side by side, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamlake._async._runtime import Stream, gather, map_ordered, map_unordered, offload
from dreamlake._async.sound import AsyncSoundSource
from dreamlake.core.sampleindex import SampleIndex, SoundRun
from dreamlake.core.span import Span
from dreamlake.media.cores import cores

__all__ = ["peaks_of", "pieces_of", "resampled", "samples_in"]

Samples = NDArray[Any]

FETCHES = 8
AHEAD = 3  # segments
FEW = 2  # of which one after the other are decoded sooner than side by side
PIECE = 1024**2  # samples, where a video is silent for long


async def samples_in(source: AsyncSoundSource, span: Span, dtype: str, out: Samples | None = None) -> Samples:
    """(N, C) the samples of a span; silence where there is none.

    Args:
        source: of the recording; loaded.
        span: of the samples.
        dtype: of the result.
        out: an array to write to and return, instead of a new one.

    Raises:
        IntegrityError: stored bytes are not what they were.
    """
    index = source.loaded()
    if out is None:
        out = np.zeros((len(span), index.header.channels), dtype)
    else:
        out[:] = 0
    runs = index.runs(span.start, span.stop)
    if len(runs) <= FEW:  # to start threads would take longer
        await _decode(source, runs, span.start, out)
        return out
    target = out

    async def work(run: SoundRun) -> None:
        await _decode(source, [run], span.start, target)

    async with aclosing(map_unordered(work, runs, max(FETCHES, cores()))) as done:
        async for _ in done:
            pass
    return out


async def _decode(source: AsyncSoundSource, runs: Sequence[SoundRun], start: int, out: Samples) -> None:
    numbers = sorted({number for run in runs for number in run.segments})
    if len(numbers) == 1:
        found = [await source.segment(numbers[0])]
    else:
        found = await gather(*[partial(source.segment, number) for number in numbers])
    await offload(partial(_decode_runs, source.loaded(), runs, dict(zip(numbers, found, strict=True)), start, out))


def _decode_runs(
    index: SampleIndex, runs: Sequence[SoundRun], chunks: dict[int, Any], start: int, out: Samples
) -> None:
    from dreamlake.media.sound import decode_run

    for run in runs:
        decode_run(index, run, chunks, start, out)


async def pieces_of(source: AsyncSoundSource, span: Span, dtype: str) -> Stream[Samples]:
    """The samples of a span in order, some seconds at a time, fetched and decoded ahead."""
    from dreamlake.media import cache

    index = source.loaded()
    # Of what does not fit into memory nothing would be there the next time; it would only drive out the rest.
    passing = source.nbytes > cache.segments.max_bytes
    gone = 0

    async def read(part: Span) -> tuple[Span, Samples]:
        return part, await samples_in(source, part, dtype)

    async with aclosing(map_ordered(read, _parts(index, span), AHEAD)) as pieces:
        async for part, piece in pieces:
            yield piece
            if passing:
                # A decoder begins in the segment before: that one stays.
                done = index.segment_of(int(np.searchsorted(index.packet_end, part.stop, side="left"))) - 1
                for number in range(gone, max(gone, done)):
                    await source.release(number)
                gone = max(gone, done)


def _parts(index: SampleIndex, span: Span) -> Iterator[Span]:
    """A span cut where segments begin."""
    begins = index.packet_start[index.segment_packet[:-1]]
    inside = begins[(begins > span.start) & (begins < span.stop)].tolist()
    start = span.start
    for stop in [*inside, span.stop]:
        for at in range(start, stop, PIECE):
            yield Span(at, min(at + PIECE, stop))
        start = max(start, stop)


async def resampled(source: AsyncSoundSource, span: Span, rate: int, dtype: str) -> Stream[Samples]:
    """The same at another sample rate: what the same part of the whole recording would be."""
    from dreamlake.media.resample import Resampling
    from dreamlake.media.sound import converted

    header = source.loaded().header
    resampling = Resampling(header.sample_rate, rate, header.channels)
    lead = resampling.lead(span.start)
    wide = Span(span.start - lead, max(span.stop, min(span.stop + resampling.tail, header.samples)))
    skip, left = resampling.length(lead), resampling.length(len(span))

    async def take(samples: Samples | None) -> Samples:
        nonlocal skip, left
        found = await offload(partial(resampling.take, samples))
        skipped = min(skip, len(found))
        found = found[skipped : skipped + left]
        skip, left = skip - skipped, left - len(found)
        return converted(found, dtype)

    async with aclosing(pieces_of(source, wide, "float32")) as pieces:
        async for piece in pieces:
            yield await take(piece)
    yield await take(None)
    if left:  # the last sample of all lies between two of the original's
        yield np.zeros((left, header.channels), dtype)


async def peaks_of(source: AsyncSoundSource, span: Span, count: int) -> NDArray[np.float32]:
    """(count, C, 2) the least and the greatest sample of each of so many parts of a span."""
    index = source.loaded()
    step, channels = index.header.peak_samples, index.header.channels
    count = min(count, len(span))
    edges = span.start + np.arange(count + 1) * len(span) // max(1, count)
    result = np.zeros((count, channels, 2), np.float32)
    if count and len(span) >= 2 * step * count:
        stored = np.concatenate([index.peaks, np.zeros((1, channels, 2), np.float16)]).astype(np.float32)
        # The nearest of the stored peaks; those beyond either end are silent.
        blocks = np.round((edges - index.span[0]) / step).astype(np.int64)
        first, last = np.clip(blocks[:-1], 0, len(index.peaks)), np.clip(blocks[1:], 0, len(index.peaks))
        for number, (begin, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            part = stored[begin:end] if end > begin else stored[-1:]
            result[number, :, 0], result[number, :, 1] = part[..., 0].min(axis=0), part[..., 1].max(axis=0)
        return result
    result[..., 0], result[..., 1] = np.inf, -np.inf
    at = span.start
    async with aclosing(pieces_of(source, span, "float32")) as pieces:
        async for piece in pieces:
            first_part = int(np.searchsorted(edges, at, side="right")) - 1
            inner = edges[(edges > at) & (edges < at + len(piece))] - at
            begins = np.concatenate([[0], inner]).astype(np.int64)
            here = slice(first_part, first_part + len(begins))
            result[here, :, 0] = np.minimum(result[here, :, 0], np.minimum.reduceat(piece, begins))
            result[here, :, 1] = np.maximum(result[here, :, 1], np.maximum.reduceat(piece, begins))
            at += len(piece)
    return result
