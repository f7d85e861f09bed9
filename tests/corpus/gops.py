"""Where decoding may begin, and what refers to what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from tests.corpus.traps import film, remux, trap

QUIET = "pools=1:frame-threads=1:log-level=error"
OPEN = {"g": "12", "x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0"}
LONG = 100  # frames: several segments


def x265(path: Path, parameters: str, count: int = 40, **settings: Any) -> Path:
    """HEVC, encoded quickly."""
    options = {"preset": "ultrafast", "x265-params": f"{QUIET}:{parameters}"}
    return film(path, "libx265", options, count=count, **settings)


@trap(".mp4")
def hevc_open_gop(path: Path) -> None:
    """x265's default: CRA pictures whose leading pictures (RASL) refer to the GOP before."""
    x265(path, "keyint=15:min-keyint=15:bframes=4:b-adapt=0:open-gop=1:scenecut=0:b-pyramid=1", LONG)


@trap(".mkv")
def hevc_open_gop_mkv(path: Path) -> None:
    """The same in Matroska."""
    x265(path, "keyint=15:min-keyint=15:bframes=4:b-adapt=0:open-gop=1:scenecut=0", LONG)


@trap(".ts")
def hevc_open_gop_ts(path: Path) -> None:
    """The same in a transport stream."""
    x265(path, "keyint=15:min-keyint=15:bframes=4:b-adapt=0:open-gop=1:scenecut=0", LONG)


@trap(".mp4")
def hevc_radl(path: Path) -> None:
    """IDR pictures with leading pictures that refer to nothing before them (RADL)."""
    x265(path, "keyint=15:min-keyint=15:bframes=4:b-adapt=0:open-gop=0:radl=3:scenecut=0", LONG)


@trap(".mkv")
def hevc_begins_with_cra(path: Path) -> None:
    """The first picture is a CRA: its leading pictures are lost, and no decoder shows them."""
    cut(path, lambda whole: x265(whole, "keyint=15:min-keyint=15:bframes=4:b-adapt=0:open-gop=1:scenecut=0", LONG))


@trap(".mkv")
def hevc_begins_with_radl(path: Path) -> None:
    """The first picture is an IDR whose leading pictures (RADL) are shown before it."""
    cut(path, lambda whole: x265(whole, "keyint=15:min-keyint=15:bframes=4:b-adapt=0:open-gop=0:radl=3", LONG))


@trap(".mkv")
def hevc_begins_in_the_midst(path: Path) -> None:
    """Nothing before the first key packet can be decoded."""
    cut(path, lambda whole: x265(whole, "keyint=15:min-keyint=15:bframes=4:b-adapt=0:open-gop=0:radl=3", LONG), -4)


@trap(".mkv")
def h264_begins_at_a_recovery_point(path: Path) -> None:
    """The first picture is an I picture of an open GOP."""
    cut(path, lambda whole: film(whole, options=OPEN, count=LONG))


@trap(".mkv")
def h264_begins_in_a_refresh(path: Path) -> None:
    """There is no key picture at all; FFmpeg shows pictures from the end of the first refresh on."""
    cut(path, lambda whole: film(whole, options={"g": "12", "intra-refresh": "1", "bf": "0"}, count=60), 3)


def cut(path: Path, write: Callable[[Path], Path], offset: int = 0) -> None:
    """What is written, from its second key packet on, or ``offset`` packets after it."""
    whole = write(path.with_name(f"whole-{path.stem}.mp4"))
    with av.open(str(whole)) as container:
        keys = [number for number, packet in enumerate(container.demux(video=0)) if packet.is_keyframe]
    remux(whole, path, lambda number, packet: [packet] if number >= keys[1] + offset else [])


@trap(".mp4")
def hevc_intra_refresh(path: Path) -> None:
    """Columns of intra blocks wander over the picture; there is no key picture but the first."""
    x265(path, "keyint=20:intra-refresh=1:bframes=0", 60)


@trap(".mp4")
def hevc_temporal_layers(path: Path) -> None:
    """Sub-layers: pictures of the highest are referred to by nothing."""
    x265(path, "keyint=20:bframes=3:b-adapt=0:temporal-layers=2:open-gop=1", LONG)


@trap(".mp4")
def h264_open_gop(path: Path) -> None:
    """Recovery points at I pictures, whose leading pictures refer to the GOP before."""
    film(path, options=OPEN, count=LONG)


@trap(".ts")
def h264_open_gop_ts(path: Path) -> None:
    """The same in a transport stream."""
    film(path, options=OPEN, count=LONG)


@trap(".mp4")
def h264_intra_refresh(path: Path) -> None:
    """Recovery points with recovery_frame_cnt > 0: the picture is whole only after that many frames."""
    film(path, options={"g": "12", "intra-refresh": "1", "bf": "0"}, count=60)


@trap(".ts")
def h264_intra_refresh_ts(path: Path) -> None:
    """The same in a transport stream, with B-frames."""
    film(path, options={"g": "12", "intra-refresh": "1", "x264-params": "bframes=2:b-adapt=0"}, count=60)


@trap(".mp4")
def h264_pyramid(path: Path) -> None:
    """B-frames that other B-frames refer to."""
    film(path, options={"g": "24", "x264-params": "bframes=7:b-pyramid=normal:b-adapt=0"}, count=LONG)


@trap(".mp4")
def h264_weighted(path: Path) -> None:
    """Many reference pictures, weighted, with B-frames placed as the encoder likes."""
    film(path, options={"preset": "medium", "refs": "5", "g": "33", "bf": "4"}, count=60)


@trap(".mp4")
def one_frame(path: Path) -> None:
    """A single frame."""
    film(path, count=1)


@trap(".mp4")
def two_frames(path: Path) -> None:
    """Two frames."""
    film(path, count=2)


@trap(".mp4")
def one_key_frame(path: Path) -> None:
    """One GOP without end."""
    film(path, options={"g": "600", "bf": "3", "sc_threshold": "0"}, count=200)


@trap(".mp4")
def gop_1(path: Path) -> None:
    """Every frame is a key frame."""
    film(path, options={"g": "1"}, count=90)


@trap(".mp4")
def gop_2(path: Path) -> None:
    """Every second frame is a key frame."""
    film(path, options={"g": "2"}, count=90)


@trap(".mp4")
def av1_forward_key(path: Path) -> None:
    """AV1's open GOP: a key frame that is sent early and shown later."""
    film(path, "libsvtav1", {"preset": "10", "svtav1-params": "lp=1:irefresh-type=1", "g": "15"}, count=LONG)


@trap(".webm")
def vp9_hidden_frames(path: Path) -> None:
    """Alternate reference frames that are decoded and never shown, two frames in a packet."""
    film(path, "libvpx-vp9", VP9_ALT, count=60)


VP9_ALT = {"deadline": "good", "cpu-used": "5", "lag-in-frames": "16", "auto-alt-ref": "1", "g": "30", "threads": "1"}
