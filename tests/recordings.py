"""Sounds, images and tracks for the tests, made here with PyAV and Pillow: a good file of every extension."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from PIL import Image

from dreamlake.core.kinds import AUDIO, IMAGE, LABEL_TRACK, TEXT_TRACK, VIDEO, Kind
from tests.clips import X264, Clip

__all__ = ["FILES", "LABELS", "image_bytes", "make_file", "make_image", "make_sound"]

LABELS = b"""\
{"ts": 0.0, "dt": 0.5, "label": "person", "confidence": 0.95, "bbox": [100, 50, 200, 150]}
{"ts": 0.5, "dt": 0.033, "fs": 15, "fe": 15, "label": "car", "bbox": [300, 200, 450, 350]}
{"ts": 1.0, "dt": 0.033, "fs": 30, "fe": 31, "label": "person", "bbox": [110, 55, 210, 155]}
"""
CODECS = {
    ".wav": "pcm_s16le", ".mp3": "libmp3lame", ".flac": "flac", ".aac": "aac", ".ogg": "libopus", ".m4a": "aac",
    ".webm": "libopus",
}  # fmt: skip
TRACKS = {
    ".jsonl": LABELS,
    ".csv": b"ts,dt,fs,fe,label\n0,0.5,,,person\n0.5,0.033,15,15,car\n1.0,0.033,30,31,person\n",
    ".vtt": b"WEBVTT\n\n1\n00:00.000 --> 00:00.500\nA robot\n\n00:00.500 --> 00:01.033\nreaches\n",
    ".srt": b"1\n00:00:00,000 --> 00:00:00,500\nA robot\n\n2\n00:00:00,500 --> 00:00:01,033\nreaches\n",
}


def make_sound(path: Path, *, seconds: float = 1.5, rate: int = 48_000, layout: str = "mono") -> Path:
    """A tone, in the codec that goes with the extension."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(CODECS[path.suffix], rate=rate, layout=layout)
        stream.codec_context.open()
        time = np.arange(int(rate * seconds)) / rate
        # Not a pure tone: what can be said in a few bytes would hardly notice that some of them are missing.
        samples = (
            0.4 * np.sin(2 * np.pi * 440 * time) + 0.1 * np.random.default_rng(1).standard_normal(len(time))
        ).clip(-1, 1)
        sound = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
        sound.sample_rate, sound.pts = rate, 0
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 1024)
        for piece in [*resampler.resample(sound), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return path


def make_image(path: Path, *, size: tuple[int, int] = (64, 40), orientation: int = 1, mode: str = "RGB") -> Path:
    """Noise over a gradient; width and height are those of the pixels, before EXIF turns them."""
    width, height = size
    pixels = np.random.default_rng(1).integers(0, 60, (height, width, 3)) + np.arange(width)[None, :, None] * 2 % 190
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(path, exif=exif)
    return path


def _video(path: Path) -> Path:
    codec = ("libsvtav1", {"preset": "10", "svtav1-params": "lp=1"}) if path.suffix == ".webm" else ("libx264", X264)
    return Clip(codec[0], path.suffix, frames=12, size=(96, 64), options=codec[1]).make(path)


def _track(path: Path) -> Path:
    path.write_bytes(TRACKS[path.suffix])
    return path


_MAKERS: dict[str, Callable[[Path], Path]] = {
    VIDEO.name: _video,
    AUDIO.name: make_sound,
    IMAGE.name: make_image,
    LABEL_TRACK.name: _track,
    TEXT_TRACK.name: _track,
}
FILES = [(kind, extension) for kind in (VIDEO, AUDIO, IMAGE, LABEL_TRACK, TEXT_TRACK) for extension in kind.extensions]


def make_file(kind: Kind, path: Path) -> Path:
    """A good file of a kind; its extension says the format."""
    return _MAKERS[kind.name](path)


def image_bytes(form: str) -> bytes:
    """An image in memory, in a format of Pillow's."""
    file = BytesIO()
    Image.new("RGB", (3, 2), "red").save(file, form)
    return file.getvalue()
