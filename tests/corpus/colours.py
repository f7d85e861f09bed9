"""Patches of known Y'CbCr, and the RGB that ITU-R BT.601, BT.709 and BT.2020 say they are."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tests.corpus.traps import film, remux

LUMA = {"bt709": (1, 0.2126, 0.0722), "bt601": (6, 0.299, 0.114), "bt2020": (9, 0.2627, 0.0593)}
UNSAID, LIMITED, FULL = 0, 1, 2
SIDE = 64  # pixels of the picture
PATCH = 16  # pixels of a patch
LOSSLESS = {
    "libx264": {"preset": "ultrafast", "threads": "1", "qp": "0"},
    "libx265": {"preset": "ultrafast", "x265-params": "lossless=1:pools=1:frame-threads=1:log-level=error"},
    "libvpx-vp9": {"lossless": "1", "cpu-used": "8"},
    "ffv1": {},
    "prores_ks": {"qscale": "1"},
}


def patches(bits: int, matrix: str, color_range: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(4, 4, 3) Y'CbCr codes of colours that RGB has, and (4, 4, 3) RGB from 0 to 255."""
    rgb = np.random.default_rng(4).uniform(0.05, 0.95, (4, 4, 3))
    rgb[0, :2] = [0, 0, 0], [1, 1, 1]
    _, red, blue = LUMA[matrix]
    luma = rgb @ [red, 1 - red - blue, blue]
    chroma = (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)
    unit, top = 1 << bits - 8, (1 << bits) - 1
    scale, offset, chroma_scale = (top, 0, top) if color_range == FULL else (219 * unit, 16 * unit, 224 * unit)
    planes = [luma * scale + offset, *(one * chroma_scale + 128 * unit for one in chroma)]
    codes = np.clip(np.round(np.stack(planes, -1)), 0, top).astype(np.int64)
    # The codes are whole numbers: the colour that they stand for is not quite the one that was wanted.
    y, cb, cr = (codes[..., 0] - offset) / scale, *((codes[..., n] - 128 * unit) / chroma_scale for n in (1, 2))
    exact_red, exact_blue = y + (2 - 2 * red) * cr, y + (2 - 2 * blue) * cb
    green = (y - red * exact_red - blue * exact_blue) / (1 - red - blue)
    return codes, np.clip(np.stack([exact_red, green, exact_blue], -1), 0, 1) * 255


def write(
    path: Path, codec: str, pix_fmt: str, codes: NDArray[np.int64], tags: tuple[int, int], *, outside: bool = False
) -> Path:
    """A clip of the patches, encoded without loss.

    Args:
        path: to write.
        codec: the encoder.
        pix_fmt: of three planes.
        codes: (4, 4, 3) Y'CbCr.
        tags: matrix and range as in ITU-T H.273.
        outside: say the tags in the container and not in the bitstream.
    """

    def tag(stream: VideoStream) -> None:
        stream.codec_context.colorspace, stream.codec_context.color_range = tags

    size = (SIDE, SIDE)
    encoded = path.with_name(f"untagged-{path.name}") if outside else path
    frames = [_frame(pix_fmt, codes) for _ in range(3)]
    film(encoded, codec, LOSSLESS[codec], size=size, pix_fmt=pix_fmt, frames=frames, setup=None if outside else tag)
    if outside:
        say(encoded, path, tags)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == tags
    return path


def say(source: Path, target: Path, tags: tuple[int, int]) -> Path:
    """A copy of a clip whose container says these tags."""

    def tag(stream: VideoStream) -> None:
        context = stream.codec_context
        context.colorspace, context.color_range = tags
        context.color_primaries = tags[0]  # an MP4 has all of them or none
        context.color_trc = 14 if tags[0] == 9 else tags[0]

    return remux(source, target, setup=tag)


def _frame(pix_fmt: str, codes: NDArray[np.int64]) -> VideoFrame:
    frame = VideoFrame(SIDE, SIDE, pix_fmt)
    for number, plane in enumerate(frame.planes):
        width, height = plane.width, plane.height
        values = np.kron(codes[..., number], np.ones((height // 4, width // 4), np.int64))
        kind = np.dtype("<u2") if pix_fmt.endswith("le") else np.dtype("u1")
        rows = np.zeros((height, plane.line_size // kind.itemsize), kind)
        rows[:, :width] = values
        plane.update(rows.tobytes())
    return frame


def middles(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(4, 4, 3) what the patches have in their middles."""
    return picture[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].astype(np.float64)
