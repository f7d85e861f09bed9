"""Codecs and pixel formats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.corpus.gops import x265
from tests.corpus.times import B
from tests.corpus.traps import TRAPS, Trap, film

SVT = {"preset": "10", "svtav1-params": "lp=1", "g": "15"}
VP9 = {"deadline": "realtime", "cpu-used": "8", "g": "15"}
INTERLACED = {"flags": "+ildct+ilme"}
ODD = (97, 65)


def _register(name: str, suffix: str, write: Callable[[Path], object], *, transcoded: bool = False) -> None:
    assert name not in TRAPS
    TRAPS[name] = Trap(name, suffix, write, transcoded=transcoded)


x264 = partial(film, options=B)
svt = partial(film, codec="libsvtav1", options=SVT)
vp9 = partial(film, codec="libvpx-vp9", options=VP9)
short = partial(x265, parameters="keyint=15:bframes=2")

for _write, _codec, _suffix, _formats in (
    (x264, "h264", ".mp4", "yuv422p yuv444p yuv420p10le yuv422p10le gray gray10le yuvj420p"),
    (short, "hevc", ".mp4", "yuv420p10le yuv444p yuv444p12le gray10le gray12le gbrp"),
    (svt, "av1", ".mp4", "yuv420p yuv420p10le"),
    (vp9, "vp9", ".webm", "yuv420p yuv444p yuv440p gbrp yuva420p"),
):
    for _format in _formats.split():
        _register(f"{_codec}-{_format}", _suffix, partial(_write, pix_fmt=_format))

RGB = {"preset": "ultrafast", "g": "10"}
_register("h264-rgb", ".mp4", partial(film, codec="libx264rgb", options=RGB, pix_fmt="rgb24"))
_register("h264-lossless", ".mp4", partial(film, options={**B, "qp": "0"}))
_register("h264-444-odd", ".mp4", partial(x264, pix_fmt="yuv444p", size=ODD))
_register("av1-odd", ".mp4", partial(svt, size=ODD))
_register("vp9-odd", ".webm", partial(vp9, size=ODD))
_register("h264-cropped", ".mp4", partial(x264, size=(98, 66)))
_register("hevc-cropped", ".mp4", partial(short, size=(98, 66)))
_register("h264-mbaff", ".mp4", partial(film, options={**B, **INTERLACED}))
_register("h264-mbaff-ts", ".ts", partial(film, options={**B, **INTERLACED}, count=100))
_register("h264-slices", ".mp4", partial(film, options={**B, "slices": "4"}))

MPEG = {"b": "6M", "bf": "2", "g": "12"}
for _codec, _format, _suffix, _options in (
    ("mpeg4", "yuv420p", ".avi", MPEG),
    ("mpeg4", "yuv420p", ".mkv", MPEG),
    ("mpeg2video", "yuv420p", ".ts", MPEG),
    ("mpeg2video", "yuv420p", ".mkv", {**MPEG, **INTERLACED}),
    ("libvpx", "yuv420p", ".webm", {"b": "4M", "deadline": "realtime"}),
    ("mjpeg", "yuvj420p", ".mov", {"q": "2"}),
    ("mjpeg", "yuvj422p", ".avi", {"q": "2"}),
    ("prores_ks", "yuv422p10le", ".mov", {}),
    ("prores_ks", "yuva444p10le", ".mov", {}),
    ("png", "rgba", ".mov", {}),
    ("png", "rgb48be", ".mov", {}),
    ("qtrle", "argb", ".mov", {}),
    ("ffv1", "yuv420p", ".mkv", {}),
    ("ffv1", "gray16le", ".mkv", {}),
    ("ffv1", "yuva420p", ".mkv", {}),
    ("ffv1", "bgra", ".mkv", {}),
    ("huffyuv", "yuv422p", ".avi", {}),
    ("utvideo", "gbrp", ".avi", {}),
    ("rawvideo", "gray", ".avi", {}),
    ("rawvideo", "bgr24", ".avi", {}),
    ("dnxhd", "yuv422p", ".mov", {"profile": "dnxhr_hq"}),
    ("wmv2", "yuv420p", ".avi", {"b": "4M"}),
):
    _size = (256, 128) if _codec == "dnxhd" else (96, 64)
    _write = partial(film, codec=_codec, options=_options, pix_fmt=_format, count=16, size=_size)
    _register(f"{_codec}-{_format}-{_suffix[1:]}", _suffix, _write, transcoded=True)
