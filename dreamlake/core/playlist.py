"""HLS VOD playlists: written at ingest, signed when served, read by the client (RFC 8216).

Stored playlists name their chunks relative to the object store (``chunks/{hash}.ts``); the server replaces each
name by a signed URL when it answers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from dreamlake.errors import MediaError

__all__ = ["Playlist", "parse_playlist", "render_playlist", "rewrite_uris"]

_DECIMAL = re.compile(r"\d{1,12}(\.\d+)?", re.ASCII)
_WINDOWS = re.compile(r"#EXT-X-DREAMLAKE-WINDOWS:LENGTH=(\d{1,12}),START=(-?\d{1,12})", re.ASCII)
_MAP = re.compile(r'#EXT-X-MAP:(?:[^"]*"[^"]*",)*?URI="([^"]*)"')


@dataclass(frozen=True)
class Playlist:
    """The segments of a stream, in order.

    Attributes:
        uris: of the segments.
        durations: of the segments, seconds.
        init: the URI of the initialisation section that fMP4 segments share; None for MPEG-TS.
        independent: whether every segment decodes on its own.
        gaps: numbers of the segments that stand for time in which there is nothing.
        window: how long each window of a track is, seconds; None for sound and pictures.
        start: when the first segment of a track begins, seconds.
    """

    uris: list[str]
    durations: list[float]
    init: str | None = None
    independent: bool = True
    gaps: frozenset[int] = frozenset()
    window: int | None = None
    start: int = 0


def render_playlist(playlist: Playlist) -> str:
    """The text of a VOD playlist."""
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{7 if playlist.init else 3}",
        f"#EXT-X-TARGETDURATION:{max(1, math.ceil(max(playlist.durations, default=1)))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
    ]
    if playlist.independent:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    if playlist.init:
        lines.append(f'#EXT-X-MAP:URI="{playlist.init}"')
    if playlist.window is not None:  # players pass over tags that they do not know (RFC 8216, 6.3.1)
        lines.append(f"#EXT-X-DREAMLAKE-WINDOWS:LENGTH={playlist.window},START={playlist.start}")
    for number, (uri, duration) in enumerate(zip(playlist.uris, playlist.durations, strict=True)):
        if number in playlist.gaps:
            lines.append("#EXT-X-GAP")
        lines += [f"#EXTINF:{duration:.6f},", uri]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def parse_playlist(text: str) -> Playlist:
    """Read a VOD playlist.

    Raises:
        MediaError: not a playlist, one that was cut short, or a segment without a duration.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or lines[0] != "#EXTM3U":
        raise MediaError("not an HLS playlist: it does not begin with #EXTM3U")
    uris: list[str] = []
    durations: list[float] = []
    init = None
    gaps: set[int] = set()
    window, start = None, 0
    for line in lines:
        if line.startswith("#EXTINF:"):
            durations.append(_seconds(line[len("#EXTINF:") :].split(",")[0]))
        elif line.startswith("#EXT-X-MAP:"):
            match = _MAP.match(line)
            init = match[1] if match else init
        elif line == "#EXT-X-GAP":
            gaps.add(len(uris))
        elif (found := _WINDOWS.fullmatch(line)) is not None:
            window, start = int(found[1]), int(found[2])
        elif not line.startswith("#"):
            uris.append(line)
        if not 0 <= len(durations) - len(uris) <= 1:
            raise MediaError("a playlist whose durations and segments do not go together")
    if len(uris) != len(durations) or "#EXT-X-ENDLIST" not in lines:
        raise MediaError("a playlist that was cut short")
    independent = "#EXT-X-INDEPENDENT-SEGMENTS" in lines
    return Playlist(uris, durations, init, independent, frozenset(gaps), window, start)


def _seconds(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise MediaError(f"{text!r} is not the duration of a segment")
    return float(text)


def rewrite_uris(text: str, replace: Callable[[str], str]) -> str:
    """The same playlist with every URI replaced."""

    def rewritten(line: str) -> str:
        if line.startswith("#EXT-X-MAP:"):
            return _MAP.sub(lambda match: match[0].replace(f'URI="{match[1]}"', f'URI="{replace(match[1])}"'), line)
        return replace(line) if line and not line.startswith("#") else line

    return "\n".join([*map(rewritten, text.splitlines()), ""])
