"""Opening untrusted media files: local files only, known demuxers only, and every failure a MediaError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from dreamlake.errors import MediaError

__all__ = ["best_video", "media_errors", "open_media"]

# Playlists, concatenations and other formats that make FFmpeg open further files are left out on purpose.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts"


@contextmanager
def media_errors(name: str) -> Iterator[None]:
    """Turn FFmpeg's errors into MediaErrors that name the file."""
    try:
        yield
    except (av.error.FFmpegError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MediaError(f"{name}: cannot be read as video ({reason})") from error


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a local media file for reading.

    Raises:
        MediaError: not a media file, or one that FFmpeg cannot read; also for what goes wrong inside the block.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    # The file: prefix keeps names with a colon in them from being taken for a protocol.
    with (
        media_errors(path.name),
        av.open(f"file:{path}", options=options, metadata_errors="ignore") as container,
    ):
        yield container


def best_video(container: InputContainer, name: str) -> VideoStream:
    """The video stream of a file: the first that is not a cover picture.

    Raises:
        MediaError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise MediaError(f"{name}: holds no video" + (", only sound" if container.streams.audio else ""))
