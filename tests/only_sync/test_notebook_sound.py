"""What notebooks show of sound and images: a player that plays, a picture, and never an error."""

from __future__ import annotations

import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from PIL import Image

import dreamlake as dl
from dreamlake.media import cache
from tests.recordings import make_image
from tests.sounds import SOUNDS


def shown(html: str, kind: str) -> bytes:
    found = re.search(rf'src="data:{kind};base64,([^"]+)"', html)
    assert found
    return b64decode(found[1])


def test_a_recording_can_be_played(tmp_path: Path) -> None:
    audio = dl.upload(SOUNDS["wav-24bit-5.1-96k"].make(tmp_path / "a.wav"), progress=False)
    html = audio[1.0:3.0]._repr_html_()
    with av.open(BytesIO(shown(html, "audio/mpeg"))) as container:
        played = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
    assert abs(played - 2.0) < 0.1
    waveform = np.array(Image.open(BytesIO(shown(html, "image/jpeg"))).convert("RGB"))
    assert waveform.shape == (160, 480, 3)  # a band for each of two channels
    assert waveform.min() < 100 < waveform.max()
    assert "1.0 s to 3.0 s, 2.0 s" in html
    assert audio.id in html
    assert "<audio" not in audio[:0]._repr_html_()


def test_an_image_is_shown(tmp_path: Path) -> None:
    image = dl.upload(make_image(tmp_path / "a.png", orientation=6), progress=False)
    assert Image.open(BytesIO(shown(image._repr_html_(), "image/jpeg"))).size == (40, 64)
    assert Image.open(BytesIO(image._repr_png_() or b"")).size == (40, 64)
    depth = np.arange(64 * 40, dtype=np.uint16).reshape(40, 64) * 20
    Image.fromarray(depth).save(tmp_path / "depth.png")
    grey = np.array(Image.open(BytesIO(dl.upload(tmp_path / "depth.png", progress=False)._repr_png_() or b"")))
    assert (grey.min(), grey.max()) == (0, 255)


def test_a_lake_that_is_gone_is_no_error_in_a_notebook(fresh_lake: Path, tmp_path: Path) -> None:
    audio = dl.upload(SOUNDS["short"].make(tmp_path / "a.wav"), progress=False)
    image = dl.upload(make_image(tmp_path / "a.png"), progress=False)
    for asset in (audio, image):
        dl.delete(asset)
        cache.segments._forget()
        assert "base64" not in asset._repr_html_()
        assert asset.id in asset._repr_html_()
