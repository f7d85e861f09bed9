# Generated from tests/_async/test_colours.py by scripts/unasync.py. Edit that file, then run it.
"""Colours are those that the ITU's formulas give, whoever says how they are coded, and in place as from a lake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dreamlake as dl
from dreamlake.errors import MediaError, ProcessingError
from tests.corpus import colours
from tests.corpus.colours import FULL, LIMITED, LUMA, UNSAID

LEVELS = 2  # of 255


def off(path: Path, expected: np.ndarray) -> float:
    """By how much colours are off at most, in place and from a lake."""
    video = dl.load_video(path)
    stored = dl.upload(path, prefix="/colours", progress=False)
    pictures = [one[1].numpy() for one in (video, stored)]
    return max(float(np.abs(colours.middles(picture) - expected).max()) for picture in pictures)


@pytest.mark.parametrize("outside", [False, True], ids=["in the bitstream", "in the container"])
@pytest.mark.parametrize("color_range", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", LUMA)
def test_matrices_and_ranges(_home: Path, tmp_path: Path, matrix: str, color_range: int, outside: bool) -> None:
    codes, expected = colours.patches(8, matrix, color_range)
    tags = (LUMA[matrix][0], color_range)
    path = colours.write(tmp_path / "a.mp4", "libx264", "yuv444p", codes, tags, outside=outside)
    assert off(path, expected) <= LEVELS


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix", "matrix", "color_range"),
    [
        ("libx264", "yuv444p10le", ".mp4", "bt709", LIMITED),
        ("libx264", "yuv444p10le", ".mp4", "bt2020", FULL),
        ("libx265", "yuv444p10le", ".mp4", "bt2020", LIMITED),
        ("libx265", "yuv444p12le", ".mkv", "bt709", FULL),
        ("libvpx-vp9", "yuv444p", ".webm", "bt709", FULL),
        ("ffv1", "yuv444p", ".mkv", "bt709", FULL),
        ("ffv1", "yuv444p10le", ".mkv", "bt2020", LIMITED),
    ],
)
def test_codecs_and_depths(
    _home: Path, tmp_path: Path, codec: str, pix_fmt: str, suffix: str, matrix: str, color_range: int
) -> None:
    bits = int(pix_fmt[7:9]) if pix_fmt.endswith("le") else 8
    codes, expected = colours.patches(bits, matrix, color_range)
    path = colours.write(tmp_path / f"a{suffix}", codec, pix_fmt, codes, (LUMA[matrix][0], color_range))
    assert off(path, expected) <= LEVELS


@pytest.mark.parametrize(("pix_fmt", "matrix"), [("yuv420p", "bt601"), ("yuv420p", "bt709"), ("yuv422p", "bt2020")])
def test_where_colours_are_halved(_home: Path, tmp_path: Path, pix_fmt: str, matrix: str) -> None:
    """The quick conversion of FFmpeg, which torchcodec uses too, rounds more."""
    codes, expected = colours.patches(8, matrix, LIMITED)
    path = colours.write(tmp_path / "a.mp4", "libx264", pix_fmt, codes, (LUMA[matrix][0], LIMITED))
    assert off(path, expected) <= LEVELS + 1


def test_what_says_nothing_is_bt601_in_limited_range(_home: Path, tmp_path: Path) -> None:
    codes, expected = colours.patches(8, "bt601", LIMITED)
    path = colours.write(tmp_path / "a.mp4", "libx264", "yuv444p", codes, (2, UNSAID))
    assert off(path, expected) <= LEVELS


def test_the_bitstream_wins(_home: Path, tmp_path: Path) -> None:
    """A container that was written by another program than the encoder is the one to be wrong."""
    codes, expected = colours.patches(8, "bt709", LIMITED)
    right = colours.write(tmp_path / "right.mp4", "libx264", "yuv444p", codes, (1, LIMITED))
    path = colours.say(right, tmp_path / "wrong.mp4", (9, FULL))
    assert path.read_bytes().count(b"colrnclx") == 1
    assert off(path, expected) <= LEVELS


def test_a_matrix_that_cannot_be_converted_is_an_error(_home: Path, tmp_path: Path) -> None:
    codes, _ = colours.patches(8, "bt709", LIMITED)
    path = colours.write(tmp_path / "a.mp4", "libx264", "yuv444p", codes, (8, LIMITED))
    with pytest.raises(MediaError, match="YCgCo"):
        dl.load_video(path)
    with pytest.raises((MediaError, ProcessingError), match="YCgCo"):
        dl.upload(path, progress=False)
