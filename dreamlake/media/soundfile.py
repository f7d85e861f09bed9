"""Sound as files: WAV and FLAC to keep, an MP3 and a picture of the waveform for notebooks."""

from __future__ import annotations

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from numpy.typing import NDArray
from PIL import Image

from dreamlake.errors import SourceError, UsageError
from dreamlake.media.resample import layout_of

__all__ = ["SoundWriter", "as_mp3", "drawn"]

_WAV = {"int16": "pcm_s16le", "int32": "pcm_s32le", "float32": "pcm_f32le", "float64": "pcm_f64le"}
_FORMS = {"int16": "s16", "int32": "s32", "float32": "flt", "float64": "dbl"}
FLAC_BLOCK = 4096  # samples
MP3_RATES = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000)
HEIGHT = 80  # pixels of a waveform
COLOUR = (64, 120, 192)


class SoundWriter:
    """Writes a file piece by piece; it is there under its name when it is finished.

    Args:
        path: of the file, ``.wav`` or ``.flac``.
        rate: Hz.
        channels: how many.
        dtype: of the samples.
        bits: of integers that say something.

    Raises:
        UsageError: a file of another type, or samples that it cannot hold.
        SourceError: it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], rate: int, channels: int, dtype: str, bits: int) -> None:
        self.path = path = Path(path).expanduser()
        form = path.suffix.lower().removeprefix(".")
        if form not in ("wav", "flac"):
            raise UsageError(f"{path.name}: sound is saved as .wav or .flac")
        if form == "flac" and (not dtype.startswith("int") or channels > 8):
            raise UsageError(f"{path.name}: FLAC holds integers of at most 8 channels: give dtype=, or save a .wav")
        small = dtype == "int32" and bits <= 24
        codec = "flac" if form == "flac" else "pcm_s24le" if small else _WAV[dtype]
        self._part = path.with_name(f".{path.name}.part")
        self._rate, self._layout, self._form = rate, layout_of(channels), _FORMS[dtype]
        deep = form == "flac" and dtype == "int32" and not small
        with self._writing():
            # A file of more than 4 GB is an RF64.
            self._output = av.open(str(self._part), "w", form, options={"rf64": "auto"} if form == "wav" else {})
            options = {"strict": "experimental", "bits_per_raw_sample": "32"} if deep else {}
            self._stream: AudioStream = self._output.add_stream(
                cast("Any", codec), rate=rate, layout=self._layout, options=options
            )
            self._stream.codec_context.format = "s32" if codec == "pcm_s24le" else self._form
            self._stream.codec_context.open()
        self._resampler = AudioResampler(
            self._form, self._layout, rate, frame_size=self._stream.codec_context.frame_size or FLAC_BLOCK
        )

    def write(self, samples: NDArray[Any]) -> None:
        """The next samples, (N, C)."""
        if not len(samples):
            return
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples).reshape(1, -1), format=self._form, layout=self._layout
        )
        frame.sample_rate = self._rate
        self._encode(frame)

    def finish(self) -> None:
        """All has been written: the file gets its name."""
        self._encode(None)
        with self._writing():
            self._output.mux(self._stream.encode(None))
            self._output.close()
            self._part.replace(self.path)

    def close(self) -> None:
        """Leave nothing behind of a file that was not finished."""
        with suppress(OSError, av.error.FFmpegError):
            self._output.close()
        self._part.unlink(missing_ok=True)

    def _encode(self, frame: AudioFrame | None) -> None:
        with self._writing():
            for piece in self._resampler.resample(frame):  # into blocks of the encoder's size
                self._output.mux(self._stream.encode(piece))

    def _writing(self) -> Any:
        return _Writing(self.path)


class _Writing:
    """What goes wrong with a file, as an error of ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError | av.error.FFmpegError | ValueError) and not isinstance(error, UsageError):
            reason = getattr(error, "strerror", None) or error
            raise SourceError(f"{self._path}: cannot be written ({reason})") from error


def as_mp3(samples: NDArray[np.float32], rate: int) -> bytes:
    """Sound for a browser; empty where FFmpeg was built without the encoder."""
    file = BytesIO()
    wanted = next((one for one in MP3_RATES if one <= rate), MP3_RATES[-1])
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    # A browser plays two channels: of more these are the first.
    shown = np.ascontiguousarray(np.clip(samples[:, :2], -1.0, 1.0)).reshape(1, -1)
    try:
        with av.open(file, "w", "mp3") as output:
            stream: AudioStream = output.add_stream("libmp3lame", rate=wanted, layout=layout, options={"b": "96000"})
            frame = AudioFrame.from_ndarray(shown, format="flt", layout=layout)
            frame.sample_rate = rate
            context = stream.codec_context
            context.open()
            resampler = AudioResampler(context.format, layout, wanted, frame_size=context.frame_size)
            for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                output.mux(stream.encode(piece))
            output.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError):
        return b""
    return file.getvalue()


def drawn(peaks: NDArray[np.float32]) -> bytes:
    """The waveform as a JPEG: a band for each of the first two channels."""
    bands = []
    for channel in range(min(2, peaks.shape[1])):
        low, high = np.clip(np.nan_to_num(peaks[:, channel].T), -1.0, 1.0)
        level = np.linspace(1.0, -1.0, HEIGHT)[:, None]
        inside = (level <= high + 1.0 / HEIGHT) & (level >= low - 1.0 / HEIGHT)
        bands.append(np.where(inside[..., None], COLOUR, 255))
    file = BytesIO()
    Image.fromarray(np.concatenate(bands).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()
