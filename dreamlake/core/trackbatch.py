"""Entries by the thousand: what a file says of them, in arrays, and their JSON in one piece.

Most tracks are JSONL whose lines all have the same few fields. These are read by a decoder that is made for the fields
seen so far, a block of lines at a time; a block in which it meets anything else is read again by ``parse_track``, entry
by entry, which decides what is right and says what is wrong. Both read every value of every line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta
from numpy.typing import NDArray

from dreamlake.core.tracks import FRAME_LIMIT, MAX_LINE, TIME_LIMIT, Entry, Lines, TrackFormat, parse_track

__all__ = ["Batch", "read_batches"]

BATCH_BYTES, BATCH_ENTRIES = 16 * 1024, 100  # of those that come one by one
MAX_FIELDS = 64  # that the fast decoder is made for
_TIMES = ("ts", "dt", "fs", "fe")
_TS, _DT, _FS, _FE = map(attrgetter, _TIMES)
_NEWLINE, _OPEN, _CLOSE = b"\n{}"
_Frame = Annotated[int, Meta(ge=0, lt=FRAME_LIMIT)]


@dataclass(frozen=True)
class Batch:
    """Some entries that follow each other in the file.

    Attributes:
        data: their JSON objects, a line each.
        offsets: (N + 1,) where each line begins in the data, and where the last one ends.
        ts: (N,) when they begin, seconds.
        end: (N,) when they end.
        frames: the lowest and the highest frame of any of them; None when none has any.
        fields: names of other fields, at least those that no batch before has had.
        line: of the last one in the file, from 1.
    """

    data: bytes
    offsets: NDArray[np.int64]
    ts: NDArray[np.float64]
    end: NDArray[np.float64]
    frames: tuple[int, int] | None = None
    fields: frozenset[str] = field(default_factory=frozenset)
    line: int = 0

    def __len__(self) -> int:
        return len(self.ts)

    def reordered(self, order: NDArray[np.int64]) -> Batch:
        """The same entries in another order."""
        lines = self.data.split(b"\n")
        data = b"\n".join([lines[number] for number in order.tolist()]) + b"\n"
        offsets = np.concatenate(([0], np.cumsum(np.diff(self.offsets)[order])))
        return replace(self, data=data, offsets=offsets, ts=self.ts[order], end=self.end[order])


def read_batches(lines: Lines, blocks: Iterable[bytes], form: TrackFormat, *, text: bool) -> Iterator[Batch]:
    """The entries of a track in the order of the file.

    Args:
        lines: that count, check and skip; they need not have any yet.
        blocks: of the file, each ending where a line ends.
        form: the format of the file.
        text: whether each entry must have a ``text``, or a ``caption``.

    Raises:
        MediaError: a line that is not of the format, with its number.
    """
    if form == "jsonl":
        yield from _Reader(lines, text).read(blocks)
    else:
        every = (line for block in blocks for line in _lines(block))
        yield from _gathered(parse_track(lines.over(every), form, text=text))


def _lines(block: bytes) -> list[bytes]:
    """The lines of a block with their ends, which are line feeds alone."""
    found = [line + b"\n" for line in block.split(b"\n")]
    found[-1] = found[-1][:-1]
    return found if found[-1] else found[:-1]


class _Reader:
    """Reads JSONL, and learns the names of its fields on the way."""

    def __init__(self, lines: Lines, text: bool) -> None:
        self._lines = lines
        self._text = text
        self._known: dict[str, str] = {}  # the names of fields, and those of their attributes
        self._decoder: msgspec.json.Decoder[Any] | None = None

    def read(self, blocks: Iterable[bytes]) -> Iterator[Batch]:
        for block in blocks:
            batch = self._fast(block) if self._decoder is not None else None
            if batch is not None:
                yield batch
                continue
            for batch in _gathered(parse_track(self._lines.over(_lines(block)), "jsonl", text=self._text)):
                self._learn(batch.fields)
                yield batch

    def _learn(self, names: frozenset[str]) -> None:
        new = [name for name in names if name not in self._known and _can_be_named(name)]
        if self._decoder is not None and not new:
            return
        self._known.update((name, f"f{len(self._known) + number}") for number, name in enumerate(sorted(new)))
        times: list[tuple[str, Any] | tuple[str, Any, Any]]
        times = [("ts", float), ("dt", float), ("fs", _Frame | None, None), ("fe", _Frame | None, None)]
        rest = [(attribute, Any, UNSET) for attribute in list(self._known.values())[:MAX_FIELDS]]
        rename = {attribute: name for name, attribute in self._known.items()}
        made = msgspec.defstruct("Line", [*times, *rest], rename=rename, forbid_unknown_fields=True, gc=False)
        self._decoder = msgspec.json.Decoder(made)

    def _fast(self, block: bytes) -> Batch | None:
        """The entries of a block; None where it is not certain that this is what they are."""
        assert self._decoder is not None
        if self._lines.number == 0:
            return None  # the first block teaches, and may begin with a byte order mark
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        if not block.endswith(b"\n"):
            block += b"\n"
        letters = np.frombuffer(block, np.uint8)
        ends = np.flatnonzero(letters == _NEWLINE)
        offsets = np.concatenate(([0], ends + 1))
        # No JSON goes on with a brace after a brace: where all lines begin and end with one, none ends within a value.
        if ends[0] == 0 or (letters[ends - 1] != _CLOSE).any() or (letters[offsets[:-1]] != _OPEN).any():
            return None
        if np.diff(offsets).max(initial=0) > MAX_LINE:
            return None
        try:
            found = self._decoder.decode_lines(block)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if len(found) != len(ends) or (self._text and not self._all_say(found)):
            return None
        ts, dt = (np.fromiter(map(attribute, found), np.float64, len(found)) for attribute in (_TS, _DT))
        end = ts + dt
        if (dt < 0).any() or (ts < -TIME_LIMIT).any() or not (end <= TIME_LIMIT).all():
            return None
        frames = None
        if b'"fs"' in block or b'"fe"' in block:
            first, last = (np.array([*map(attribute, found)], np.float64) for attribute in (_FS, _FE))
            if (last < first).any():  # never where one of them is missing, which is NaN
                return None
            frames = _extent(np.concatenate((first, last)))
        self._lines.number += len(found)
        return Batch(block, offsets, ts, end, frames, line=self._lines.number)

    def _all_say(self, found: Sequence[Any]) -> bool:
        attribute = self._known.get("text", self._known.get("caption"))
        return attribute is not None and all(type(said) is str for said in map(attrgetter(attribute), found))


def _extent(frames: NDArray[np.float64]) -> tuple[int, int] | None:
    """The lowest and the highest frame, of those that are not missing (NaN)."""
    there = frames[~np.isnan(frames)]
    return (int(there.min()), int(there.max())) if len(there) else None


def _can_be_named(name: str) -> bool:
    """Whether a decoder can be made for a field of this name."""
    return name not in _TIMES and not any(letter in '\\"' or ord(letter) < 32 for letter in name)


def _gathered(entries: Iterable[Entry]) -> Iterator[Batch]:
    """Entries that come one by one."""
    some: list[Entry] = []
    size = 0
    for entry in entries:
        some.append(entry)
        size += len(entry.data) + 1
        if size >= BATCH_BYTES or len(some) == BATCH_ENTRIES:
            yield _batch(some)
            some, size = [], 0
    if some:
        yield _batch(some)


def _batch(entries: Sequence[Entry]) -> Batch:
    # A lone carriage return may stand between the tokens of a line, and no line feed can.
    pieces = [entry.data + b"\n" for entry in entries]
    ts = np.array([entry.ts for entry in entries], np.float64)
    end = np.array([entry.end for entry in entries], np.float64)
    frames = np.array([frame for entry in entries for frame in (entry.fs, entry.fe)], np.float64)
    fields = frozenset[str]().union(*(entry.fields for entry in entries))
    offsets = np.concatenate(([0], np.cumsum([len(piece) for piece in pieces])))
    return Batch(b"".join(pieces), offsets, ts, end, _extent(frames), fields, entries[-1].line)
