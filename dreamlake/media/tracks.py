"""Reading the files of label tracks and text tracks: their entries one by one, and what is said of them as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO

from dreamlake.core.kinds import TEXT_TRACK, Kind
from dreamlake.core.trackbatch import Batch, read_batches
from dreamlake.core.tracks import MAX_LINE, Lines, TrackFormat
from dreamlake.errors import MediaError

__all__ = ["TrackSummary", "read_batched", "summarize_track", "track_format"]

MAX_FIELD_NAMES = 1024**2  # bytes of all names of fields: a track whose names are its data would fill the memory
_FORMATS: dict[str, TrackFormat] = {".vtt": "vtt", ".srt": "srt", ".jsonl": "jsonl", ".csv": "csv"}
BLOCK = 16 * 1024  # bytes that are read at once


@dataclass
class TrackSummary:
    """What the sidecar of a track says of it (seed 3, "Meta.json After Splitting").

    Attributes:
        format: of the file.
        entries: how many there are.
        start: of the earliest entry, seconds; None when there is no entry.
        end: of the latest entry, seconds.
        start_frame: the lowest frame of any entry; None when no entry has any.
        end_frame: the highest one.
        fields: the names of all fields but those of times and frames.
        skipped: lines, or cues, that could not be read and were left out.
        head: what a WebVTT file says before its first cue, as of ``Lines``.
    """

    format: TrackFormat
    entries: int = 0
    start: float | None = None
    end: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    fields: set[str] = field(default_factory=set)

    skipped: int = 0
    head: list[str] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Count some entries."""
        self.entries += len(batch)
        first, last = float(batch.ts.min()), float(batch.end.max())
        self.start = first if self.start is None else min(self.start, first)
        self.end = last if self.end is None else max(self.end, last)
        if batch.frames is not None:
            low, high = batch.frames
            self.start_frame = low if self.start_frame is None else min(self.start_frame, low)
            self.end_frame = high if self.end_frame is None else max(self.end_frame, high)
        self.fields.update(batch.fields)


def track_format(file: BinaryIO, name: str, kind: Kind) -> TrackFormat:
    """The format of a track's file: as its extension says, or else as its content looks.

    Args:
        file: at its beginning, where it is left.
        name: of the file.
        kind: a label track or a text track.
    """
    extension = PurePath(name).suffix.lower()
    if extension in kind.extensions or extension in kind.forced:
        return _FORMATS[extension]
    head = file.read(4096).removeprefix(b"\xef\xbb\xbf")
    file.seek(0)
    if head.lstrip().startswith(b"{"):
        return "jsonl"
    if kind != TEXT_TRACK:
        return "csv"
    return "vtt" if head.startswith(b"WEBVTT") else "srt"


def read_batched(
    file: BinaryIO, summary: TrackSummary, kind: Kind, name: str, *, skip_bad: bool = False, block: int = BLOCK
) -> Iterator[Batch]:
    """The entries of a track's file, in its order; some of them are in memory at a time.

    Args:
        file: at its beginning.
        summary: of the file's format, to which they are added.
        kind: a label track or a text track.
        name: of the file.
        skip_bad: whether what cannot be read is left out and counted.
        block: bytes that are read at once; more are faster, and take some ten times as much memory.

    Raises:
        MediaError: a line that is not of the file's format, with its number.
    """
    lines = Lines(name, skip_bad=skip_bad)
    names = 0
    for batch in read_batches(lines, _blocks(file, block), summary.format, text=kind == TEXT_TRACK):
        known = len(summary.fields)
        summary.add(batch)
        if len(summary.fields) > known:
            names = sum(map(len, summary.fields))
        if names > MAX_FIELD_NAMES:
            raise MediaError(f"{name}: line {batch.line}: the names of its fields take more than 1 MiB by now")
        yield batch
    summary.skipped, summary.head = lines.skipped, lines.head


def summarize_track(
    path: Path,
    kind: Kind,
    name: str | None = None,
    report: Callable[[float], None] | None = None,
    *,
    skip_bad: bool = False,
) -> TrackSummary:
    """Read a track's file to its end.

    Args:
        path: of the file.
        kind: a label track or a text track.
        name: of the file, where the path does not say it.
        report: told how much is done, from 0 to 1.
        skip_bad: whether what cannot be read is left out and counted.

    Raises:
        MediaError: a line that is not of the file's format, with its number.
    """
    name = name or path.name
    size = path.stat().st_size
    with path.open("rb") as file:
        summary = TrackSummary(track_format(file, name, kind))
        for _ in read_batched(file, summary, kind, name, skip_bad=skip_bad):
            if report is not None:
                report(min(1.0, file.tell() / max(1, size)))
    return summary


def _blocks(file: BinaryIO, most: int) -> Iterator[bytes]:
    """A file in pieces that end where a line ends; of a line that is longer than any may be, its beginning."""
    size = min(most, BLOCK)  # the fields are learned from the first one, entry by entry
    while block := file.read(size):
        size = most
        if not block.endswith(b"\n"):
            rest = file.readline(MAX_LINE + 1)
            block += rest
            while rest and not rest.endswith(b"\n"):
                rest = file.readline(size)
        yield block
