"""Sound that was cut into segments is what a plain decode of the original gives, sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dreamlake.core.sampleindex import SampleIndex
from dreamlake.errors import IntegrityError, MediaError
from dreamlake.media.audio import open_audio
from dreamlake.media.sound import StoredSound, converted, decode_run
from dreamlake.media.soundpieces import VideoTime
from dreamlake.media.soundsplit import SoundSplitter
from tests.clips import maker
from tests.sounds import SOUNDS, Sound, plain_sound


class Cut:
    """A recording that was cut, and is read back."""

    def __init__(self, path: Path, video: VideoTime | None = None) -> None:
        splitter = SoundSplitter(partial(open_audio, path, path.name), path.name, video)
        chunks = [chunk.data for chunk in splitter.segments()]
        self.init = splitter.init
        self.index = SampleIndex.from_bytes(splitter.index.to_bytes())
        self.chunks = chunks[-self.index.segments :]  # those of an attempt that failed come first
        self.durations = splitter.playlist(lambda digest, extension: digest).durations

    def read(self, start: int, stop: int) -> NDArray[Any]:
        header = self.index.header
        out = np.zeros((stop - start, header.channels), header.dtype)
        for run in self.index.runs(start, stop):
            decode_run(self.index, run, {n: StoredSound(self.chunks[n]) for n in run.segments}, start, out)
        return out

    @property
    def whole(self) -> NDArray[Any]:
        return self.read(0, self.index.header.samples)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return maker(tmp_path_factory.mktemp("sounds"), SOUNDS)


@pytest.mark.parametrize("name", SOUNDS)
def test_it_is_read_back_exactly(sound: Callable[[str], Path], name: str) -> None:
    path, what = sound(name), SOUNDS[name]
    plain, cut = plain_sound(path), Cut(path)
    header, whole = cut.index.header, cut.whole
    assert (header.stored, header.sample_rate) == (what.stored, what.rate)
    assert header.exact == (header.exact if what.exact is None else what.exact)
    assert header.samples == len(plain)
    assert (whole.shape, whole.dtype) == (plain.shape, plain.dtype)
    first = int(cut.index.segment_spans()[0][1])
    assert np.array_equal(whole[:first], plain[:first])  # what comes first is decoded as it is plainly
    if header.exact:
        assert np.array_equal(whole, plain)
    else:  # noise that the decoder makes up, and what a decoder of speech never quite forgets
        limit = 2e-5 if what.stored == "opus" else 0.3
        assert np.abs(whole - plain).max() < limit
        assert np.sqrt(np.mean(whole**2)) == pytest.approx(np.sqrt(np.mean(plain**2)), rel=0.01)
    # Wherever a slice begins and ends, it is that part of the whole: no sample is lost where segments meet.
    edges = sorted({*cut.index.segment_spans().ravel().tolist(), 0, header.samples // 3, header.samples - 1})
    for edge in edges:
        low, high = max(0, edge - 700), min(header.samples, edge + 700)
        assert np.array_equal(cut.read(low, high), whole[low:high]), edge


@pytest.mark.parametrize("name", ["wav-24bit-5.1-96k", "mp3", "aac-noise", "opus", "vorbis", "wav-float"])
def test_any_slice_is_that_part_of_the_whole(sound: Callable[[str], Path], name: str) -> None:
    cut = Cut(sound(name))
    whole = cut.whole
    numbers = st.integers(0, len(whole))

    @settings(max_examples=15, deadline=None)
    @given(numbers, st.integers(0, 60_000))
    def check(start: int, count: int) -> None:
        stop = min(len(whole), start + count)
        assert np.array_equal(cut.read(start, stop), whole[start:stop])

    check()


@pytest.mark.parametrize("name", [name for name, what in SOUNDS.items() if what.suffix in (".wav", ".flac")])
def test_an_independent_reader_finds_the_same(sound: Callable[[str], Path], name: str) -> None:
    cut = Cut(sound(name))
    kind = "float64" if cut.index.header.dtype.startswith("float") else "int32"
    expected, rate = soundfile.read(sound(name), dtype=kind, always_2d=True)
    assert rate == cut.index.header.sample_rate
    assert np.array_equal(converted(cut.whole, kind), expected)


@pytest.mark.parametrize("name", [name for name in SOUNDS if "short" not in name])
def test_players_play_the_segments(sound: Callable[[str], Path], name: str) -> None:
    cut = Cut(sound(name))
    with av.open(BytesIO(cut.init + b"".join(cut.chunks))) as container:
        played = sum(frame.samples for frame in container.decode(audio=0))
    extra = played - cut.index.header.samples
    assert 0 <= extra <= 3000  # what encoders put before the first sample and after the last
    assert sum(cut.durations) == pytest.approx(played / SOUNDS[name].rate, abs=0.05)
    assert all(duration < 5 for duration in cut.durations)


def test_bits_say_what_is_in_them(sound: Callable[[str], Path]) -> None:
    bits = {name: Cut(sound(name)).index.header.bits for name in ("wav-8bit-8k", "wav-16bit", "wav-24bit-5.1-96k")}
    assert bits == {"wav-8bit-8k": 8, "wav-16bit": 16, "wav-24bit-5.1-96k": 24}
    assert Cut(sound("wav-32bit")).index.header.bits == 32


def test_the_peaks_hold_every_sample(sound: Callable[[str], Path]) -> None:
    cut = Cut(sound("wav-16bit"))
    step, peaks = cut.index.header.peak_samples, cut.index.peaks.astype(np.float32)
    whole = converted(cut.whole, "float32")
    for number in range(0, len(peaks), 97):
        part = whole[number * step : (number + 1) * step]
        assert np.allclose(peaks[number], np.stack([part.min(axis=0), part.max(axis=0)], axis=-1), rtol=1e-3)
    assert len(peaks) == -(-len(whole) // step)


def test_a_long_recording_has_no_more_peaks(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    samples = np.zeros((8000 * 600, 1), np.int16)
    samples[8000 * 599] = 20_000
    soundfile.write(path, samples, 8000)
    cut = Cut(path)
    assert len(cut.index.peaks) <= 8192
    assert len(cut.index.peaks) * cut.index.header.peak_samples >= len(samples)
    at = 8000 * 599 // cut.index.header.peak_samples
    assert cut.index.peaks[at, 0, 1] == pytest.approx(20_000 / 32_768, rel=1e-3)
    assert np.count_nonzero(cut.index.peaks) == 1


# -- the sound of a video --------------------------------------------------------------------------------------------


def test_sound_is_where_it_is_heard(sound: Callable[[str], Path]) -> None:
    path = sound("wav-16bit")
    plain = plain_sound(path)
    # The video begins half a second after the sound, and ends before it.
    late = Cut(path, VideoTime(Fraction(1, 2), 3.0))
    assert late.index.header.samples == 3 * 44_100
    assert np.array_equal(late.whole, plain[22_050 : 22_050 + 3 * 44_100])
    # The video begins before the sound, and goes on after it.
    early = Cut(path, VideoTime(Fraction(-1, 4), 20.0))
    assert early.index.header.samples == 20 * 44_100
    assert not early.whole[:11_025].any()
    assert np.array_equal(early.whole[11_025 : 11_025 + len(plain)], plain)
    assert not early.whole[11_025 + len(plain) :].any()


@pytest.mark.parametrize("codec", ["flac", "pcm_f32le", "libopus"])
def test_what_is_missing_is_silent(tmp_path: Path, codec: str) -> None:
    whole, holed = tmp_path / "whole.mkv", tmp_path / "holed.mkv"
    Sound(codec, ".mkv", "", seconds=6.0).make(whole)
    gone = (2.0, 4.5)  # longer than a segment has left
    with av.open(str(whole)) as source, av.open(str(holed), "w") as output:
        target = output.add_stream_from_template(source.streams.audio[0])
        times = []
        for packet in source.demux(audio=0):
            if packet.size and not gone[0] <= packet.pts * packet.time_base < gone[1]:
                times.append(float(packet.pts * packet.time_base))
                packet.stream = target
                output.mux(packet)
    cut = Cut(holed, VideoTime(Fraction(0), 6.0))
    plain, read = plain_sound(holed), cut.whole
    starts, ends = cut.index.packet_start[1:], cut.index.packet_end[:-1]
    [number] = np.flatnonzero(starts > ends)
    low, high = int(ends[number]), int(starts[number])
    if codec != "libopus":  # silence up to the end of a block is stored as silence
        low = int(np.flatnonzero((read[: len(plain)] != plain).any(axis=1))[0])
    assert low <= ends[number]
    assert low / 48_000 == pytest.approx(gone[0], abs=0.1)
    assert high / 48_000 == pytest.approx(min(time for time in times if time >= gone[1]), abs=0.01)
    assert not read[low:high].any()
    rest = np.concatenate([read[:low], read[high:]])
    both = min(len(rest), len(plain))
    assert both > 160_000
    assert np.allclose(rest[:both], plain[:both], rtol=0, atol=0 if cut.index.header.exact else 2.0**-12)


# -- what cannot be read ---------------------------------------------------------------------------------------------


def test_damage_is_named(sound: Callable[[str], Path], tmp_path: Path) -> None:
    data = bytearray(sound("flac").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path = tmp_path / "damaged.flac"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"damaged\.flac: its sound is damaged at 4\.\d+ s"):
        Cut(path)


def test_a_change_of_the_rate_is_named(sound: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "two.aac"
    other = Sound("aac", ".aac", "aac", 24_000, options={"aac_pns": "0"}).make(tmp_path / "other.aac")
    path.write_bytes(sound("aac-adts").read_bytes() + other.read_bytes())
    with pytest.raises(MediaError, match=r"two\.aac: its sound changes from 2 channels at 44100 Hz to 2 at 24000 Hz"):
        Cut(path)


def test_a_segment_of_something_else_is_refused(sound: Callable[[str], Path]) -> None:
    cut = Cut(sound("mp3"))
    cut.chunks[1] = bytes(len(cut.chunks[1]))
    assert len(cut.read(0, 44_100)) == 44_100
    with pytest.raises(IntegrityError, match=r"packet \d+ "):
        cut.read(0, cut.index.header.samples)


@pytest.mark.parametrize("broken", [b"", b"PK\x03\x04", b"\x00" * 200], ids=["empty", "half", "zeros"])
def test_a_damaged_index_is_refused(broken: bytes) -> None:
    with pytest.raises(IntegrityError, match="sample index"):
        SampleIndex.from_bytes(broken)
