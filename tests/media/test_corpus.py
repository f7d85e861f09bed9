"""Below the API: what the index says of the traps, and transport streams, which no lake takes by their name."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import CodecContext
from numpy.typing import NDArray

from dreamlake.core.decodeplan import plan_runs
from dreamlake.core.frameindex import DROPPABLE, KEY, LEADING, SECOND_FIELD, FrameIndex
from dreamlake.errors import MediaError
from dreamlake.media.decode import decode_run
from dreamlake.media.scan import scan
from dreamlake.media.split import STREAM_COPY, Splitter
from dreamlake.media.stored import demux_segment
from tests.corpus import TRAPS, make
from tests.corpus.changes import with_two_descriptions
from tests.corpus.oracle import plain

STREAMS = [name for name, trap in TRAPS.items() if trap.suffix == ".ts" and "mpeg2" not in name]


def flags(corpus: Path, name: str) -> NDArray[np.uint8]:
    return scan(make(name, corpus)).index.packet_flags


# -- transport streams in a lake -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STREAMS)
def test_transport_streams_are_stored_exactly(name: str, corpus: Path, tmp_path: Path) -> None:
    path = make(name, corpus)
    scanned = scan(path)
    assert scanned.index.header.codec in STREAM_COPY
    splitter = Splitter(path, scanned, tmp_path)
    data = [segment.path.read_bytes() for segment in splitter.segments()]
    index = FrameIndex.from_bytes(splitter.index.to_bytes())
    stored = [demux_segment(one, splitter.init, index, number) for number, one in enumerate(data)]
    expected, _ = plain(path)
    for wanted in (range(len(expected)), range(1, len(expected), 9), [len(expected) - 1]):
        found = {
            number: picture.copy()
            for run in plan_runs(index, wanted)
            for number, picture in decode_run(index, run, [stored[segment] for segment in run.segments])
        }
        assert sorted(found) == sorted(wanted)
        for number, picture in found.items():
            assert np.array_equal(picture, expected[number]), f"frame {number}"


# -- what the index says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["hevc-open-gop", "hevc-open-gop-ts", "hevc-radl", "hevc-temporal-layers", "h264-pyramid", "h264-mbaff"]
)
def test_what_is_droppable_changes_no_other_picture(name: str, corpus: Path) -> None:
    path = make(name, corpus)
    droppable = flags(corpus, name) & DROPPABLE != 0
    assert len(droppable) / 5 < droppable.sum() < len(droppable)
    everything, without = decoded(path, droppable & False), decoded(path, droppable)
    assert len(everything) == len(droppable)
    assert len(without) == len(droppable) - droppable.sum()
    assert all(np.array_equal(picture, everything[pts]) for pts, picture in without.items())


def decoded(path: Path, left_out: NDArray[np.bool_]) -> dict[int, NDArray[np.uint8]]:
    """Pictures by pts, without some of the packets."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = CodecContext.create(stream.codec_context.name, "r")
        context.extradata = stream.codec_context.extradata
        packets = [packet for packet in container.demux(stream) if packet.size]
    kept = [packet for packet, out in zip(packets, left_out, strict=True) if not out]
    return {frame.pts: frame.to_ndarray(format="rgb24") for packet in [*kept, None] for frame in context.decode(packet)}


def test_a_lower_layer_is_not_droppable(corpus: Path) -> None:
    """Nothing of its own layer refers to it, but a higher one may."""
    with av.open(str(make("hevc-temporal-layers", corpus))) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    layers = [(packet[slice_at(packet) + 5] & 7) - 1 for packet in packets]
    assert set(layers) > {0}
    droppable = flags(corpus, "hevc-temporal-layers") & DROPPABLE != 0
    assert {layer for layer, drop in zip(layers, droppable, strict=True) if drop} == {max(layers)}


def slice_at(packet: bytes) -> int:
    """Where the length of the first slice is."""
    at = 0
    while packet[at + 4] >> 1 & 63 >= 32:
        at += 4 + int.from_bytes(packet[at : at + 4], "big")
    return at


