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

_DECIMAL = re.compile(r"\d{1,9}(\.\d+)?", re.ASCII)
_MAP = re.compile(r'#EXT-X-MAP:(?:[^"]*"[^"]*",)*?URI="([^"]*)"')


@dataclass(frozen=True)
class Playlist:
    """The segments of a stream, in order.

    Attributes:
        uris: of the segments.
        durations: of the segments, seconds.
        init: the URI of the initialisation section that fMP4 segments share; None for MPEG-TS.
        independent: whether every segment decodes on its own.
    """

    uris: list[str]
    durations: list[float]
    init: str | None = None
    independent: bool = True


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
    for uri, duration in zip(playlist.uris, playlist.durations, strict=True):
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
    for line in lines:
        if line.startswith("#EXTINF:"):
            durations.append(_seconds(line[len("#EXTINF:") :].split(",")[0]))
        elif line.startswith("#EXT-X-MAP:"):
            match = _MAP.match(line)
            init = match[1] if match else init
        elif not line.startswith("#"):
            uris.append(line)
        if not 0 <= len(durations) - len(uris) <= 1:
            raise MediaError("a playlist whose durations and segments do not go together")
    if len(uris) != len(durations) or "#EXT-X-ENDLIST" not in lines:
        raise MediaError("a playlist that was cut short")
    return Playlist(uris, durations, init, "#EXT-X-INDEPENDENT-SEGMENTS" in lines)


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
