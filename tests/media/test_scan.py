"""Scanning: what is in a file, without decoding it; and files that are not what they say."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import CodecContext
from av.packet import Packet
from av.stream import Disposition

from dreamlake.core.frameindex import DROPPABLE, KEY, LEADING, FrameIndex
from dreamlake.errors import MediaError
from dreamlake.media.scan import check_video, scan
from tests.clips import CLIPS, REAL_NAMES, TRANSCODED, X264, Clip, decode_plain, maker, pictures, plain_times, real_clip

from ._files import remux, write_pictures

ALL = CLIPS | TRANSCODED


@pytest.fixture(scope="module", params=[*ALL, *REAL_NAMES])
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return maker(tmp_path_factory.mktemp("clips"), ALL)(request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain good clip."""
    return Clip(options={**X264, "g": "15"}, frames=60).make(tmp_path_factory.mktemp("plain") / "good.mp4")


def packets_of(path: Path) -> list[Packet]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def decode_packets(path: Path, keep: np.ndarray) -> dict[int, np.ndarray]:
    """Pictures by pts, decoded from the packets that are kept."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = CodecContext.create(stream.codec_context.name, "r")
        context.extradata = stream.codec_context.extradata
        packets = [packet for packet in container.demux(stream) if packet.size]
    found = {}
    for packet in [*(packet for packet, kept in zip(packets, keep, strict=True) if kept), None]:
        for frame in context.decode(packet):
            found[frame.pts] = frame.to_ndarray(format="rgb24")
    return found


# -- what is found -------------------------------------------------------------------------------------------------


def test_the_index_equals_a_plain_decode(clip: Path) -> None:
    index = scan(clip).index
    expected = plain_times(clip)
    assert len(index) == len(expected)
    assert np.allclose(index.timeline.times, expected, atol=1e-9)
    assert np.all(np.diff(index.pts) > 0)
    assert index.timeline.end > expected[-1]
    with av.open(str(clip)) as container:
        first = next(container.decode(video=0))
        assert index.display_size == (first.width, first.height)[:: -1 if first.rotation % 180 else 1]
        assert index.header.has_audio == bool(container.streams.audio)
        assert index.header.codec == container.streams.video[0].codec_context.codec.canonical_name
    check_video(clip)


def test_keys_are_where_the_container_says(clip: Path) -> None:
    scanned = scan(clip)
    packets = packets_of(clip)
    assert [bool(flag & KEY) for flag in scanned.index.packet_flags] == [packet.is_keyframe for packet in packets]
    assert scanned.packet_bytes.tolist() == [packet.size for packet in packets]
    assert scanned.index.packet_flags[0] & KEY


def test_decoding_times_suit_a_muxer(clip: Path) -> None:
    scanned = scan(clip)
    assert np.all(np.diff(scanned.packet_dts) > 0)
    assert np.all(scanned.packet_dts <= scanned.packet_pts)
    assert scanned.begin <= 0


def test_frame_rates(tmp_path: Path) -> None:
    for name, expected in (("h264", Fraction(30)), ("h264-23.976", Fraction(24000, 1001)), ("vp9", Fraction(30))):
        clip = CLIPS[name]
        assert Fraction(*scan(clip.make(tmp_path / f"{name}{clip.suffix}")).index.header.fps) == expected, name
    clip = CLIPS["h264-variable"]
    index = scan(clip.make(tmp_path / "variable.mp4")).index
    assert index.fps == pytest.approx(len(index) / index.timeline.end, rel=0.005)


def test_leading_pictures_of_an_open_gop(tmp_path: Path) -> None:
    """Each of them needs the GOP before its own, and no other picture does."""
    clip = CLIPS["h264-open-gop"].make(tmp_path / "open.mp4")
    index = scan(clip).index
    expected = decode_plain(clip)
    numbers = np.arange(len(index.packet_flags))
    leading = index.packet_flags & LEADING != 0
    assert leading.any(), "the clip has no open GOP, and this test says nothing"
    by_pts = {int(pts): expected[n] for n, pts in enumerate(index.pts)}
    for number in np.flatnonzero(index.packet_flags & KEY)[1:]:
        # From this key packet on, leaving out its leading pictures: everything is right.
        tail = (numbers >= number) & ~leading
        for pts, picture in decode_packets(clip, tail).items():
            assert np.array_equal(picture, by_pts[pts])
    assert np.array_equal(index.packet_entry[leading] < numbers[leading], np.ones(leading.sum(), bool))


def test_closed_gops_have_no_leading_pictures(tmp_path: Path) -> None:
    clip = CLIPS["h264-pyramid"].make(tmp_path / "closed.mp4")
    assert not (scan(clip).index.packet_flags & LEADING).any()


@pytest.mark.parametrize("name", ["h264", "h264-pyramid", "h264-open-gop", "h264-avi", "bikes.mp4"])
def test_droppable_packets_can_be_dropped(name: str, tmp_path: Path) -> None:
    clip = real_clip(name) if name in REAL_NAMES else CLIPS[name].make(tmp_path / f"{name}{CLIPS[name].suffix}")
    index: FrameIndex = scan(clip).index
    droppable = index.packet_flags & DROPPABLE != 0
    assert droppable.any() == (name != "h264-avi")  # which has no B-frames
    everything = decode_packets(clip, np.ones(len(droppable), bool))
    without = decode_packets(clip, ~droppable)
    assert len(everything) == len(index)
    assert len(without) == len(index) - droppable.sum()
    for pts, picture in without.items():
        assert np.array_equal(picture, everything[pts])


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation(turn: int, tmp_path: Path) -> None:
    upright = list(pictures(10, (160, 96)))
    stored = [np.rot90(picture, turn // 90) for picture in upright]  # a camera held aslant
    clip = write_pictures(Clip(options=X264), tmp_path / "turned.mp4", stored, turn=turn)
    index = scan(clip).index
    assert index.header.rotation == turn
    assert index.display_size == (160, 96)


def test_a_cover_picture_is_not_the_video(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "cover.mp4"
    with av.open(str(plain)) as original, av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        film = output.add_stream_from_template(original.streams.video[0])
        output.start_encoding()
        output.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        output.mux(cover.encode(None))
        for packet in original.demux(video=0):
            if packet.size:
                packet.stream = film
                output.mux(packet)
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 2
    index = scan(path).index
    assert (len(index), index.header.codec, index.display_size) == (60, "h264", (160, 96))
    check_video(path)


# -- files that are not videos -------------------------------------------------------------------------------------


def refused(path: Path) -> None:
    """Both doors are closed, with a message that names the file and says nothing of where it lies."""
    for look in (check_video, scan):
        with pytest.raises(MediaError) as caught:
            look(path)
        assert path.name in str(caught.value)
        assert str(path.parent) not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"hello, world\n" * 1000, bytes(100_000), bytes(range(256)) * 400, b"RIFF\xff\xff\xff\xffAVI LIST"],
    ids=["empty", "one byte", "text", "zeros", "garbage", "a header alone"],
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_what_is_no_video(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"fake{suffix}"
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("movflags", ["faststart", "disable_chpl"], ids=["moov in front", "moov at the end"])
def test_a_file_that_is_cut_short(movflags: str, plain: Path, tmp_path: Path) -> None:
    path = remux(plain, tmp_path / "cut.mp4", movflags=movflags)
    data = path.read_bytes()
    assert (data.index(b"moov") < data.index(b"mdat")) == (movflags == "faststart")
    scan(path)
    last = [len(data) - 1] if movflags == "faststart" else []  # at its other end the moov has text that nobody misses
    for length in (8, 100, len(data) // 10, len(data) // 2, len(data) * 9 // 10, *last):
        path.write_bytes(data[:length])
        refused(path)


def test_a_file_with_damaged_pictures(plain: Path, tmp_path: Path) -> None:
    """The index is right and the data is gone: the first picture does not decode."""
    path = remux(plain, tmp_path / "damaged.mp4", movflags="faststart")
    data = path.read_bytes()
    at = data.index(b"mdat") + 4
    path.write_bytes(data[:at] + bytes(len(data) - at))
    refused(path)


def test_only_sound(tmp_path: Path) -> None:
    for name in ("sound.mp4", "sound.mkv"):
        path = tmp_path / name
        with av.open(str(path), "w") as output:
            stream = output.add_stream("aac", rate=48_000, layout="mono")
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 48_000
            output.mux(stream.encode(sound))
            output.mux(stream.encode(None))
        refused(path)
        with pytest.raises(MediaError, match="sound"):
            scan(path)


@pytest.mark.parametrize("name", ["song.mp4", "song.mp3"])
def test_only_a_cover(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mp3" if name.endswith("mp3") else "aac", rate=48_000, layout="mono")
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        output.start_encoding()
        output.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        for number in range(20):
            size = stream.codec_context.frame_size
            sound = av.AudioFrame.from_ndarray(np.zeros((1, size), np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 48_000, number * size
            output.mux(stream.encode(sound))
        output.mux(stream.encode(None))
        output.mux(cover.encode(None))
    with av.open(str(path)) as container:
        assert [bool(one.disposition & Disposition.attached_pic) for one in container.streams.video] == [True]
    refused(path)


REFERENCES = {
    "concat": "ffconcat version 1.0\nfile {name}\n",
    "concat, absolute": "ffconcat version 1.0\nfile {path}\n",
    "playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\n{path}\n#EXT-X-ENDLIST\n",
    "playlist of URLs": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.0,\nfile://{path}\n#EXT-X-ENDLIST\n",
    "manifest": '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{path}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>",
    "image list": "{name}",
    "session": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
}


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".m3u8"])
def test_a_file_that_points_at_another(kind: str, suffix: str, plain: Path, tmp_path: Path) -> None:
    """What it points at is a good video, and would be found if it were followed."""
    other = tmp_path / "secret.mp4"
    other.write_bytes(plain.read_bytes())
    path = tmp_path / f"innocent{suffix}"
    path.write_text(REFERENCES[kind].format(name=other.name, path=other))
    refused(path)


@pytest.mark.parametrize("name", ["concat:a.mp4", "http:a.mp4", "a|b.mp4", "%d.mp4", "a b?#.mp4", "pipe:0", "-.mp4"])
def test_names_are_no_protocols(name: str, plain: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(plain.read_bytes())
    check_video(path)
    assert len(scan(path).index) == 60
