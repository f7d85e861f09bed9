"""The fallback: what no segment can carry is written anew, frame for frame and in its own colours."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from dreamlake.core.frameindex import FrameIndex
from dreamlake.media.scan import Scan, scan
from dreamlake.media.split import Splitter
from dreamlake.media.transcode import needs_rewrite, rewrite
from tests.clips import TRANSCODED, X264, Clip, decode_plain, pictures, plain_times
from tests.corpus.oracle import nearest, psnr

from ._files import write_pictures

MPEG4 = Clip(codec="mpeg4", options={"b": "4M"}, suffix=".avi")
MJPEG = Clip(codec="mjpeg", pix_fmt="yuvj420p", options={"q": "2"}, suffix=".mov")
SIZE = (160, 96)


def rewritten(path: Path) -> tuple[Path, Scan, FrameIndex]:
    """The copy of a file, what was scanned in it and the index that is stored."""
    scanned = scan(path)
    assert needs_rewrite(scanned)
    target = path.parent / "copy" / f"{path.stem}.mp4"
    target.parent.mkdir()
    said: list[float] = []
    transcoded_from = rewrite(path, scanned, target, said.append)
    assert said == sorted(said)
    assert said[-1] == pytest.approx(1)
    again = scan(target)
    assert not needs_rewrite(again)
    splitter = Splitter(target, again, target.parent, transcoded_from)
    assert len(list(splitter.segments())) == splitter.count
    return target, again, splitter.index


def sound(path: Path) -> NDArray[np.generic]:
    """(channels, samples) of the first audio stream, as they are decoded."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    channels = frames[0].layout.nb_channels
    parts = [
        frame.to_ndarray() if frame.format.is_planar else frame.to_ndarray().reshape(-1, channels).T for frame in frames
    ]
    return np.concatenate(parts, axis=1)


# -- pictures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRANSCODED)
def test_frame_k_of_the_copy_is_frame_k_of_the_original(name: str, tmp_path: Path) -> None:
    clip = TRANSCODED[name].make(tmp_path / f"{name}{TRANSCODED[name].suffix}")
    copy, _, index = rewritten(clip)
    assert index.header.transcoded_from == name
    assert index.header.codec == "h264"
    originals, copies = decode_plain(clip), decode_plain(copy)
    assert len(copies) == len(originals) == len(index)
    assert np.allclose(index.timeline.times, plain_times(clip), atol=1e-9)
    assert index.timeline.end == pytest.approx(scan(clip).index.timeline.end)
    assert index.fps == scan(clip).index.fps
    assert min(map(psnr, originals, copies)) > 35
    assert nearest(copies, originals).tolist() == list(range(len(originals)))


def test_key_frames_come_often_enough(tmp_path: Path) -> None:
    clip = Clip(codec="mpeg4", options={"b": "4M", "g": "300"}, suffix=".avi", frames=200).make(tmp_path / "a.avi")
    index = rewritten(clip)[2]
    assert max(length for _, length in index.segment_spans()) <= 4


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("mpeg4", "yuv420p", ".avi"),
        ("mpeg2video", "yuv420p", ".mkv"),
        ("mjpeg", "yuvj422p", ".avi"),
        ("mjpeg", "yuvj444p", ".avi"),
        ("prores_ks", "yuv422p10le", ".mov"),
        ("ffv1", "gray", ".mkv"),
        ("ffv1", "bgr0", ".mkv"),
        ("png", "rgb24", ".mov"),
        ("rawvideo", "bgr24", ".avi"),
    ],
)
def test_other_codecs_keep_their_pictures(codec: str, pix_fmt: str, suffix: str, tmp_path: Path) -> None:
    options = {"b": "6M"} if codec.startswith("mpeg") else {"q": "2"} if codec == "mjpeg" else {}
    clip = Clip(codec=codec, pix_fmt=pix_fmt, suffix=suffix, options=options, frames=12).make(tmp_path / f"a{suffix}")
    copy, _, index = rewritten(clip)
    originals, copies = decode_plain(clip), decode_plain(copy)
    assert len(copies) == len(originals) == len(index)
    assert np.allclose(index.timeline.times, plain_times(clip), atol=1e-9)
    assert min(map(psnr, originals, copies)) > 35


@pytest.mark.parametrize("clip", [MPEG4, MJPEG], ids=["mpeg4", "mjpeg"])
@pytest.mark.parametrize("size", [(161, 96), (160, 97), (161, 97)])
def test_odd_sizes(clip: Clip, size: tuple[int, int], tmp_path: Path) -> None:
    """Half a chroma sample more than 4:2:0 holds; not a row and not a column is lost."""
    path = write_pictures(clip, tmp_path / f"a{clip.suffix}", pictures(10, size))
    copy, _, index = rewritten(path)
    assert index.display_size == size
    originals, copies = decode_plain(path), decode_plain(copy)
    assert [picture.shape for picture in copies] == [picture.shape for picture in originals]
    # Colours are interpolated otherwise than where chroma is halved; a picture that is shifted has below 25 dB.
    assert min(map(psnr, originals, copies)) > 30


