"""From packets to pictures: a decoder is fed just what a run needs.

A run usually ends with the decoder drained, which is the quickest way to its last picture. Where one run follows the
other through the same group of pictures, as in a loop over frames, the decoder is parked instead: it stays where it
is, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from dreamlake.core.decodeplan import Run
from dreamlake.core.frameindex import FrameIndex, IndexHeader
from dreamlake.core.pixels import AS_STORED, PixelFormat
from dreamlake.errors import MediaError
from dreamlake.media import pool
from dreamlake.media.decoder import Decoder
from dreamlake.media.intact import Intact
from dreamlake.media.stored import StoredPackets

__all__ = ["decode_run"]

Pixels = NDArray[Any]


def decode_run(
    index: FrameIndex,
    run: Run,
    segments: Sequence[StoredPackets],
    form: PixelFormat = AS_STORED,
    threads: int = 1,
) -> Iterator[tuple[int, Pixels]]:
    """Decode one run.

    Args:
        index: of the video.
        run: what to decode.
        segments: the packets of ``run.segments``, in that order.
        form: how the pictures are wanted.
        threads: of the decoder, if it is worth while.

    Yields:
        Frame number and its (H, W, 3) RGB pixels.

    Raises:
        MediaError: a wanted frame did not come out of the decoder.
    """
    header, missing = index.header, set(run.frames.tolist())
    for number, picture, damaged, decoder in _pictures(index, run, segments, threads, missing):
        if number not in missing:
            continue
        if damaged:
            raise MediaError(f"frame {number} is damaged, or made from one that is")
        if (picture.width, picture.height) != (header.width, header.height):
            raise MediaError(f"frame {number} is {picture.width}x{picture.height}: the size changes on the way")
        missing.remove(number)
        yield number, decoder.pixels(picture, header.rotation, form)
    if missing:
        raise MediaError(f"frame {min(missing)} could not be decoded (and {len(missing) - 1} more)")


def _pictures(
    index: FrameIndex, run: Run, segments: Sequence[StoredPackets], threads: int, missing: set[int]
) -> Iterator[tuple[int, VideoFrame, bool, Decoder]]:
    """The pictures that come out, with their frame numbers, until no frame is missing any more or no packet is left.

    The caller takes the frames that it is given out of ``missing``.
    """
    spot, stepping = pool.decoders.find(index, run)
    if spot is None:
        # Frame threads take a picture for damaged whose fields come in packets of their own.
        threads = threads if len(run.packets) > 2 * threads and not index.has_fields else 1
        key = _kind(index.header, segments[0].extradata, threads)
        decoder = pool.decoders.take(key) or Decoder(index.header, segments[0].extradata, threads)
        entry = int(run.packets[0])
        intact = Intact(index, entry)
        if not stepping:
            for packet in chain(_packets(run.packets, segments), [None]):
                for picture in _through(decoder, intact, packet):
                    yield *picture, decoder
                if not missing:
                    break
            if intact.all_sound:  # nor is one taken back that failed
                pool.decoders.give(key, decoder)
            return
        spot = pool.Spot(index, decoder, key, intact, start=entry, next=entry)
    yield from _go_on(spot, run, segments, missing)


def _go_on(
    spot: pool.Spot, run: Run, segments: Sequence[StoredPackets], missing: set[int]
) -> Iterator[tuple[int, VideoFrame, bool, Decoder]]:
    """The same from a decoder that stands before what is missing, which is parked again afterwards."""
    end = segments[-1].first + len(segments[-1].packets)
    # Pictures come out some packets later than they went in; what pushes them out may be asked for next.
    beyond = np.arange(max(int(run.packets[-1]) + 1, spot.next), end)
    packets = _packets(np.concatenate([run.packets[run.packets >= spot.next], beyond]), segments)
    pictures, spot.ready = spot.ready, []
    last = int(run.frames[-1])
    while True:
        for picture in pictures:
            if picture[0] > last:
                spot.ready.append(picture)
            else:
                yield *picture, spot.decoder
        if not missing or spot.drained:
            break
        packet = next(packets, None)
        spot.drained = packet is None
        if packet is not None:
            spot.next = int(packet.dts or 0) + 1
            spot.inside.add(int(packet.pts or 0))
        try:
            pictures = list(_through(spot.decoder, spot.intact, packet))
        except MediaError:
            if packet is None or spot.next <= run.packets[-1] + 1:
                raise
            # Nobody asked for that packet: what went in before it comes out without. The decoder ends with this walk.
            spot.drained, spot.key = True, None
            pictures = list(_through(spot.decoder, spot.intact, None))
        spot.inside -= {number for number, _, _ in pictures}
    pool.decoders.park(spot)


def _through(decoder: Decoder, intact: Intact, packet: Packet[Any] | None) -> Iterator[tuple[int, VideoFrame, bool]]:
    """Put a packet into a decoder; with None, take out all that is left."""
    if packet is not None:
        intact.went_in(int(packet.dts or 0))
    return intact.came_out(decoder.feed(packet), last=packet is None)


def _kind(header: IndexHeader, extradata: bytes | None, threads: int) -> Hashable | None:
    """What decoders have in common that can stand in for each other; None for one that cannot be used again."""
    if header.parameters_change:
        return None  # a flush would leave it the parameter sets that it decoded last
    return (
        *(header.codec, header.codec_tag, header.bits_per_pixel, extradata, threads),
        *(header.color_space, header.color_range, header.pix_fmt, header.width, header.height),
    )


def _packets(numbers: NDArray[np.int64], segments: Sequence[StoredPackets]) -> Iterator[Packet[Any]]:
    """The packets with these numbers, out of the segments that hold them."""
    for segment in segments:
        within = numbers - segment.first
        for number in within[(within >= 0) & (within < len(segment.packets))].tolist():
            yield segment.packets[number]
