"""The sound of a video that lies outside of any lake: cut as a lake would cut it, into the cache on disk."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from hashlib import sha256

from dreamlake.core.sampleindex import SampleIndex
from dreamlake.errors import FileChangedError
from dreamlake.media import diskcache
from dreamlake.media.container import open_media
from dreamlake.media.files import MediaFile
from dreamlake.media.scancache import scan_once
from dreamlake.media.soundpieces import VideoTime
from dreamlake.media.soundsplit import SoundChunk, SoundSplitter

__all__ = ["cut_sound", "sound_chunk"]


def cut_sound(file: MediaFile) -> SampleIndex:
    """Walk the sound of a file once, and keep its segments.

    Raises:
        MediaError: it has none that can be decoded.
        FileChangedError: not the file that it was.
    """
    splitter = _splitter(file)
    for _ in _kept(splitter):
        pass
    return splitter.index


def sound_chunk(file: MediaFile, number: int, digest: str) -> bytes:
    """The bytes of a segment; what the cache has let go of is cut again.

    Raises:
        FileChangedError: not the file that it was.
    """
    kept = diskcache.chunks().get(digest)
    if kept is not None and sha256(kept).hexdigest() == digest:
        return kept
    for chunk in _kept(_splitter(file)):
        if chunk.digest.hex() == digest:
            return chunk.data
    raise FileChangedError(f"{file.name}: segment {number} of its sound is not what it was")


def _splitter(file: MediaFile) -> SoundSplitter:
    index = scan_once(file).index
    begin = int(index.pts[0]) * Fraction(*index.header.time_base)
    return SoundSplitter(partial(open_media, file), file.name, VideoTime(begin, index.timeline.end))


def _kept(splitter: SoundSplitter) -> Iterator[SoundChunk]:
    for chunk in splitter.segments():
        diskcache.chunks().put(chunk.digest.hex(), chunk.data)
        yield chunk
