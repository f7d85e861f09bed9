"""Splitting: segments that begin at key frames, are named by their content, and lose nothing."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dreamlake.core.frameindex import KEY
from dreamlake.core.segments import MAX_BYTES, MAX_SECONDS, TARGET_SECONDS
from dreamlake.media.scan import Scan, scan
from dreamlake.media.split import Splitter, container_for
from dreamlake.media.stored import demux_segment
from dreamlake.media.transcode import needs_rewrite
from tests.clips import CLIPS, REAL_NAMES, X264, Clip, maker

from ._files import write_pictures

COPIED = [name for name in CLIPS if name != "h264-pcm"]


@pytest.fixture(scope="module", params=[*COPIED, *REAL_NAMES])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return maker(tmp_path_factory.mktemp("clips"), CLIPS)(request.param)


def split(path: Path, folder: Path) -> tuple[Scan, Splitter, list[bytes]]:
    """What was scanned, the finished splitter and the bytes of the segments."""
    folder.mkdir(parents=True, exist_ok=True)
    scanned = scan(path)
    splitter = Splitter(path, scanned, folder)
    return scanned, splitter, [segment.path.read_bytes() for segment in splitter.segments()]


def check_cuts(scanned: Scan, splitter: Splitter) -> None:
    """Cut only at key packets; 2 to 4 seconds and 8 MB at most, unless one GOP alone is more."""
    index = splitter.index
    cuts = index.segment_packet
    assert cuts[0] == 0
    assert cuts[-1] == len(index.packet_flags)
    assert np.all(index.packet_flags[cuts[:-1]] & KEY)
    keys = [*np.flatnonzero(index.packet_flags & KEY).tolist(), len(index.packet_flags)]
    seconds = [*index.timeline.times[index.packet_frame[keys[:-1]]], index.timeline.end]
    for number, (first, last) in enumerate(pairwise(cuts.tolist())):
        gop, end = keys.index(first), keys.index(last)
        size, length = scanned.packet_bytes[first:last].sum(), seconds[end] - seconds[gop]
        if end - gop > 1:
            assert length <= MAX_SECONDS + 1e-6, number
            assert size <= MAX_BYTES, number
        if length < TARGET_SECONDS - 1e-6 and last != keys[-1]:  # the next GOP would have been too much
            more = scanned.packet_bytes[first : keys[end + 1]].sum()
            assert seconds[end + 1] - seconds[gop] > MAX_SECONDS or more > MAX_BYTES, number


def test_segments(clip: Path, tmp_path: Path) -> None:
    scanned, splitter, segments = split(clip, tmp_path / "one")
    index = splitter.index
    assert len(segments) == splitter.count == index.segments
    check_cuts(scanned, splitter)

    for number, data in enumerate(segments):
        assert bytes(index.segment_sha256[number]) == sha256(data).digest()
        assert index.segment_size[number] == len(data)
        stored = demux_segment(data, splitter.init, index, number)
        first, last = index.segment_packet[number : number + 2]
        assert len(stored.packets) == last - first
        if splitter.container == "mp4":  # as copied; a transport stream writes parameter sets in between
            assert [packet.size for packet in stored.packets] == scanned.packet_bytes[first:last].tolist()

    spans = index.segment_spans()
    assert spans[0][0] == 0
    for (start, length), (following, _) in pairwise(spans):
        assert start + length == pytest.approx(following)
    assert sum(spans[-1]) == pytest.approx(index.timeline.end)


def test_two_runs_give_the_same_bytes(clip: Path, tmp_path: Path) -> None:
    _, one, first = split(clip, tmp_path / "one")
    _, two, second = split(clip, tmp_path / "two")
    assert first == second
    assert one.init == two.init
    assert one.index.to_bytes() == two.index.to_bytes()


def test_containers_suit_the_codecs(tmp_path: Path) -> None:
    expected = {"h264": "mpegts", "h264-sound": "mpegts", "h264-opus": "mp4", "av1": "mp4", "vp9": "mp4"}
    for name, container in expected.items():
        path = CLIPS[name].make(tmp_path / f"{name}{CLIPS[name].suffix}")
        _, splitter, segments = split(path, tmp_path / name)
        assert splitter.index.header.container == container, name
        header = splitter.index.header
        if container == "mpegts":
            assert (splitter.init, header.init_hash) == (b"", None)
            for data in segments:
                assert len(data) % 188 == 0
                assert set(data[::188]) == {0x47}
        else:
            assert header.init_hash == sha256(splitter.init).hexdigest()
            assert splitter.init[4:8] == b"ftyp"
            assert b"moov" in splitter.init
            for data in segments:
                assert data[4:8] == b"moof"
                assert b"moov" not in data


def test_which_container() -> None:
    for video, audio, expected in (
        ("h264", None, "mpegts"),
        ("h264", "aac", "mpegts"),
        ("hevc", "mp3", "mpegts"),
        ("h264", "opus", "mp4"),
        ("hevc", "flac", "mp4"),
        ("av1", None, "mp4"),
        ("av1", "aac", "mp4"),
        ("vp9", "opus", "mp4"),
    ):
        assert container_for(video, audio) == expected


def test_what_is_copied_and_what_is_not(clip: Path) -> None:
    assert not needs_rewrite(scan(clip))


def test_the_init_section_is_one_for_all(tmp_path: Path) -> None:
    path = Clip(codec="libsvtav1", options={"preset": "12", "g": "30", "svtav1-params": "lp=1"}, frames=240)
    _, splitter, segments = split(path.make(tmp_path / "a.mp4"), tmp_path / "segments")
    assert len(segments) == 4
    playlist = splitter.playlist(lambda digest, extension: f"chunks/{digest[:16]}.{extension}")
    assert playlist.init == f"chunks/{sha256(splitter.init).hexdigest()[:16]}.mp4"
    assert playlist.uris == [f"chunks/{sha256(data).hexdigest()[:16]}.m4s" for data in segments]
    assert playlist.durations == [2.0] * 4


def test_a_common_beginning_has_common_segments(tmp_path: Path) -> None:
    """Content addressing pays when two recordings share pictures."""
    options = {**X264, "g": "30", "sc_threshold": "0", "rc-lookahead": "0", "crf": "20"}
    made = [Clip(options=options, frames=frames).make(tmp_path / f"{frames}.mp4") for frames in (120, 180)]
    short, long = (split(path, path.with_suffix(""))[2] for path in made)
    assert short[0] == long[0]


@pytest.mark.parametrize(("gop", "segments"), [(15, 5), (60, 5), (75, 4), (150, 2), (300, 1)])
def test_lengths_of_gops(gop: int, segments: int, tmp_path: Path) -> None:
    clip = Clip(options={**X264, "g": str(gop), "sc_threshold": "0"}, frames=300).make(tmp_path / "a.mp4")
    scanned, splitter, found = split(clip, tmp_path / "segments")
    check_cuts(scanned, splitter)
    assert len(found) == segments


@pytest.mark.parametrize(("gop", "least"), [(5, 3), (45, 1)])
def test_segments_do_not_grow_beyond_8_mb(gop: int, least: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(7)
    pictures = (noise.integers(0, 256, (360, 640, 3), np.uint8) for _ in range(45))
    options = {"preset": "ultrafast", "qp": "0", "g": str(gop)}
    clip = write_pictures(Clip(options=options), tmp_path / "noise.mp4", pictures)
    scanned, splitter, found = split(clip, tmp_path / "segments")
    assert scanned.packet_bytes.sum() > 2 * MAX_BYTES
    check_cuts(scanned, splitter)
    if gop == 45:
        assert len(found) == 1  # one GOP cannot be cut
    else:
        assert len(found) >= least