@pytest.mark.parametrize(
    ("name", "keys", "leading"),
    [
        ("hevc-open-gop", True, True),
        ("hevc-radl", True, False),  # decode from their own key picture
        ("h264-open-gop", True, True),
        ("h264-open-gop-ts", True, True),
        ("h264-intra-refresh", False, False),
        ("h264-intra-refresh-ts", False, False),
        ("h264-pyramid", True, False),
        ("mpeg4-packed", False, False),
    ],
)
def test_entries(name: str, keys: bool, leading: bool, corpus: Path) -> None:
    found = flags(corpus, name)
    assert found[0] & KEY
    assert bool((found[1:] & KEY).any()) == keys
    assert bool((found & LEADING).any()) == leading
    with av.open(str(make(name, corpus))) as container:
        assert sum(packet.is_keyframe for packet in container.demux(video=0)) > 1  # for all that the container says


def test_entries_have_their_parameter_sets(corpus: Path) -> None:
    """Of 120 frames, the middle 40 are another encoder's, and then the first one's sets come again."""
    for name in ("parameters-change-once", "parameters-change-once-hevc"):
        keys = np.flatnonzero(flags(corpus, name) & KEY)
        assert keys.tolist() == [0, 10, 20, 30, 40, 80, 90, 100, 110], name
    for name in ("parameters-change-ts", "parameters-change-mkv"):
        assert np.flatnonzero(flags(corpus, name) & KEY).tolist() == list(range(0, 120, 10)), name


@pytest.mark.parametrize("name", ["fields-ts", "fields-mkv", "fields-mp4"])
def test_fields_are_paired(name: str, corpus: Path) -> None:
    index = scan(make(name, corpus)).index
    assert (index.packet_flags & SECOND_FIELD != 0).tolist() == [False, True] * (len(index.packet_flags) // 2)
    assert index.fps == pytest.approx(25, rel=0.01)
    assert index.timeline.end == pytest.approx(len(index) / 25, abs=1e-3)


def test_sample_descriptions_that_differ_are_refused(tmp_path: Path) -> None:
    path = with_two_descriptions(tmp_path / "two.mp4")
    assert path.read_bytes().count(b"avcC") == 2
    with pytest.raises(MediaError, match="parameters change at frame 40"):
        scan(path)


# -- that the traps are traps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "packets", "frames"),
    [
        ("mp4-edit-list-in-a-gop", 40, 35),
        ("mp4-edit-list-at-a-b-frame", 60, 49),
        ("mp4-edit-list-hevc", 51, 40),
        ("mp4-ends-early", 41, 25),
        ("hevc-begins-in-the-midst", 92, 88),
        ("h264-begins-in-a-refresh", 45, 32),
        ("fields-ts", 120, 60),
    ],
)
def test_packets_that_are_not_frames(name: str, packets: int, frames: int, corpus: Path) -> None:
    scanned = scan(make(name, corpus))
    assert (len(scanned.packet_bytes), len(scanned.index)) == (packets, frames)


def test_times_that_are_hard(corpus: Path) -> None:
    with av.open(str(make("ts-wrap", corpus))) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert min(stamps) < 0 < max(stamps)  # FFmpeg counts from where the 33 bits run over
    for name in ("duplicate-times-mkv", "duplicate-key-times-mkv"):
        assert (np.diff(scan(make(name, corpus)).index.pts) == 0).any(), name
    assert scan(make("mp4-start-time", corpus)).index.pts[0] > 0
    with av.open(str(make("avi-b-frames", corpus))) as container:
        stamps = [packet.pts for packet in container.demux(video=0) if packet.size]
        assert stamps == sorted(stamps)  # although the pictures are not in this order


def test_streams_that_are_not_the_video(corpus: Path) -> None:
    for name, kinds in (
        ("cover-first", ["mjpeg", "h264"]),
        ("cover-last", ["h264", "mjpeg"]),
        ("two-videos", ["h264", "h264"]),
        ("sound-ts", ["aac", "h264"]),
        ("quicktime", ["h264", "data"]),
        ("measurements-ts", ["data", "h264"]),
        ("subtitles-mkv", ["srt", "h264"]),
    ):
        with av.open(str(make(name, corpus))) as container:
            found = [stream.codec_context.name if stream.codec_context else stream.type for stream in container.streams]
        assert found == kinds, name
