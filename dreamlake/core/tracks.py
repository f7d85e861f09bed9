"""The entries of label tracks and text tracks, out of each format that they are uploaded in (seed 3).

Whatever the format, an entry comes out as its times, its frames and one JSON object with all that the file says of it,
so that whoever cuts a track or reads it need not know the format. Everything is streamed: what is in memory is one
entry.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypeAlias

import msgspec

from dreamlake.errors import MediaError

__all__ = ["MAX_LINE", "TIME_LIMIT", "Entry", "Lines", "TrackFormat", "parse_track"]

TrackFormat: TypeAlias = Literal["vtt", "srt", "jsonl", "csv"]

MAX_LINE = 16 * 1024**2  # bytes of a line, and of an entry that has several
FRAME_LIMIT = 1 << 53  # from here on not every reader of JSON keeps whole numbers
TIME_LIMIT = 1e11  # seconds, 3,000 years: what is beyond are no seconds, but milliseconds of a clock, or less
MAX_HEAD = 256 * 1024  # letters of the style sheets and regions of a WebVTT file, which every chunk repeats
_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_VTT_TIME = r"(?:(\d{2,9}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_SRT_TIME = r"(\d{1,9}):([0-5]?\d):([0-5]?\d)[,.](\d{1,3})"
_VTT_TIMING = re.compile(rf"[ \t]*{_VTT_TIME}[ \t]*-->[ \t]*{_VTT_TIME}(?:[ \t]+(.*?))?[ \t]*", re.ASCII)
_SRT_TIMING = re.compile(rf"[ \t]*{_SRT_TIME}[ \t]*-->[ \t]*{_SRT_TIME}(?:[ \t]+(.*?))?[ \t]*", re.ASCII)


class Entry(msgspec.Struct, frozen=True):
    """One entry of a track.

    Attributes:
        ts: when it begins, seconds.
        dt: how long it holds, seconds, not below zero.
        fs: its first frame; None when the file does not say.
        fe: its last frame.
        fields: all else that the file says of it, such as ``label`` or ``text``.
        data: all of it as one JSON object without a line break, its times as ``ts`` and ``dt``; the line itself where
            the file is JSONL and says it so.
        line: where in the file it begins, from 1.
    """

    ts: float
    dt: float
    fs: int | None
    fe: int | None
    fields: dict[str, Any]
    data: bytes
    line: int

    @property
    def end(self) -> float:
        """When it ends, seconds."""
        return self.ts + self.dt


class Lines:
    """The lines of a track's file, counted and checked on their way.

    Args:
        name: of the file, with which every message begins.
        lines: as they are in the file, with their ends.
        skip_bad: whether a line that cannot be read is left out and counted, where it would else be an error.

    Attributes:
        number: of the line that was read last, from 1.
        skipped: how many lines, or cues, were left out.
        head: what a WebVTT file says before its first cue: the lines below its signature, and the blocks of its style
            sheets and regions.
    """

    def __init__(self, name: str, lines: Iterable[bytes] = (), *, skip_bad: bool = False) -> None:
        self.name = name
        self.number = 0
        self.skipped = 0
        self.head: list[str] = []
        self._skip_bad = skip_bad
        self._lines = iter(lines)

    def over(self, lines: Iterable[bytes]) -> Lines:
        """Go on with these lines, which follow those before them in the file."""
        self._lines = iter(lines)
        return self

    def __iter__(self) -> Iterator[bytes]:
        """The lines without their ends, in UTF-8 without a byte order mark."""
        for line in self._lines:
            self.number += 1
            if len(line) > MAX_LINE:
                self.bad(f"is longer than {MAX_LINE // 1024**2} MiB")
                while not line.endswith(b"\n") and (line := next(self._lines, b"\n")):
                    pass  # the rest of it
                continue
            if self.number == 1:
                line = line.removeprefix(_BOM)
            if not line.isascii():
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    self.bad(f"is not UTF-8 (byte 0x{line[error.start]:02x}); convert the file first")
                    continue
            yield line.rstrip(b"\r\n")

    def refuse(self, reason: str, line: int | None = None) -> MediaError:
        """The error that says what is wrong with a line, which is the last one unless it is named."""
        return MediaError(f"{self.name}: line {line or self.number}: {reason}")

    def bad(self, reason: str, line: int | None = None) -> None:
        """A line is wrong: count it if such lines are left out.

        Raises:
            MediaError: they are not.
        """
        if not self._skip_bad:
            raise self.refuse(reason, line)
        self.skipped += 1


def parse_track(lines: Lines, form: TrackFormat, *, text: bool = False) -> Iterator[Entry]:
    """The entries of a track in the order of the file.

    Args:
        lines: of the file.
        form: the format of the file.
        text: whether each entry must have a ``text``, or a ``caption``.

    Raises:
        MediaError: a line that is not of the format, with its number.
    """
    if form == "vtt":
        return _cues(lines, _vtt_blocks(lines), _VTT_TIMING)
    if form == "srt":
        return _cues(lines, _srt_blocks(lines), _SRT_TIMING)
    return _objects(lines, _csv_rows(lines) if form == "csv" else iter(lines), text)


# -- objects: JSONL and CSV ----------------------------------------------------------------------------------------


_object: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_BYTE = re.compile(r"\(byte (\d+)\)")


def _objects(lines: Lines, rows: Iterator[bytes], text: bool) -> Iterator[Entry]:
    for row in rows:
        if not row or row.isspace():
            continue
        try:
            entry = _entry(row, lines.number, text=text)
        except _Wrong as wrong:
            lines.bad(str(wrong))
        else:
            yield entry


class _Wrong(Exception):
    """Why an object is no entry."""


def _entry(row: bytes, line: int, *, text: bool) -> Entry:
    try:
        fields = _object.decode(row)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _Wrong(_reason(error, row)) from None
    start, ts = _take(fields, "ts", "st")
    begin = _seconds(start, ts)
    stop, dt = _take(fields, "dt", "et")  # seed 1 says when an entry ends, seed 3 how long it holds
    length = _seconds(stop, dt) - (begin if stop == "et" else 0.0)
    if length < 0:
        raise _Wrong(f"it ends before it begins (dt is {length:g})")
    if not math.isfinite(begin + length):
        raise _Wrong("its end is no finite number")
    if not (begin >= -TIME_LIMIT and begin + length <= TIME_LIMIT):
        raise _Wrong(f"it lasts from {begin:g} to {begin + length:g}, which cannot be seconds")
    (one, fs), (other, fe) = _take(fields, "fs", "sf"), _take(fields, "fe", "ef")
    first, last = _frame(one, fs), _frame(other, fe)
    if first is not None and last is not None and last < first:
        raise _Wrong(f"its last frame {last} is before its first frame {first}")
    if text and not isinstance(said := fields.get("text", fields.get("caption")), str):
        raise _Wrong("text is missing" if said is None else "text is not a text")
    other_words = {start, stop, one, other} & {"st", "et", "sf", "ef"}
    data = _respelled(row, other_words, begin, length, first, last) if other_words else row
    return Entry(begin, length, first, last, fields, data, line)


_raw: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _respelled(row: bytes, words: set[str], ts: float, dt: float, fs: int | None, fe: int | None) -> bytes:
    """The same object in the words of seed 3, its other values untouched."""
    values = {"ts": ts, "dt": dt, "fs": fs, "fe": fe}
    rest = {name: value for name, value in _raw.decode(row).items() if name not in words and name not in values}
    return _encode({**{name: value for name, value in values.items() if value is not None}, **rest})


def _take(fields: dict[str, Any], name: str, other: str) -> tuple[str, Any]:
    """A value, and the name that it has: the one of seed 3, or else the one that ``TextTrack.add`` has in seed 1."""
    value = fields.pop(name, None)
    if value is None and fields.get(other) is not None:
        return other, fields.pop(other)
    return name, value


def _seconds(name: str, value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:  # and no bool, which is one too
        try:
            return float(value)
        except OverflowError:
            raise _Wrong(f"{name} is no finite number") from None
    raise _Wrong(f"{name} is missing" if value is None else f"{name} is not a number")


def _frame(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int and (type(value) is not float or value != int(value)):
        raise _Wrong(f"{name} is not a whole number")
    if not 0 <= value < FRAME_LIMIT:
        raise _Wrong(f"{name} is not the number of a frame")
    return int(value)


def _reason(error: Exception, row: bytes) -> str:
    """Why a line was refused, in words that do not need a look at this program."""
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if "out of range" in str(error):
        return "holds a number that is not finite"
    found = _BYTE.search(str(error))
    if found is None:
        return "is not a JSON object"
    if row[int(found[1]) :].startswith((b"NaN", b"Infinity", b"-Infinity")):
        return "is not JSON: it holds NaN or Infinity"
    return f"is not a JSON object (see its byte {found[1]})"


def _csv_rows(lines: Lines) -> Iterator[bytes]:
    """Each row as a JSON object: numbers where they are written as JSON writes them, nothing where there is nothing."""
    used = 0

    def pieces() -> Iterator[str]:
        nonlocal used
        for line in lines:
            used += len(line)
            if used > MAX_LINE:
                raise lines.refuse(f"a row is longer than {MAX_LINE // 1024**2} MiB (a quote that never ends?)")
            yield line.decode() + "\n"

    reader = csv.reader(pieces(), strict=True)
    header: list[str] | None = None
    while True:
        used = 0
        try:
            row = next(reader, None)
        except csv.Error as error:
            lines.bad(f"is not CSV ({error})")
            continue
        if row is None:
            return
        if not any(map(str.strip, row)):
            continue
        if header is None:
            header = _header(lines, row)
        elif len(row) != len(header):
            lines.bad(f"has {len(row)} columns, and the header has {len(header)}")
        else:
            yield _encode({name: _value(cell) for name, cell in zip(header, row, strict=True) if cell})


def _header(lines: Lines, row: list[str]) -> list[str]:
    names = [name.strip() for name in row]
    there = set(names)
    if len(there) < len(names):
        raise lines.refuse("the header names a column twice")
    for name, other in (("ts", "st"), ("dt", "et")):
        if name not in there and other not in there:
            raise lines.refuse(f"the header names no {name}")
    return names


def _value(cell: str) -> Any:
    cell = cell.strip()
    return msgspec.Raw(cell.encode()) if _NUMBER.fullmatch(cell) else cell


_encode = msgspec.json.Encoder().encode


# -- cues: WebVTT and SubRip ---------------------------------------------------------------------------------------

_Block: TypeAlias = "tuple[int, list[str]]"  # the number of its first line, and its lines


def _blocks(lines: Lines) -> Iterator[_Block]:
    """The lines between blank lines. A lone carriage return ends a line too (WebVTT, 4.1)."""
    begin, block, size = 0, list[str](), 0
    for line in lines:
        for piece in line.decode().split("\r"):
            if piece and not piece.isspace():
                begin = begin if block else lines.number
                block.append(piece)
                size += len(piece)
                if size > MAX_LINE:
                    raise lines.refuse(f"a cue is longer than {MAX_LINE // 1024**2} MiB", begin)
            elif block:
                yield begin, block
                block, size = [], 0
    if block:
        yield begin, block


def _vtt_blocks(lines: Lines) -> Iterator[_Block]:
    """The cues of a WebVTT file: behind its signature, without notes. Style sheets and regions go into the head."""
    blocks = _blocks(lines)
    begin, header = next(blocks, (1, [""]))
    if header != [""] and (begin != 1 or re.fullmatch(r"WEBVTT([ \t].*)?", header[0]) is None):
        raise lines.refuse("is not the signature WEBVTT", 1)
    for number, line in enumerate(header):
        if "-->" in line:
            raise lines.refuse("a blank line is missing between the header and the first cue", begin + number)
    # Where the times of a segment lie in its stream is said anew of every chunk.
    lines.head = ["\n".join(line for line in header[1:] if not line.startswith("X-TIMESTAMP-MAP"))]
    in_head, size = True, len(lines.head[0])
    for begin, block in blocks:
        special = re.fullmatch(r"(NOTE|STYLE|REGION)([ \t].*)?", block[0])
        if special is None:
            in_head = False
            yield begin, block
        elif in_head and special[1] != "NOTE":  # behind the first cue they mean nothing (WebVTT, 4.1)
            lines.head.append("\n".join(block))
            size += len(lines.head[-1])
        if size > MAX_HEAD:
            raise lines.refuse(f"style sheets and regions take more than {MAX_HEAD // 1024} KiB", begin)


def _srt_blocks(lines: Lines) -> Iterator[_Block]:
    """The cues of a SubRip file. A blank line within a text is shown by players, so it does not end the cue."""
    cue: _Block | None = None
    size = 0
    for begin, block in _blocks(lines):
        if any("-->" in line for line in block[:2]) or cue is None or all(line.strip().isdecimal() for line in block):
            if cue is not None:
                yield cue
            cue, size = (begin, block), 0
        else:
            cue[1].extend(["", *block])
            size += 1 + sum(map(len, block))
            if size > MAX_LINE:
                raise lines.refuse(f"a cue is longer than {MAX_LINE // 1024**2} MiB", cue[0])
    if cue is not None:
        yield cue


def _cues(lines: Lines, blocks: Iterator[_Block], timing: re.Pattern[str]) -> Iterator[Entry]:
    for begin, block in blocks:
        at = next((number for number, line in enumerate(block[:2]) if "-->" in line), None)
        if at is None:
            lines.bad("a cue has no times", begin)
            continue
        found = timing.fullmatch(block[at])
        if found is None:
            lines.bad(f"{block[at].strip()[:80]!r} are not the times of a cue", begin + at)
            continue
        start, end = _milliseconds(found.groups()[:4]), _milliseconds(found.groups()[4:8])
        late = next((number for number, line in enumerate(block) if number > at and "-->" in line), None)
        if end < start:
            lines.bad("a cue ends before it begins", begin + at)
        elif end > TIME_LIMIT * 1000:
            lines.bad("a cue is later than any recording", begin + at)
        elif late is not None:
            lines.bad("a blank line is missing before this cue", begin + late)
        else:
            times = {"ts": start / 1000, "dt": (end - start) / 1000}
            fields: dict[str, Any] = {"text": "\n".join(block[at + 1 :])}
            if at and timing is _VTT_TIMING:
                fields["id"] = block[0].strip()
            if found[9]:
                fields["settings"] = found[9]
            yield Entry(**times, fs=None, fe=None, fields=fields, data=_encode({**times, **fields}), line=begin)


def _milliseconds(parts: tuple[str | None, ...]) -> int:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0"))
