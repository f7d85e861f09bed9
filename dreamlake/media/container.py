"""Opening untrusted media files: no protocols but files, known demuxers only, and every failure a MediaError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from dreamlake.errors import MediaError
from dreamlake.media.files import MediaFile, Seekable
from dreamlake.media.nal import READS, may_hold_fields, picture_reader

__all__ = ["best_video", "is_listed", "media_errors", "open_media"]

# Playlists, concatenations and other formats that make FFmpeg open further files are left out on purpose.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts"
# Of these a packet out of MP4 is the sample that the file's tables list, and neither joined nor taken apart.
LISTED = frozenset({"av1", "dnxhd", "h264", "hevc", "mjpeg", "png", "prores", "vp9"})
HEAD = 4096  # bytes of a packet, in which what stands before the picture ends
BUFFER = 64 * 1024  # bytes asked of a file object at once


@contextmanager
def media_errors(name: str) -> Iterator[None]:
    """Turn FFmpeg's errors into MediaErrors that name the file."""
    try:
        yield
    except (av.error.FFmpegError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise MediaError(f"{name}: cannot be read as video ({reason})") from error


@contextmanager
def open_media(source: Path | MediaFile, *, skim: bool = False) -> Iterator[InputContainer]:
    """Open a media file for reading.

    Args:
        source: a path is opened as it is; a MediaFile is made sure to be the same one all the time.
        skim: packets are wanted for what the file says of them. What is in them need not be fetched, if the file is
            not of this machine and they can be told without: then they hold zeros.

    Raises:
        MediaError: not a media file, or one that FFmpeg cannot read; also for what goes wrong inside the block.
        FileChangedError: not the file that it was.
    """
    # The file: prefix keeps names with a colon in them from being taken for a protocol.
    opened = nullcontext(f"file:{source}") if isinstance(source, Path) else source.opened()
    with opened as file, media_errors(source.name), ExitStack() as stack:
        container = stack.enter_context(_open(file))
        if skim and not isinstance(file, str) and is_listed(video := best_video(container, source.name)):
            codec = video.codec_context.codec.canonical_name
            at = file.tell()
            skim = codec not in READS or _tells_keys(video, file)
            file.seek(at)  # where FFmpeg takes it to be
            if codec == "h264":
                # The parser would look for key frames in the zeros; without it they are what the file says.
                container.close()
                file.seek(0)
                container = stack.enter_context(_open(file, **({"fflags": "noparse"} if skim else {})))
            if skim:
                file.skim()
        yield container


def _open(file: Any, **options: str) -> InputContainer:
    options |= {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    container: InputContainer = av.open(file, "r", options=options, metadata_errors="ignore", buffer_size=BUFFER)
    return container


def _tells_keys(video: VideoStream, file: Seekable) -> bool:
    """Whether H.264 or HEVC can be understood by what a file says of it, as far as two of its key frames show."""
    codec, extradata = video.codec_context.codec.canonical_name, video.codec_context.extradata
    if may_hold_fields(codec, extradata):
        return False
    keys = [entry for entry in video.index_entries if entry.is_keyframe]
    for entry in keys[1:2] + keys[2:][-1:]:
        file.seek(entry.pos)
        size = min(entry.size, HEAD)
        head = file.read(size)
        head += file.read(size - len(head))  # the first may end where a block does
        packet: Packet[Any] = Packet(len(head))
        packet.update(head)
        picture = picture_reader(codec, extradata)(packet)
        if not picture.entry or picture.changed:
            return False
    return True


def is_listed(video: VideoStream) -> bool:
    """Whether tables of the file list the packets of a stream, and where each of them lies as it is."""
    return "mp4" in video.container.format.name and video.codec_context.codec.canonical_name in LISTED


def best_video(container: InputContainer, name: str) -> VideoStream:
    """The video stream of a file: the first that is not a cover picture.

    Raises:
        MediaError: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise MediaError(f"{name}: holds no video" + (", only sound" if container.streams.audio else ""))
