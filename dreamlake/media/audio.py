"""What an audio file is: whether its sound can be decoded, how long it is, and whether all of it is there."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from dreamlake.errors import MediaError

__all__ = ["AudioFacts", "open_audio", "probe_audio"]

# As for videos: nothing that makes FFmpeg open further files.
FORMATS = "wav,mp3,flac,aac,ogg,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm"
TRIED = 16  # packets from the beginning, of which one at least must decode
SLACK = 1.0  # seconds that a file may be shorter than it says: what encoders add at its ends
TAIL = 128 * 1024  # bytes in which the last page of an Ogg file begins
UNKNOWN = {0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF}  # lengths of WAV as FFmpeg, SoX and ALSA write it to a pipe
CHUNKS = 10_000  # that may stand before the sound


@dataclass(frozen=True)
class AudioFacts:
    """What a sidecar says of a recording: the duration in seconds, the sample rate in Hz."""

    duration: float
    sample_rate: int
    channels: int
    codec: str


def probe_audio(path: Path, name: str | None = None) -> AudioFacts:
    """Walk an audio file to its end, and decode its beginning.

    Args:
        path: of the file.
        name: of the file, where the path does not say it.

    Raises:
        MediaError: no sound in it, none that can be decoded, or the file is cut short.
    """
    name = name or path.name
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise MediaError(f"{name}: is empty")
        with _opened(file, name) as container:
            stream = next(iter(container.streams.audio), None)
            if stream is None:
                raise MediaError(f"{name}: holds no sound")
            form = container.format.name
            walk = _Walk(container, stream, name)
            listed = max((entry.pos + entry.size for entry in stream.index_entries), default=0)
            promised = _promised(container, stream)
            codec, duration = stream.codec_context, walk.end - max(0.0, walk.begin)
            facts = AudioFacts(duration, codec.sample_rate, codec.layout.nb_channels, codec.codec.canonical_name)
        size = file.seek(0, 2)
        ends = max(listed, _declared_end(file, form, size))
    if ends > size:
        raise MediaError(f"{name}: cut short: its sound reaches to byte {ends}, and the file has {size}")
    if promised is not None and walk.last < promised - SLACK:
        raise MediaError(f"{name}: cut short: it says that it lasts {promised:.1f} s, and {walk.last:.1f} s are there")
    return facts


@contextmanager
def open_audio(path: Path, name: str) -> Iterator[InputContainer]:
    """Open an audio file for reading.

    Raises:
        MediaError: FFmpeg cannot read it; also for what goes wrong inside the block.
    """
    with path.open("rb") as file, _opened(file, name) as container:
        yield container


@contextmanager
def _opened(file: BinaryIO, name: str) -> Iterator[InputContainer]:
    """The container, and FFmpeg's errors as MediaErrors."""
    # By its descriptor a file has no extension, from which FFmpeg would guess the format of what it does not know.
    options = {"fd": str(file.fileno()), "protocol_whitelist": "fd", "format_whitelist": FORMATS}
    try:
        with av.open("fd:", "r", options=options, metadata_errors="ignore") as container:
            yield container
    except (av.error.FFmpegError, EOFError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise MediaError(f"{name}: cannot be read as audio ({reason})") from error


class _Walk:
    """All packets of a file, one after the other.

    Attributes:
        begin: of the first packet of sound, seconds; below zero where a decoder has to be set going.
        end: of the last packet of sound.
        last: the end of the last packet of anything.
    """

    def __init__(self, container: InputContainer, sound: AudioStream, name: str) -> None:
        begin: float | None = None
        self.end = self.last = 0.0
        tried = decoded = 0
        block: Packet[Any] | None = None
        for packet in _packets(container, sound):
            if not packet.size or packet.pts is None or packet.time_base is None:
                continue
            at, end = (float(ticks * packet.time_base) for ticks in (packet.pts, packet.pts + (packet.duration or 0)))
            self.last = max(self.last, end)
            if packet.stream is not sound:
                continue
            if tried < TRIED:
                tried += 1
                decoded += _decodes(sound, packet)
            begin, self.end, block = at if begin is None else min(begin, at), max(self.end, end), packet
        if not decoded or not sound.codec_context.sample_rate:
            raise MediaError(f"{name}: its sound cannot be decoded")
        if block is not None and not _is_whole(container.format.name, sound, block):
            raise MediaError(f"{name}: cut short: its last block is damaged")
        self.begin = begin or 0.0


def _packets(container: InputContainer, sound: AudioStream) -> Iterator[Packet[Any]]:
    """All packets; of PCM in a WAV, where any byte is a sample and tells nothing, only the first and the last ones."""
    # What no decoder is known for has no name.
    codec = getattr(sound.codec_context, "codec", None)
    pcm = container.format.name == "wav" and codec is not None and codec.name.startswith("pcm_")
    for number, packet in enumerate(container.demux()):
        yield packet
        if pcm and number == TRIED and packet.pts is not None and sound.duration is not None:
            last = sound.duration - sound.codec_context.sample_rate  # a second of them
            if last > packet.pts:
                container.seek(last, stream=sound)


def _decodes(stream: AudioStream, packet: Packet[Any]) -> bool:
    try:
        return bool(stream.codec_context.decode(packet))
    except av.error.FFmpegError:
        return False


def _is_whole(form: str, sound: AudioStream, block: Packet[Any]) -> bool:
    """Whether all of the last block of a file is there, where the block itself can tell."""
    if form == "flac":
        return _decodes(sound, block)  # it has a checksum, and needs no other block
    if form == "aac" and block.size >= 7:
        head = int.from_bytes(bytes(block)[:7], "big")
        return head >> 44 != 0xFFF or head >> 13 & 0x1FFF <= block.size  # the header of ADTS (ISO 13818-7, 6.2)
    return True


def _promised(container: InputContainer, sound: AudioStream) -> float | None:
    """How long the file says that it is, in seconds; None where it does not, and FFmpeg's number is a guess."""
    if container.format.name == "flac" and sound.duration and sound.time_base:
        return float(sound.duration * sound.time_base)
    if "matroska" in container.format.name and container.duration:
        return container.duration / av.time_base
    return None


def _declared_end(file: BinaryIO, form: str, size: int) -> int:
    """The byte at which the file says that its sound ends; 0 where it does not say it."""
    file.seek(0)
    if form == "wav":
        return _wav_end(file)
    if form == "mp3":
        return _mp3_end(file)
    if form == "ogg":
        return _ogg_end(file, size)
    return 0


def _wav_end(file: BinaryIO) -> int:
    """The end of the data chunk (RIFF, and EBU Tech 3306 for the 64 bits of RF64)."""
    large = file.read(12)[:4] in (b"RF64", b"BW64")
    data_size = 0
    for _ in range(CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        name, length = head[:4], int.from_bytes(head[4:], "little")
        if name == b"ds64" and large:
            data_size = int.from_bytes(file.read(16)[8:], "little")
            length -= 16
        if name == b"data":
            return file.tell() + (data_size if length in UNKNOWN else length)
        file.seek(length + length % 2, 1)
    return 0


def _mp3_end(file: BinaryIO) -> int:
    """What the header of Xing, which LAME and FFmpeg write into the first block, says of the length in bytes."""
    begin = 0
    for _ in range(CHUNKS):  # an ID3 tag may stand in front, and another one behind it
        head = file.read(10)
        if head[:3] != b"ID3" or len(head) < 10:
            break
        begin += 10 + sum((byte & 0x7F) << 7 * (3 - at) for at, byte in enumerate(head[6:10]))
        file.seek(begin)
    file.seek(begin)
    block = file.read(256)
    at = max(block.find(b"Xing"), block.find(b"Info"))
    if at < 0 or len(block) < at + 16:
        return 0
    flags, first, second = struct.unpack_from(">III", block, at + 4)
    return begin + (second if flags & 1 else first) if flags & 2 else 0


def _ogg_end(file: BinaryIO, size: int) -> int:
    """The end of the last page (RFC 3533, 6)."""
    begin = file.seek(max(0, size - TAIL))
    tail = file.read()
    at = tail.rfind(b"OggS")
    head = tail[at : at + 27]
    if at < 0:
        return 0
    if len(head) < 27:
        return begin + at + 27
    lengths = tail[at + 27 : at + 27 + head[26]]
    return begin + at + 27 + head[26] + sum(lengths)
