"""Writing captions: the chunks of text tracks as WebVTT, and tracks as WebVTT or SubRip files.

What is taken from a WebVTT file is written as it was. SubRip knows no escapes, so what WebVTT would take for something
else is escaped on the way there, and ``parse_chunk`` takes that back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dreamlake.core.tracks import Lines, TrackFormat, parse_track

__all__ = ["chunk_head", "chunk_text", "parse_chunk", "srt_text", "vtt_text"]

# Where the times of a chunk lie in the stream: seconds are seconds (RFC 8216, 3.5).
TIMESTAMP_MAP = "X-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000"
_TAG = r"</?(?:[biu]|font)\b[^<>]*>"  # what SubRip files mark up text with
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ESCAPED = re.compile(rf"{_TAG}|[&<]|(?<=--)>")
_BLANK = "&nbsp;"  # a line without text, which would end the cue
_PLAIN = {**{escape: letter for letter, escape in _ESCAPES.items()}, _BLANK: "\u00a0"}


def chunk_text(entries: Iterable[Mapping[str, Any]], head: Sequence[str], form: TrackFormat) -> str:
    """One chunk of a text track that players show.

    Args:
        entries: with ``ts``, ``dt``, ``text``, and ``id`` and ``settings`` where the file says them.
        head: what the file says before its first cue, as of ``Lines``.
        form: of the file, ``vtt`` or ``srt``.
    """
    first, *blocks = head or [""]
    top = "\n".join(filter(None, ["WEBVTT", TIMESTAMP_MAP, first]))
    cues = (_vtt_cue(entry, _escaped(entry["text"]) if form == "srt" else entry["text"]) for entry in entries)
    # The blank line at the end is for players that join chunks without a look at them.
    return "\n\n".join([top, *blocks, *cues]) + "\n\n"


def parse_chunk(data: bytes, name: str, form: TrackFormat) -> list[dict[str, Any]]:
    """The entries of a chunk, as they are in the file.

    Args:
        data: of the chunk.
        name: of the chunk, for messages.
        form: of the file that it was cut from, ``vtt`` or ``srt``.

    Raises:
        MediaError: no WebVTT.
    """
    found = []
    for entry in parse_track(Lines(name, data.splitlines(keepends=True)), "vtt"):
        fields = {**entry.fields}
        if form == "srt":
            fields["text"] = _unescaped(fields["text"])
        found.append({"ts": entry.ts, "dt": entry.dt, **fields})
    return found


def chunk_head(data: bytes, name: str) -> list[str]:
    """What a chunk of a WebVTT file repeats of what the file says before its first cue."""
    lines = Lines(name, data.splitlines(keepends=True))
    for _ in parse_track(lines, "vtt"):
        break
    return lines.head


def vtt_text(entries: Iterable[Mapping[str, Any]], head: Sequence[str], form: TrackFormat) -> str:
    """A whole track as a WebVTT file.

    Args:
        entries: in order of time; of JSONL with ``text`` or ``caption``, as plain text.
        head: as of ``chunk_text``.
        form: of the track's file.
    """
    first, *blocks = head or [""]
    top = f"WEBVTT\n{first}" if first else "WEBVTT"
    cues = (_vtt_cue(entry, said(entry) if form == "vtt" else _escaped(said(entry))) for entry in entries)
    return "\n\n".join([top, *blocks, *cues]) + "\n"


def srt_text(entries: Iterable[Mapping[str, Any]], form: TrackFormat) -> str:
    """A whole track as a SubRip file, numbered from 1; of WebVTT's markup it keeps bold, italic and underlined.

    Args:
        entries: in order of time.
        form: of the track's file.
    """
    cues = []
    for number, entry in enumerate(entries, 1):
        text = _unescaped(re.sub(rf"(?!{_TAG})<[^<>]*>", "", said(entry))) if form == "vtt" else said(entry)
        place = f" {entry['settings']}" if form == "srt" and "settings" in entry else ""
        lasts = f"{_clock(entry['ts'], ',')} --> {_clock(entry['ts'] + entry['dt'], ',')}{place}"
        cues.append(f"{number}\n{lasts}\n{text}\n")
    return "\n".join(cues)


def said(entry: Mapping[str, Any]) -> str:
    """The text of an entry of a text track; of a label track its label, or all that it says."""
    for name in ("text", "caption", "label"):
        if isinstance(entry.get(name), str):
            return str(entry[name])
    rest = {name: value for name, value in entry.items() if name not in ("ts", "dt", "fs", "fe")}
    return ", ".join(f"{name}: {value}" for name, value in rest.items())


def _vtt_cue(entry: Mapping[str, Any], text: str) -> str:
    lasts = f"{_clock(entry['ts'], '.')} --> {_clock(entry['ts'] + entry['dt'], '.')}"
    lines = [lasts + (f" {entry['settings']}" if entry.get("settings") else "")]
    if entry.get("id"):
        lines.insert(0, str(entry["id"]))
    return "\n".join([*lines, text] if text else lines)


def _escaped(text: str) -> str:
    """Text of SubRip as WebVTT wants it."""

    def escape(found: re.Match[str]) -> str:
        return _ESCAPES.get(found[0], found[0])

    return "\n".join(_ESCAPED.sub(escape, line) or _BLANK for line in text.split("\n")) if text else text


def _unescaped(text: str) -> str:
    lines = ("" if line == _BLANK else line for line in text.split("\n"))
    return re.sub("|".join(_PLAIN), lambda found: _PLAIN[found[0]], "\n".join(lines))


def _clock(seconds: float, mark: str) -> str:
    """A time as 01:02:03.004, which begins at zero: neither format knows times before it."""
    milliseconds = max(0, round(seconds * 1000))
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{mark}{rest % 1000:03}"
