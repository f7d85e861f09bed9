"""Cutting a track into chunks, a window of time each, of files that no memory holds (seed 3, "Pipeline").

Entries may come in any order. They are gathered by window; whenever they take too much memory they go to a scratch
file as a run, sorted by window, and in the end the runs are merged. One file is open for it, however many windows
there are.
"""

from __future__ import annotations

import heapq
import os
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import chain, groupby, pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
import numpy as np

from dreamlake.core.cues import chunk_text
from dreamlake.core.kinds import Kind
from dreamlake.core.playlist import Playlist
from dreamlake.core.trackbatch import Batch
from dreamlake.core.windows import place, window_length
from dreamlake.media.tracks import TrackSummary, read_batched, track_format

__all__ = ["TrackChunk", "TrackSplitter"]

MEMORY = 128 * 1024**2  # bytes of entries that are gathered, or sorted, at once
CHUNK_BYTES = 16 * 1024**2  # a window that holds more is cut into several chunks
PIECE = 1024**2
BLOCK = 256 * 1024  # bytes that are read at once
OVERHEAD = 100  # bytes that a piece takes besides its own
READING = 0.6  # of the work, as far as progress goes
_RECORD = struct.Struct("<iqddbq")  # level, window, first and last time, whether they are in order, bytes
SCATTERED = 0.1  # of the entries of a batch begin a window anew: then they are sorted by windows first
_LEVEL = 1 << 45  # more windows than there are on one level


class Slot(NamedTuple):
    """A window of one of the streams."""

    level: int
    window: int


@dataclass(frozen=True)
class TrackChunk:
    """A finished chunk.

    Attributes:
        path: of its file.
        digest: SHA-256 in hex.
        extension: ``jsonl`` or ``vtt``.
    """

    path: Path
    digest: str
    extension: str


class TrackSplitter:
    """Cuts one file; afterwards ``summary`` and ``playlists`` are complete.

    Args:
        path: of the file.
        kind: a label track or a text track.
        name: of the file.
        folder: an empty one for scratch files and chunks.
        skip_bad: whether what cannot be read is left out and counted.
    """

    def __init__(self, path: Path, kind: Kind, name: str, folder: Path, *, skip_bad: bool = False) -> None:
        self._path = path
        self._kind = kind
        self._name = name
        self._folder = folder
        self._skip_bad = skip_bad
        with path.open("rb") as file:
            self.summary = TrackSummary(track_format(file, name, kind))
        self._cues = self.summary.format in ("vtt", "srt")
        self._done: list[tuple[Slot, str]] = []

    @property
    def extension(self) -> str:
        """Of the chunks: captions stay captions, so that players show them."""
        return "vtt" if self._cues else "jsonl"

    def chunks(self, report: Callable[[float], None]) -> Iterator[TrackChunk]:
        """Write one chunk after the other; a file may be moved away once it is yielded.

        Args:
            report: told how much is done, from 0 to 1.

        Raises:
            MediaError: a line that is not of the file's format, with its number.
        """
        size = max(1, self._path.stat().st_size)
        with self._path.open("rb") as file, tempfile.TemporaryFile(dir=self._folder) as scratch:
            partition = _Partition(scratch)
            skip_bad = self._skip_bad
            batches = read_batched(file, self.summary, self._kind, self._name, skip_bad=skip_bad, block=BLOCK)
            for batch in batches:
                partition.add(batch)
                report(READING * min(1.0, file.tell() / size))
            done = 0
            for slot, records in partition.windows():
                for data in _in_order(records, self._folder):
                    done += len(data)
                    yield self._finish(slot, data)
                    report(READING + (1 - READING) * min(1.0, done / partition.size))

    def filler(self) -> bytes:
        """The chunk for time in which there is nothing: one that players can open all the same."""
        return self._rendered(b"") or b"\n"

    def playlists(self, chunk_name: Callable[[str], str]) -> list[Playlist]:
        """The playlists of the streams: of windows of 30 s, and then of the longer ones that long entries need.

        Args:
            chunk_name: gives the URI of a chunk from its SHA-256 in hex.
        """
        streams = groupby(self._done, lambda done: done[0].level)
        return [self._playlist(window_length(level), list(done), chunk_name) for level, done in streams]

    @property
    def needs_filler(self) -> bool:
        """Whether there is time without entries between those that have some."""
        return any(playlist.gaps for playlist in self.playlists(str))

    def _playlist(self, length: int, done: Sequence[tuple[Slot, str]], chunk_name: Callable[[str], str]) -> Playlist:
        uris, durations, gaps = list[str](), list[float](), set[int]()
        # Players begin at zero. Times of labels may be those of a clock, and are then nobody's to play.
        start = upto = 0 if self._cues else done[0][0].window
        filler = sha256(self.filler()).hexdigest()
        for number, (slot, digest) in enumerate(done):
            if slot.window > upto:
                gaps.add(len(uris))
                uris.append(chunk_name(filler))
                durations.append((slot.window - upto) * length)
                upto = slot.window
            uris.append(chunk_name(digest))
            # Of the chunks of one window the last takes all its time, so that none of them moves the others.
            last = number + 1 == len(done) or done[number + 1][0] != slot
            durations.append(length if last else 0)
            upto += last
        return Playlist(uris, durations, gaps=frozenset(gaps), window=length, start=start * length)

    def _finish(self, slot: Slot, data: bytes) -> TrackChunk:
        content = self._rendered(data)
        digest = sha256(content).hexdigest()
        path = self._folder / f"{len(self._done)}.{self.extension}"
        path.write_bytes(content)
        self._done.append((slot, digest))
        return TrackChunk(path, digest, self.extension)

    def _rendered(self, data: bytes) -> bytes:
        if not self._cues:
            return data
        return chunk_text(_objects.decode_lines(data), self.summary.head, self.summary.format).encode()