# -- the way they are displayed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", [90, 180, 270])
@pytest.mark.parametrize("clip", [MJPEG, Clip(codec="mpeg4", options={"b": "4M"})], ids=["mjpeg", "mpeg4"])
def test_a_rotated_clip_is_displayed_upright(clip: Clip, turn: int, tmp_path: Path) -> None:
    upright = list(pictures(10, SIZE))
    stored = (np.rot90(picture, turn // 90) for picture in upright)  # a camera held aslant
    path = write_pictures(clip, tmp_path / f"a{clip.suffix}", stored, turn=turn)
    assert scan(path).index.header.rotation == turn
    copy, _, index = rewritten(path)
    assert index.header.rotation in (0, turn)  # turned when it is displayed, or turned already
    assert index.display_size == SIZE
    shown = [np.rot90(picture, -index.header.rotation // 90) for picture in decode_plain(copy)]
    assert min(map(psnr, upright, shown)) > 28


def test_a_rotated_clip_whose_sound_alone_is_rewritten_stays_rotated(tmp_path: Path) -> None:
    path = tmp_path / "a.mov"
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=30, options=X264)
        video.width, video.height, video.pix_fmt = 96, 160, "yuv420p"
        video.set_display_rotation(-90)
        audio = output.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for number, picture in enumerate(pictures(10, (96, 160))):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        tone = av.AudioFrame.from_ndarray(np.arange(4800, dtype=np.int16)[None], format="s16", layout="mono")
        tone.sample_rate, tone.pts = 48_000, 0
        output.mux(audio.encode(tone))
        output.mux(audio.encode(None))
    assert scan(path).index.header.rotation == 90
    copy, _, index = rewritten(path)
    assert index.header.transcoded_from is None
    assert (index.header.rotation, index.display_size) == (90, (160, 96))
    assert all(map(np.array_equal, decode_plain(copy), decode_plain(path)))


# -- colours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrix", [1, 5, 6, 9], ids=["BT.709", "BT.470BG", "BT.601", "BT.2020"])
@pytest.mark.parametrize("full", [False, True], ids=["limited range", "full range"])
def test_colours(matrix: int, full: bool, tmp_path: Path) -> None:
    """The pictures are tagged, and a plain conversion of the copy gives the colours that one of the original gives."""
    clip = Clip(codec="ffv1", suffix=".mkv")
    settings = {"colorspace": matrix, "color_range": 2 if full else 1}
    path = write_pictures(clip, tmp_path / "a.mkv", pictures(10, SIZE), **settings)
    header = scan(path).index.header
    assert (header.color_space, header.color_range) == (matrix, 2 if full else 1)
    copy, _, index = rewritten(path)
    assert (index.header.color_space, index.header.color_range) == (matrix, 2 if full else 1)
    assert min(map(psnr, decode_plain(path), decode_plain(copy))) > 35


def test_full_range_jpeg(tmp_path: Path) -> None:
    path = MJPEG.make(tmp_path / "a.mov")
    copy, _, index = rewritten(path)
    assert index.header.color_range == 2
    original, copied = (np.stack(decode_plain(each)).astype(float) for each in (path, copy))
    assert np.abs(original.mean((0, 1, 2)) - copied.mean((0, 1, 2))).max() < 1  # no shift of any channel


# -- sound ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "pcm_s32le"])
def test_sound_without_loss_stays_without_loss(codec: str, tmp_path: Path) -> None:
    path = Clip(options={**X264, "g": "15"}, sound=codec, suffix=".mkv", frames=40).make(tmp_path / "a.mkv")
    copy, scanned, index = rewritten(path)
    assert scanned.audio_codec == "flac"
    assert index.header.has_audio
    original, copied = sound(path), sound(copy)
    assert original.dtype == copied.dtype
    assert original.any()
    assert np.array_equal(original, copied)


def test_pictures_that_can_be_copied_are_copied(tmp_path: Path) -> None:
    path = Clip(options={**X264, "g": "15"}, sound="pcm_s16le", suffix=".mkv", frames=40).make(tmp_path / "a.mkv")
    copy, scanned, index = rewritten(path)
    assert index.header.transcoded_from is None
    assert scanned.packet_bytes.tolist() == scan(path).packet_bytes.tolist()
    assert all(map(np.array_equal, decode_plain(copy), decode_plain(path)))


def test_sound_that_can_be_copied_is_copied(tmp_path: Path) -> None:
    path = Clip(codec="mpeg4", options={"b": "4M"}, sound="aac", frames=40).make(tmp_path / "a.mp4")
    copy, scanned, _ = rewritten(path)
    assert scanned.audio_codec == "aac"
    assert np.array_equal(sound(copy), sound(path))
