"""Sound in every form that Dreamlake takes, made here with PyAV; and what decoding it plainly gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tests.once import made_once

__all__ = ["SOUNDS", "Sound", "plain_sound", "speak"]

EXPERIMENTAL = {"strict": "experimental"}


@dataclass(frozen=True)
class Sound:
    """A file of sound.

    Attributes:
        codec: FFmpeg's encoder.
        suffix: of the file.
        lossless: whether a plain decode gives what went in.
        stored: the codec that a lake stores it in.
        exact: whether segments decode to the same bits wherever decoding begins; None where that hangs on the sound.
    """

    codec: str
    suffix: str
    stored: str
    rate: int = 48_000
    layout: str = "stereo"
    seconds: float = 9.3
    options: dict[str, str] = field(default_factory=dict)
    exact: bool | None = True

    def make(self, path: Path) -> Path:
        """Write it."""
        return made_once(self, path, self._write)

    def _write(self, path: Path) -> None:
        with av.open(str(path), "w") as output:
            stream: Any = output.add_stream(self.codec, rate=self.rate, layout=self.layout, options=self.options)
            for packet in _encoded(stream, self.rate, self.seconds):
                output.mux(packet)


def speak(channels: int, rate: int, seconds: float) -> NDArray[np.float64]:
    """(C, N) tones with noise, which differ by channel, and clicks that show where they are."""
    time = np.arange(round(rate * seconds)) / rate
    noise = np.random.default_rng(rate)
    sound = np.stack(
        [
            0.3 * np.sin(2 * np.pi * (200 + 90 * channel) * time * (1 + 0.1 * time))
            + 0.05 * noise.standard_normal(len(time))
            for channel in range(channels)
        ]
    )
    sound[:, :: max(1, rate // 7)] += 0.4
    return sound


def _encoded(stream: Any, rate: int, seconds: float) -> Iterator[Any]:
    context = stream.codec_context
    context.open()
    layout = context.layout.name
    samples = np.ascontiguousarray(speak(context.layout.nb_channels, rate, seconds).T).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="dbl", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    resampler = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 1024)
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        yield from stream.encode(piece)
    yield from stream.encode(None)


def plain_sound(path: Path) -> NDArray[Any]:
    """(N, C) all samples, in the decoder's own type; 8 bits as 16."""
    with av.open(str(path)) as container:
        pieces = []
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray()
            channels = frame.layout.nb_channels
            pieces.append(samples.reshape(-1, channels) if frame.format.is_packed else samples.T)
    joint = np.concatenate(pieces)
    return (joint.astype(np.int16) - 128) * 256 if joint.dtype == np.uint8 else joint


SOUNDS = {
    "wav-8bit-8k": Sound("pcm_u8", ".wav", "flac", 8000, "mono"),
    "wav-16bit": Sound("pcm_s16le", ".wav", "flac", 44_100),
    "wav-16bit-192k": Sound("pcm_s16le", ".wav", "flac", 192_000, "mono", 5.0),
    "wav-24bit-5.1-96k": Sound("pcm_s24le", ".wav", "flac", 96_000, "5.1", 5.0),
    "wav-32bit": Sound("pcm_s32le", ".wav", "flac"),
    "wav-float": Sound("pcm_f32le", ".wav", "pcm_f32le"),
    "wav-float-5.1": Sound("pcm_f32le", ".wav", "pcm_f32le", layout="5.1"),
    "wav-double-22k": Sound("pcm_f64le", ".wav", "pcm_f64le", 22_050, "mono"),
    "wav-16-channels": Sound("pcm_s16le", ".wav", "pcm_s16le", 16_000, "9.1.6", 5.0),
    "wav-odd-rate": Sound("pcm_s16le", ".wav", "flac", 70_001, "mono", 5.0),
    "wav-mulaw": Sound("pcm_mulaw", ".wav", "flac", 8000, "mono"),
    "wav-adpcm": Sound("adpcm_ms", ".wav", "flac", 22_050),
    "flac": Sound("flac", ".flac", "flac", 44_100),
    "flac-24bit": Sound("flac", ".flac", "flac", 96_000, "mono", 5.0, {"bits_per_raw_sample": "24"}),
    "flac-ogg": Sound("flac", ".ogg", "flac", 44_100, "mono"),
    "alac": Sound("alac", ".m4a", "alac"),
    "mp3": Sound("libmp3lame", ".mp3", "mp3", 44_100),
    "mp3-vbr-mono": Sound("libmp3lame", ".mp3", "mp3", 48_000, "mono", options={"q": "7"}),
    "mp3-thin": Sound("libmp3lame", ".mp3", "mp3", 44_100, options={"b": "32000"}),
    "mp3-8k": Sound("libmp3lame", ".mp3", "mp3", 8000, "mono"),
    "aac-adts": Sound("aac", ".aac", "aac", 44_100, options={"aac_pns": "0"}),
    "aac-m4a": Sound("aac", ".m4a", "aac", options={"aac_pns": "0"}),
    "aac-m4a-5.1": Sound("aac", ".m4a", "aac", layout="5.1", options={"aac_pns": "0"}),
    "aac-noise": Sound("aac", ".m4a", "aac", exact=False),
    "vorbis": Sound("vorbis", ".ogg", "vorbis", 44_100, options=EXPERIMENTAL),
    "opus": Sound("libopus", ".ogg", "opus"),
    "opus-5.1": Sound("libopus", ".mkv", "opus", layout="5.1"),
    "opus-speech": Sound("libopus", ".ogg", "opus", layout="mono", options={"b": "12000"}, exact=None),
    "ac3": Sound("ac3", ".mkv", "pcm_f32le"),
    "mp2": Sound("mp2", ".mkv", "flac"),
    "short": Sound("pcm_s16le", ".wav", "flac", 48_000, "mono", 0.001),
    "short-mp3": Sound("libmp3lame", ".mp3", "mp3", 48_000, "mono", 0.03),
    "short-opus": Sound("libopus", ".ogg", "opus", 48_000, "mono", 0.004),
    "short-m4a": Sound("aac", ".m4a", "aac", 48_000, "mono", 0.02),
}  # fmt: skip