_objects = msgspec.json.Decoder(dict[str, object])


class _Timed(msgspec.Struct, gc=False):
    """A line, as far as its place among the others goes."""

    ts: float


_timed = msgspec.json.Decoder(_Timed)


@dataclass
class _Bucket:
    """The lines of a window that are in memory: when the first and the last of them begins, and if all are in order."""

    first: float
    last: float
    ordered: bool = True
    size: int = 0
    pieces: list[bytes] = field(default_factory=list)

    def add(self, piece: bytes, first: float, last: float, *, ordered: bool) -> None:
        self.ordered = self.ordered and ordered and first >= self.last
        self.last = last
        self.size += len(piece)
        self.pieces.append(piece)


@dataclass(frozen=True)
class _Record:
    """The lines of a window out of one run."""

    slot: Slot
    first: float
    last: float
    ordered: bool
    pieces: Callable[[], Iterator[bytes]]


class _Partition:
    """Entries by window.

    Args:
        scratch: a file for those that memory does not hold.
    """

    def __init__(self, scratch: BinaryIO) -> None:
        self._scratch = scratch
        self._buckets: dict[Slot, _Bucket] = {}
        self._held = 0
        self._runs: list[int] = []  # where each ends in the scratch file
        self.size = 0  # bytes of all that was added, each entry as often as it has windows

    def add(self, batch: Batch) -> None:
        """Take some entries, after those before them in the file."""
        level, first, last = place(batch.ts, batch.end)
        home = first + level * _LEVEL
        if np.count_nonzero(np.diff(home)) > len(batch) * SCATTERED:
            order = np.argsort(home, kind="stable")
            batch = batch.reordered(order)
            level, first, last, home = level[order], first[order], last[order], home[order]
        late = np.diff(batch.ts) < 0
        cuts = np.flatnonzero(np.diff(home)) + 1
        # An entry of several windows ends a piece: in the windows after its own it comes before what follows it.
        several = np.flatnonzero(last > first)
        bounds = np.union1d(cuts, several + 1) if len(several) else cuts
        starts = np.concatenate(([0], bounds[bounds < len(batch)]))
        stops = np.append(starts[1:], len(batch))
        unordered = np.concatenate(([0], np.cumsum(late)))
        reach = dict(zip(several.tolist(), last[several].tolist(), strict=True))
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            piece = batch.data[batch.offsets[start] : batch.offsets[stop]]
            begin, upto = float(batch.ts[start]), float(batch.ts[stop - 1])
            slot = Slot(int(level[start]), int(first[start]))
            self._put(slot, piece, begin, upto, ordered=not unordered[stop - 1] - unordered[start])
            if (final := reach.get(stop - 1)) is not None:
                line = batch.data[batch.offsets[stop - 1] : batch.offsets[stop]]
                for window in range(slot.window + 1, final + 1):
                    self._put(Slot(slot.level, window), line, upto, upto, ordered=True)
        if self._held > MEMORY:
            self._spill()

    def windows(self) -> Iterator[tuple[Slot, list[_Record]]]:
        """All windows that have entries, in order, each with what the runs hold of it."""
        if self._runs:
            self._spill()
            begins = [0, *self._runs[:-1]]
            records: Iterator[_Record] = heapq.merge(
                *map(self._run, begins, self._runs), key=lambda record: record.slot
            )
        else:
            records = self._in_memory()
        for slot, group in groupby(records, lambda record: record.slot):
            yield slot, list(group)

    def _put(self, slot: Slot, piece: bytes, first: float, last: float, *, ordered: bool) -> None:
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._buckets[slot] = _Bucket(first, first)
        bucket.add(piece, first, last, ordered=ordered)
        self._held += len(piece) + OVERHEAD
        self.size += len(piece)

    def _in_memory(self) -> Iterator[_Record]:
        for slot in sorted(self._buckets):
            bucket = self._buckets.pop(slot)
            yield _Record(slot, bucket.first, bucket.last, bucket.ordered, bucket.pieces.__iter__)

    def _spill(self) -> None:
        """Write what is in memory behind the runs that are there."""
        self._scratch.seek(0, os.SEEK_END)
        for slot in sorted(self._buckets):
            bucket = self._buckets.pop(slot)
            head = _RECORD.pack(*slot, bucket.first, bucket.last, bucket.ordered, bucket.size)
            self._scratch.write(head)
            self._scratch.writelines(bucket.pieces)
        self._scratch.flush()
        self._runs.append(self._scratch.tell())
        self._held = 0

    def _run(self, at: int, stop: int) -> Iterator[_Record]:
        while at < stop:
            head = os.pread(self._scratch.fileno(), _RECORD.size, at)
            level, window, first, last, ordered, size = _RECORD.unpack(head)
            at += _RECORD.size
            pieces = partial(_pieces, self._scratch.fileno(), at, at + size)
            yield _Record(Slot(level, window), first, last, bool(ordered), pieces)
            at += size


