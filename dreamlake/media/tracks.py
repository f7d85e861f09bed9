"""Reading the files of label tracks and text tracks: their entries one by one, and what is said of them as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO

from dreamlake.core.kinds import TEXT_TRACK, Kind
from dreamlake.core.tracks import MAX_LINE, Entry, Lines, TrackFormat, parse_track
from dreamlake.errors import MediaError

__all__ = ["TrackSummary", "read_track", "summarize_track", "track_format"]

MAX_FIELD_NAMES = 1024**2  # bytes of all names of fields: a track whose names are its data would fill the memory
_FORMATS: dict[str, TrackFormat] = {".vtt": "vtt", ".srt": "srt", ".jsonl": "jsonl", ".csv": "csv"}
_REPORT_EVERY = 1000  # entries


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
    """

    format: TrackFormat
    entries: int = 0
    start: float | None = None
    end: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    fields: set[str] = field(default_factory=set)

    def add(self, entry: Entry) -> None:
        """Count an entry."""
        self.entries += 1
        end = entry.end
        if self.start is None or entry.ts < self.start:
            self.start = entry.ts
        if self.end is None or end > self.end:
            self.end = end
        for frame in (entry.fs, entry.fe):
            if frame is not None:
                if self.start_frame is None or frame < self.start_frame:
                    self.start_frame = frame
                if self.end_frame is None or frame > self.end_frame:
                    self.end_frame = frame
        if not self.fields.issuperset(entry.fields):
            self.fields.update(entry.fields)


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


def read_track(path: Path, kind: Kind, name: str | None = None) -> Iterator[Entry]:
    """The entries of a track's file, in its order; one of them is in memory at a time.

    Args:
        path: of the file.
        kind: a label track or a text track.
        name: of the file, where the path does not say it.

    Raises:
        MediaError: a line that is not of the file's format, with its number.
    """
    name = name or path.name
    with path.open("rb") as file:
        yield from _entries(file, track_format(file, name, kind), kind, name)


def summarize_track(
    path: Path, kind: Kind, name: str | None = None, report: Callable[[float], None] | None = None
) -> TrackSummary:
    """Read a track's file to its end.

    Args:
        path: of the file.
        kind: a label track or a text track.
        name: of the file, where the path does not say it.
        report: told how much is done, from 0 to 1.

    Raises:
        MediaError: a line that is not of the file's format, with its number.
    """
    name = name or path.name
    size = path.stat().st_size
    with path.open("rb") as file:
        summary = TrackSummary(track_format(file, name, kind))
        names = 0
        for entry in _entries(file, summary.format, kind, name):
            known = len(summary.fields)
            summary.add(entry)
            if len(summary.fields) > known:
                names = sum(map(len, summary.fields))
            if names > MAX_FIELD_NAMES:
                raise MediaError(f"{name}: line {entry.line}: the names of its fields take more than 1 MiB by now")
            if report is not None and summary.entries % _REPORT_EVERY == 0:
                report(min(1.0, file.tell() / max(1, size)))
    return summary


def _entries(file: BinaryIO, form: TrackFormat, kind: Kind, name: str) -> Iterator[Entry]:
    lines = Lines(name, iter(lambda: file.readline(MAX_LINE + 1), b""))
    return parse_track(lines, form, text=kind == TEXT_TRACK)
