"""Scanning a remote file finds what scanning it here finds, without fetching what is in the packets."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from av.packet import Packet

from dreamlake.core.frameindex import DROPPABLE, LEADING
from dreamlake.errors import FileChangedError, MediaError
from dreamlake.media.files import LocalFile
from dreamlake.media.original import read_segment
from dreamlake.media.remote import media_file
from dreamlake.media.scan import Scan, scan
from tests.clips import CLIPS, PLAINER, REAL_NAMES, TRANSCODED, X264, Clip, cut_out, join, real_clip, remux
from tests.webserver import WebServer

X265 = {"preset": "ultrafast", "x265-params": "log-level=none:open-gop=1:keyint=20:min-keyint=20:bframes=4"}
MORE = {
    "hevc-open-gop": Clip("libx265", options=X265, suffix=".mov"),
    "long": Clip(options={**X264, "g": "24", "x264-params": "open-gop=1:bframes=3:b-adapt=0"}, frames=900),
    "hevc-long": Clip("libx265", options=X265, frames=900),
    "interlaced": Clip(options={**X264, "flags": "+ildct+ilme", "x264-params": "tff=1"}),
    "mpeg2": Clip("mpeg2video", options={"bf": "2", "g": "12"}),
    "mpeg4-mp4": Clip("mpeg4", options={"b": "4M", "bf": "2"}),
    "prores": Clip("prores_ks", suffix=".mov", pix_fmt="yuv422p10le", frames=9),
}
REMUXED = {
    "faststart": ("h264-open-gop", ".mp4", "faststart"),
    "fragments": ("h264-sound", ".mp4", "frag_keyframe+empty_moov+default_base_moof"),
    "fragment-of-a-frame": ("h264-open-gop", ".mp4", "frag_every_frame+empty_moov"),
    "dash": ("h264-sound", ".mp4", "dash+global_sidx"),
    "mov": ("h264-sound", ".mov", ""),
    "ts": ("h264-open-gop", ".ts", ""),
    "mkv": ("h264-open-gop", ".mkv", ""),
    "vp9-mp4": ("vp9", ".mp4", ""),
}
ALL = CLIPS | TRANSCODED | MORE | {"plainer": PLAINER}
UNSEEN = ("long", "hevc-long", "h264-sound", "mov", "bikes.mp4")  # the others are so short that all of them is fetched
ACCESS = {".mp4": "listed", ".mov": "listed", ".ts": "position"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {"": tmp_path_factory.mktemp("remote")}


def file_of(name: str, made: dict[str, Path]) -> Path:
    if name in REAL_NAMES:
        return real_clip(name)
    if name not in made:
        if name in ALL:
            made[name] = ALL[name].make(made[""] / f"{name}{ALL[name].suffix}")
        elif name == "false-keys":
            made[name] = false_keys(file_of("long", made), made[""] / "false-keys.mp4", range(10, 900, 24))
        elif name == "two-entries":
            sources = [file_of(source, made) for source in ("h264-open-gop", "plainer")]
            made[name] = join(sources, made[""] / "two-entries.mp4")
        elif name == "edit-list":  # begins in the midst of an open GOP
            made[name] = cut_out(file_of("h264-open-gop", made), made[""] / "edit-list.mp4", 23)
        else:
            source, suffix, flags = REMUXED[name]
            options = {"movflags": flags} if flags else {}
            made[name] = remux(file_of(source, made), made[""] / f"{name}{suffix}", **options)
    return made[name]


def false_keys(source: Path, target: Path, numbers: Iterable[int]) -> Path:
    """A file whose tables call more packets key packets than decoding may begin with."""
    with av.open(str(source)) as original, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(original.streams.video[0])
        for number, packet in enumerate(original.demux(video=0)):
            if packet.size:
                packet.is_keyframe |= number in numbers
                packet.stream = stream
                output.mux(packet)
    return target


def packets_of(path: Path) -> list[Packet]:
    with av.open(str(path)) as container:
        return list(container.demux(video=0))


def same(one: Scan, two: Scan) -> bool:
    unseen = DROPPABLE | LEADING if two.keys_unseen else 0
    flags = [scanned.index.packet_flags & (255 ^ unseen) for scanned in (one, two)]
    leading = [scanned.index.packet_flags & LEADING for scanned in (one, two)]
    arrays = ("packet_bytes", "packet_pts", "packet_dts", "demuxed_pts", "packet_pos")
    indexed = ("pts", "frame_packet", "segment_packet")
    return (
        all(np.array_equal(getattr(one, name), getattr(two, name)) for name in arrays)
        and all(np.array_equal(getattr(one.index, name), getattr(two.index, name)) for name in indexed)
        and np.array_equal(*flags)
        and bool((leading[0] <= leading[1]).all())  # some of them may decode from their own key frame
        and (one.index.header, one.begin, one.audio_codec) == (two.index.header, two.begin, two.audio_codec)
        and (one.extradata, one.changes, one.access) == (two.extradata, two.changes, two.access)
    )


@pytest.mark.parametrize("name", [*ALL, *REMUXED, *REAL_NAMES, "edit-list", "two-entries", "false-keys"])
def test_a_remote_scan_equals_a_local_one(made: dict[str, Path], name: str) -> None:
    path = file_of(name, made)
    here = scan(LocalFile(path))
    with WebServer() as web:
        remote = media_file(web.put(path.name, path.read_bytes()))
        there = scan(remote)
        assert same(here, there)
        assert there.access == ("time" if name in ("mpeg2", "mpeg4-mp4") else ACCESS.get(path.suffix, "time"))
        assert there.keys_unseen or name not in UNSEEN
        assert not there.keys_unseen or there.access == "listed"
        local, plain = LocalFile(path), [packet for packet in packets_of(path) if packet.size]
        kept = pickle.loads(pickle.dumps(there))  # all that a reader needs
        for segment in range(min(here.index.segments, 8)):
            mine, theirs = read_segment(local, here, segment), read_segment(remote, kept, segment)
            expected = plain[mine.first : mine.first + len(mine.packets)]
            for read in (mine, theirs):
                assert [bytes(packet) for packet in read.packets] == [bytes(packet) for packet in expected]
                assert [packet.is_keyframe for packet in read.packets] == [packet.is_keyframe for packet in expected]


def test_a_false_key_frame_among_true_ones_is_an_error(made: dict[str, Path]) -> None:
    path = false_keys(file_of("long", made), made[""] / "one-false.mp4", [700])
    with WebServer() as web:
        remote = media_file(web.put(path.name, path.read_bytes()))
        found = scan(remote)
        wrong = found.index.segment_of(700)
        assert 0 < wrong < found.index.segments - 1
        read_segment(remote, found, 0)
        with pytest.raises(MediaError, match="key frame"):
            read_segment(remote, found, wrong)


def test_a_file_that_changes_during_its_scan(made: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "changing.mp4"
    path.write_bytes(file_of("h264", made).read_bytes())
    file = LocalFile(path)
    assert scan(file).index.segments > 0
    path.write_bytes(file_of("av1", made).read_bytes())
    with pytest.raises(FileChangedError):
        scan(file)
    with pytest.raises(FileChangedError):
        file.read(0, 10)
    path.unlink()
    assert not file.is_current()
    with pytest.raises(FileChangedError):
        file.read(0, 10)


@pytest.mark.parametrize("name", ["h264.mp4", "faststart.mp4", "fragments.mp4", "ts.ts"])
@pytest.mark.parametrize("part", [0.02, 0.4, 0.9])
def test_what_is_cut_short_is_found_out_there_as_here(
    made: dict[str, Path], tmp_path: Path, name: str, part: float
) -> None:
    whole = file_of(name.partition(".")[0], made).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: int(len(whole) * part)])

    def outcome(file: Path) -> object:
        try:
            return scan(file).index.to_bytes()
        except MediaError as error:
            return str(error).replace(getattr(file, "uri", str(file)), "").replace(path.name, "")

    with WebServer() as web:
        assert outcome(media_file(web.put(name, path.read_bytes()))) == outcome(path)