def _pieces(file: int, start: int, stop: int) -> Iterator[bytes]:
    """A part of a file that is open, some at a time."""
    for at in range(start, stop, PIECE):
        yield os.pread(file, min(PIECE, stop - at), at)


def _in_order(records: Sequence[_Record], folder: Path) -> Iterator[bytes]:
    """The lines of a window in the order of their times, those of equal times as in the file; a chunk's at a time."""
    ordered = all(record.ordered for record in records) and all(
        after.first >= before.last for before, after in pairwise(records)
    )
    pieces = (piece for record in records for piece in record.pieces())
    if ordered:
        yield from _cut(pieces, CHUNK_BYTES)
        return
    blocks = map(_sorted, _cut(pieces, MEMORY))
    first, second = next(blocks), next(blocks, None)
    if second is None:
        yield from _cut(iter([first]), CHUNK_BYTES)
        return
    with tempfile.TemporaryFile(dir=folder) as scratch:
        bounds = [0]
        for block in chain([first, second], blocks):
            scratch.write(block)
            bounds.append(scratch.tell())
        scratch.flush()
        runs = [_pieces(scratch.fileno(), start, stop) for start, stop in pairwise(bounds)]
        yield from _cut(heapq.merge(*map(_one_by_one, runs), key=_time_of), CHUNK_BYTES)


def _cut(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same lines in blocks of about so many bytes, each ending where a line ends."""
    held: list[bytes] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        if count >= size and (at := piece.rfind(b"\n") + 1):
            yield b"".join([*held[:-1], piece[:at]])
            held, count = [piece[at:]], len(piece) - at
    if count:
        yield b"".join(held)


def _sorted(block: bytes) -> bytes:
    order = np.argsort([line.ts for line in _timed.decode_lines(block)], kind="stable")
    lines = block.split(b"\n")
    return b"\n".join([lines[at] for at in order.tolist()]) + b"\n"


def _one_by_one(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for block in _cut(pieces, PIECE):
        yield from (line + b"\n" for line in block.split(b"\n")[:-1])


def _time_of(line: bytes) -> float:
    return _timed.decode(line).ts
