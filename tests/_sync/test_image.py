# Generated from tests/_async/test_image.py by scripts/unasync.py. Edit that file, then run it.
"""Images as their users have them: loaded, turned as EXIF says, as PIL, numpy and torch; embedded and served."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import dreamlake as dl
from dreamlake.errors import IntegrityError, NotFoundError, UsageError
from tests.recordings import make_image


def damage(lake: Path) -> None:
    """Change a bit of the one file that is staged."""
    [staged] = (path for path in lake.rglob("staging/*") if path.is_file())
    staged.chmod(0o600)
    data = bytearray(staged.read_bytes())
    data[-20] ^= 1
    staged.write_bytes(data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_it_says(lake: str, tmp_path: Path, suffix: str, orientation: int) -> None:
    path = make_image(tmp_path / f"{orientation}{suffix}", orientation=orientation)
    image = dl.upload(path, prefix="/pictures", progress=False)
    assert isinstance(image, dl.Image)
    with Image.open(path) as opened:
        expected = np.array(ImageOps.exif_transpose(opened).convert("RGB"))
    size = (40, 64) if orientation > 4 else (64, 40)
    assert (image.width, image.height) == size
    assert image.format == {".jpg": "jpeg"}.get(suffix, suffix[1:])
    pixels = image.numpy()
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, expected)
    assert image.image.size == size
    tensor = image.tensor()
    assert tensor.shape == (3, *size[::-1])
    assert torch.equal(image.tensor(layout="HWC"), torch.from_numpy(expected))
    pixels[:] = 0  # an array of its own
    assert np.array_equal(image.numpy(), expected)


def test_by_every_name(lake: str, tmp_path: Path) -> None:
    image = dl.upload(make_image(tmp_path / "a.png"), prefix="/pictures", progress=False)
    assert image.id.startswith("i-")
    for name in (image.id, image.uri, "//pictures/a.png"):
        assert dl.load(name) == image
    with dl.Prefix(prefix="/pictures"):
        assert dl.load("a.png") == image
    again = pickle.loads(pickle.dumps(image))
    assert again == image
    assert np.array_equal(again.numpy(), image.numpy())
    assert repr(again) == repr(image)
    assert repr(image).endswith(", 64x40, png)")
    assert image.metadata().sha256
    assert image.download(tmp_path / "b.png", progress=False).read_bytes() == (tmp_path / "a.png").read_bytes()
    with pytest.raises(NotFoundError):
        dl.load("i-0000000000000001")
    with pytest.raises(UsageError, match="layout"):
        image.tensor(layout="NCHW")


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_modes(tmp_path: Path, mode: str) -> None:
    path = make_image(tmp_path / ("a.jpg" if mode == "CMYK" else "a.png"), mode=mode)
    image = dl.upload(path, progress=False)
    with Image.open(path) as opened:
        assert image.image.mode == opened.mode
        assert np.array_equal(image.numpy(), np.array(opened.convert("RGB")))


def test_depth_keeps_all_its_bits(tmp_path: Path) -> None:
    depth = np.random.default_rng(1).integers(0, 2**16, (40, 64), np.uint16)
    Image.fromarray(depth).save(tmp_path / "depth.png")
    image = dl.upload(tmp_path / "depth.png", progress=False)
    pixels = image.numpy()
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, depth)
    assert image.tensor().shape == (40, 64)


def test_what_is_damaged_in_the_lake_is_an_error(fresh_lake: Path, tmp_path: Path) -> None:
    image = dl.upload(make_image(tmp_path / "a.png", size=(80, 31)), progress=False)
    damage(fresh_lake)
    with pytest.raises(IntegrityError, match="does not match its hash"):
        image.numpy()
