"""From frame numbers to pixels: what is wanted is planned as a whole, over any number of videos.

Each segment is fetched once and each frame decoded once. Segments are fetched ahead and decoded side by side, and every
picture is written straight to its places in one array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamlake._async._runtime import Stream, gather, map_ordered, map_unordered, offload
from dreamlake._async.sources import AsyncSource
from dreamlake.core.decodeplan import Run, plan_runs
from dreamlake.core.frameindex import FrameIndex
from dreamlake.core.pixels import Layout, PixelFormat, arrange, spread
from dreamlake.errors import MediaError, UsageError
from dreamlake.media.cores import cores, slot

__all__ = ["Frames", "pixels_of", "stream"]

Pixels = NDArray[Any]
Ints = NDArray[np.int64]

SEGMENTS_AHEAD = 6
BYTES_AHEAD = 16 * 1024**2
PIECE_BYTES = 96 * 1024**2
FETCHES = 8


@dataclass(frozen=True)
class Frames:
    """Frames of one video, in any order, repeated or not.

    Attributes:
        source: of the video; loaded.
        numbers: (N,) of the frames.
    """

    source: AsyncSource
    numbers: Ints


@dataclass(frozen=True)
class _Job:
    """A run, and the places in the result for each of its frames."""

    source: AsyncSource
    run: Run
    numbers: Ints
    places: Ints


async def pixels_of(
    wanted: Sequence[Frames],
    lead: tuple[int, ...],
    size: tuple[int, int],
    form: PixelFormat,
    layout: Layout,
    out: Pixels | None,
) -> Pixels:
    """The pixels of frames, one after the other.

    Args:
        wanted: the frames.
        lead: the axes in front of the picture's own; as many as there are frames. A negative frame number stands for
            a black picture.
        size: height and width of the pictures, in pixels.
        form: what the pictures are turned into.
        layout: of the result.
        out: an array to write to and return, instead of a new one.

    Returns:
        (\\*lead, H, W, 3), or (\\*lead, 3, H, W).

    Raises:
        UsageError: ``out`` does not fit.
        MediaError: a frame could not be decoded.
        IntegrityError: stored bytes are not what they were.
    """
    numbers = np.concatenate([frames.numbers for frames in wanted])
    jobs = _plan(wanted, numbers)
    if out is not None:
        flat = spread(_checked(out, lead, size, form, layout), layout).reshape(-1, *size, 3)
    elif len(numbers) == len(jobs) == 1:
        # A single picture stays where the scaler put it.
        (picture,) = await _pictures(jobs[0], form)
        return _arranged(picture, lead, layout)
    else:
        flat = np.empty((len(numbers), *size, 3), form.dtype)
        out = _arranged(flat, lead, layout)
    flat[numbers < 0] = 0

    # A few long runs are decoded on all cores each, many runs side by side.
    threads = _threads() if len(jobs) < 2 * cores() else 1

    async def work(job: _Job) -> None:
        segments = await _segments(job.source, job.run)
        await offload(partial(_fill, job, segments, form, threads, flat))

    async with aclosing(map_unordered(work, jobs, max(FETCHES, cores()))) as done:
        async for _ in done:
            pass
    return out


async def stream(frames: Frames, form: PixelFormat, most: int) -> Stream[list[Pixels]]:
    """The pictures of a clip in its order, at most so many at a time, fetched and decoded ahead.

    Args:
        frames: in any order; in increasing order nothing is decoded twice.
        form: what the pictures are turned into.
        most: pictures at a time.
    """
    source, numbers = frames.source, frames.numbers
    if bool((np.diff(numbers) >= 0).all()):
        shown, counts = np.unique(numbers, return_counts=True)
        batches = _forward(source, shown, form, most)
    else:
        # What goes back decodes from a key frame for every piece, so the pieces are large.
        height, width = form.size or source.facts.size
        large = max(most, PIECE_BYTES // (height * width * 3 * np.dtype(form.dtype).itemsize))
        pieces = (Frames(source, numbers[at : at + large]) for at in range(0, len(numbers), large))
        batches, counts = map_ordered(partial(_piece, form=form), pieces, 1), np.ones(len(numbers), np.int64)
    at = 0
    async with aclosing(batches) as opened:
        async for batch in opened:
            times = counts[at : at + len(batch)].tolist()
            at += len(batch)
            repeated = [
                picture.copy() if again else picture  # an array of its own, as every other
                for picture, count in zip(batch, times, strict=True)
                for again in range(count)
            ]
            for begin in range(0, len(repeated), most):
                yield repeated[begin : begin + most]


async def _forward(source: AsyncSource, numbers: Ints, form: PixelFormat, most: int) -> Stream[list[Pixels]]:
    """Frames in increasing order: segments are fetched ahead, and decoded while the consumer works."""

    async def fetch(run: Run) -> tuple[Run, list[Any]]:
        return run, await _segments(source, run)

    from dreamlake.media import cache

    index = source.loaded()
    runs = plan_runs(index, numbers)
    # Of what does not fit into memory nothing would be there the next time; it would only drive out the rest.
    passing = source.nbytes > cache.segments.max_bytes
    after = [run.segments.start for run in runs[1:]] + [index.segments]
    async with aclosing(map_ordered(fetch, runs, _ahead(index))) as fetched:
        async for run, segments in fetched:
            pictures = _decoded(index, run, segments, form, _threads())
            async with aclosing(_taken(pictures, len(run.frames), most)) as batches:
                async for batch in batches:
                    yield batch
            if passing:
                for number in range(run.segments.start, min(after.pop(0), run.segments.stop)):
                    await source.release(number)


def _taken(pictures: Iterator[Pixels], count: int, most: int) -> Stream[list[Pixels]]:
    """Pictures out of a decoder, so many at a time; it goes on while the consumer has those before."""

    batches = -(-count // most)
    failed: list[MediaError] = []

    def taken(batch: int) -> list[Pixels]:
        if failed:
            raise failed[0]
        found: list[Pixels] = []
        try:
            # The last batch empties the decoder, which goes back to the pool then. What came before an error stays.
            found.extend(pictures if batch == batches - 1 else islice(pictures, most))
        except MediaError as error:
            if not found:
                raise
            failed.append(error)  # those before it are whole
        return found

    async def take(batch: int) -> list[Pixels]:
        return await offload(partial(taken, batch))

    return map_ordered(take, range(batches + 1), 1)


def _ahead(index: FrameIndex) -> int:
    """How many segments to fetch ahead: small ones are decoded sooner than they come from far away."""
    largest = int(index.segment_size.max(initial=0)) or BYTES_AHEAD // 4  # not known of a file in place
    return max(2, min(SEGMENTS_AHEAD, BYTES_AHEAD // largest))


async def _piece(frames: Frames, form: PixelFormat) -> list[Pixels]:
    size = form.size or frames.source.facts.size
    return list(await pixels_of([frames], (len(frames.numbers),), size, form, "NHWC", None))


async def _pictures(job: _Job, form: PixelFormat) -> list[Pixels]:
    segments = await _segments(job.source, job.run)
    return await offload(lambda: list(_decoded(job.source.loaded(), job.run, segments, form, _threads())))


async def _segments(source: AsyncSource, run: Run) -> list[Any]:
    if len(run.segments) == 1:
        return [await source.segment(run.segments[0])]
    return await gather(*[partial(source.segment, number) for number in run.segments])


def _plan(wanted: Sequence[Frames], numbers: Ints) -> list[_Job]:
    """The runs that give all frames, each frame once, and where its pictures go."""
    places: dict[AsyncSource, list[Ints]] = {}
    at = 0
    for frames in wanted:
        places.setdefault(frames.source, []).append(np.arange(at, at + len(frames.numbers)))
        at += len(frames.numbers)
    jobs = []
    for source, pieces in places.items():
        mine = np.concatenate(pieces)
        mine = mine[numbers[mine] >= 0]
        mine = mine[np.argsort(numbers[mine], kind="stable")]
        jobs += [_Job(source, run, numbers[mine], mine) for run in plan_runs(source.loaded(), numbers[mine])]
    return jobs


def _decoded(index: FrameIndex, run: Run, segments: list[Any], form: PixelFormat, threads: int) -> Iterator[Pixels]:
    """The pictures of a run in arrays of their own."""
    from dreamlake.media.decode import decode_run
    from dreamlake.media.decoder import stored_as

    return (stored_as(form, pixels) for _, pixels in decode_run(index, run, segments, form, threads))


def _fill(job: _Job, segments: list[Any], form: PixelFormat, threads: int, flat: Pixels) -> None:
    from dreamlake.media.decode import decode_run
    from dreamlake.media.decoder import store

    with slot():
        for number, pixels in decode_run(job.source.loaded(), job.run, segments, form, threads):
            low, high = np.searchsorted(job.numbers, [number, number + 1])
            first, *others = job.places[low:high].tolist()
            store(pixels, flat[first])
            for other in others:
                flat[other] = flat[first]


def _threads() -> int:
    """Of a decoder that has the machine for itself; one more than cores, since one of them always waits."""
    return cores() + 1 if cores() > 1 else 1


def _arranged(flat: Pixels, lead: tuple[int, ...], layout: Layout) -> Pixels:
    result: Pixels = arrange(flat.reshape(*lead, *flat.shape[-3:]), layout)
    return result


def _checked(out: Pixels, lead: tuple[int, ...], size: tuple[int, int], form: PixelFormat, layout: Layout) -> Pixels:
    shape = (*lead, *((*size, 3) if layout == "NHWC" else (3, *size)))
    if not isinstance(out, np.ndarray) or (out.shape, out.dtype.name) != (shape, form.dtype):
        what = f"{out.dtype.name} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise UsageError(f"out has to be an array of {form.dtype} {shape}, not {what}")
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise UsageError("out has to be contiguous and writeable")
    return out
