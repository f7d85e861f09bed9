# Generated from tests/_async/test_audio.py by scripts/unasync.py. Edit that file, then run it.
"""Audio as its users have it: loaded, sliced, resampled, saved; embedded and served."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import dreamlake as dl
from dreamlake.errors import (
    FileChangedError,
    FrameIndexError,
    MediaError,
    NotFoundError,
    SourceError,
    UsageError,
)
from tests.clips import CLIPS, X264, Clip, maker, plain_times, real_clip
from tests.sounds import SOUNDS, plain_sound

RATE = 44_100
GOP = {**X264, "g": "15"}
VIDEOS = {
    "mp4-aac": CLIPS["h264-sound"],
    "mkv-opus": CLIPS["h264-opus"],
    "mkv-pcm": CLIPS["h264-pcm"],
    "ts-aac": Clip(options=GOP, sound="aac", suffix=".ts"),
    "ts-mp3": Clip(options=GOP, sound="libmp3lame", suffix=".ts"),
    "mov-alac": Clip(options=GOP, sound="alac", suffix=".mov"),
    "mkv-float": Clip(options=GOP, sound="pcm_f32le", suffix=".mkv"),
    "webm-opus": Clip("libsvtav1", ".webm", 60, options={"preset": "12", "svtav1-params": "lp=1"}, sound="libopus"),
    "mkv-ac3": Clip(options=GOP, sound="ac3", suffix=".mkv"),
}  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return maker(tmp_path_factory.mktemp("sounds"), SOUNDS)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    return maker(tmp_path_factory.mktemp("clips"), VIDEOS)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in ("home", "lake"))


def forget_index(lake: Path) -> Path:
    """Leave an asset as a version left it that kept facts alone; returns where its index was."""
    [meta] = lake.rglob("meta.json")
    [index] = lake.rglob("samples.npz")
    text = meta.read_text().replace('"samples.npz"', "null")
    begin = text.index('"streams"')
    meta.write_text(text[:begin] + '"streams": [' + text[text.index("]", begin) :])
    index.unlink()
    return index


def upload(path: Path) -> Any:
    return dl.upload(path, prefix="/sound", kind="audio", progress=False)


def test_upload_gives_an_audio_that_knows_itself(lake: str, sound: Callable[[str], Path]) -> None:
    path = sound("wav-16bit")
    audio = upload(path)
    assert isinstance(audio, dl.Audio)
    assert audio.id.startswith("a-")
    assert "/audio/" in audio.uri
    assert (audio.sample_rate, audio.channels, audio.codec) == (RATE, 2, "pcm_s16le")
    assert len(audio) == audio.samples == round(9.3 * RATE)
    assert (audio.st, audio.et, audio.duration) == (0.0, 9.3, 9.3)
    assert repr(audio).endswith(", sample_rate=44100, channels=2, duration=9.3)")
    assert repr(audio[1.0:2.5]).endswith(", st=1.0, et=2.5, duration=1.5)")
    meta = audio.metadata()
    assert (meta.samples, meta.index, len(meta.streams)) == (audio.samples, "samples.npz", 1)
    for name in (audio.id, audio.uri, "//sound/wav-16bit.wav"):
        assert dl.load(name) == audio
    with dl.Prefix(prefix="/sound"):
        assert dl.load("wav-16bit.wav") == audio
    assert audio.download(path.parent / "again.wav", progress=False).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["wav-24bit-5.1-96k", "flac", "mp3", "aac-m4a", "vorbis", "opus", "wav-float"])
def test_samples_are_those_of_a_plain_decode(lake: str, sound: Callable[[str], Path], name: str) -> None:
    audio = upload(sound(name))
    plain = plain_sound(sound(name))
    if plain.dtype.kind == "i":
        plain = plain / np.float32(2.0 ** (8 * plain.dtype.itemsize - 1))
    whole = audio.numpy()
    assert whole.dtype == np.float32
    assert np.array_equal(whole, plain)
    rate = audio.sample_rate
    part = audio[1.0:2.5].numpy()
    assert part.shape == (round(1.5 * rate), audio.channels)
    assert np.array_equal(part, plain[rate : round(2.5 * rate)])
    assert np.array_equal(audio[-500:].numpy(), plain[-500:])
    pieces = [piece for piece in audio[0.3:].iterator(0.7)]
    assert {len(piece) for piece in pieces[:-1]} == {round(0.7 * rate)}
    assert np.array_equal(np.concatenate(pieces), plain[round(0.3 * rate) :])


def test_slices_of_slices(sound: Callable[[str], Path]) -> None:
    audio = upload(sound("wav-16bit"))
    whole = audio.numpy()
    clip = audio[2.0:8.0]
    inner = clip[1.0:3.0][100:-100]
    assert (inner.st, inner.samples) == ((3 * RATE + 100) / RATE, 2 * RATE - 200)
    assert np.array_equal(inner.numpy(), whole[3 * RATE + 100 : 5 * RATE - 100])
    assert np.array_equal(clip[-0.5:].numpy(), whole[round(7.5 * RATE) : 8 * RATE])
    assert np.array_equal(clip[5].numpy(), whole[2 * RATE + 5 :][:1])
    assert np.array_equal(clip[1.5].numpy(), whole[round(3.5 * RATE) :][:1])
    assert clip[3.0:2.0].numpy().shape == (0, 2)
    assert len(clip[100.0:200.0]) == 0
    assert clip[:] is clip
    assert hash(audio[2.0:8.0]) == hash(clip)
    assert audio[2.0:8.0] == clip != audio[2.0:8.1]
    assert [piece for piece in clip[3:3].iterator(100)] == []


def test_bad_keys(sound: Callable[[str], Path]) -> None:
    audio = upload(sound("short"))
    for key in (48, -49, 1.0):
        with pytest.raises(FrameIndexError, match="outside of a clip of 48 samples"):
            audio[key]
    for wrong in (slice(0, 1.0), slice(None, None, 2), slice(0, 5, -1), True, None, "1", [1, 2], float("nan")):
        with pytest.raises(UsageError):
            audio[wrong]
    for arguments in ({"rate": 0}, {"rate": 1.5}, {"rate": 10**7}, {"dtype": "uint8"}, {"dtype": "nonsense"}):
        with pytest.raises(UsageError):
            audio.numpy(**arguments)
    for block in (0, -1, 0.0, float("inf"), 1e300, "1"):
        with pytest.raises(UsageError):
            _ = [piece for piece in audio.iterator(block)]
    with pytest.raises(UsageError, match=r"out has to be a writeable array of float32 \(48, 1\)"):
        audio.numpy(out=np.zeros((47, 1), np.float32))


def test_types(sound: Callable[[str], Path]) -> None:
    audio = upload(sound("wav-32bit"))[1.0:2.0]
    path = sound("wav-32bit")
    for dtype in ("int32", "float64"):
        expected, _ = soundfile.read(path, dtype=dtype, always_2d=True, start=48_000, stop=96_000)
        assert np.array_equal(audio.numpy(dtype=dtype), expected)
    floats, _ = soundfile.read(path, dtype="float32", always_2d=True, start=48_000, stop=96_000)
    assert np.array_equal(audio.numpy(), floats)
    assert np.array_equal(audio.numpy(dtype="int16"), audio.numpy(dtype="int32") >> 16)
    out = np.full((48_000, 2), 7, np.float32)
    assert audio.numpy(out=out) is out
    assert np.array_equal(out, floats)
    tensor = audio.tensor()
    assert tensor.shape == (2, 48_000)
    assert torch.equal(tensor, torch.from_numpy(floats.T.copy()))
    assert audio.tensor(channels_first=False, dtype=torch.int16).shape == (48_000, 2)
    loud = upload(sound("wav-float")).numpy(dtype="int16")
    exact, _ = soundfile.read(sound("wav-float"), dtype="float64", always_2d=True)
    assert np.array_equal(loud, np.clip(np.rint(exact * 32_768), -32_768, 32_767))


@pytest.mark.parametrize("name", ["wav-16bit", "mp3"])
@pytest.mark.parametrize("rate", [16_000, 48_000, 22_050])
def test_resampling(sound: Callable[[str], Path], name: str, rate: int) -> None:
    audio = upload(sound(name))
    whole = audio.numpy(rate=rate)
    assert whole.shape == (round(audio.duration * rate), 2)
    # A part is what the same part of the whole is: nothing begins or ends at its edges.
    part = audio[2.0:5.0].numpy(rate=rate)
    assert np.allclose(part, whole[2 * rate : 5 * rate], atol=1e-5)
    streamed = np.concatenate([piece for piece in audio[2.0:5.0].iterator(1000, rate=rate)])
    assert np.array_equal(streamed, part)
    # It is the same sound: a tone keeps its pitch and its place.
    original = audio[2.0:3.0].numpy()
    for sound_at, hz in ((original, RATE), (part[:rate], rate)):
        spectrum = np.abs(np.fft.rfft(sound_at[:, 0] - sound_at[:, 0].mean()))
        assert int(np.argmax(spectrum[200:400])) + 200 == pytest.approx(300, abs=60), hz


def test_peaks(sound: Callable[[str], Path]) -> None:
    audio = upload(sound("wav-16bit"))
    whole = audio.numpy()
    few = audio.peaks(10)
    edges = np.arange(11) * len(whole) // 10
    for number in range(10):  # out of the index: to the nearest of its peaks
        part = whole[edges[number] + 256 : edges[number + 1] - 256]
        assert np.all(few[number, :, 0] <= part.min(axis=0) + 1e-3)
        assert np.all(few[number, :, 1] >= part.max(axis=0) - 1e-3)
    many = audio[3.5:4.5].peaks(1000)
    clip = audio[3.5:4.5].numpy()
    edges = np.arange(1001) * len(clip) // 1000
    exact = [[part.min(axis=0), part.max(axis=0)] for part in np.split(clip, edges[1:-1])]
    assert np.array_equal(many, np.array(exact).transpose(0, 2, 1))
    assert audio[:7].peaks(100).shape == (7, 2, 2)
    assert audio[:0].peaks().shape == (0, 2, 2)
    with pytest.raises(UsageError):
        audio.peaks(0)


@pytest.mark.parametrize("name", ["wav-16bit", "wav-24bit-5.1-96k", "wav-32bit", "wav-float", "wav-double-22k", "mp3"])
def test_saving(sound: Callable[[str], Path], name: str, tmp_path: Path) -> None:
    audio = upload(sound(name))[0.5:4.25]
    path = audio.save(tmp_path / "clip.wav")
    saved, rate = soundfile.read(path, dtype="float64", always_2d=True)
    assert rate == audio.sample_rate
    assert np.array_equal(saved, audio.numpy(dtype="float64"))
    subtype = {"wav-16bit": "PCM_16", "wav-24bit-5.1-96k": "PCM_24", "wav-32bit": "PCM_32", "wav-double-22k": "DOUBLE"}
    assert soundfile.info(str(path)).subtype == subtype.get(name, "FLOAT")
    assert names_in(tmp_path) == ["clip.wav"]
    if name.startswith("wav") and audio.codec.startswith("pcm_s"):
        flac = audio.save(tmp_path / "clip.flac")
        again = plain_sound(flac)  # soundfile reads no FLAC of 32 bits
        assert np.array_equal(again, audio.numpy(dtype=again.dtype))
    small = audio.save(tmp_path / "small.wav", rate=8000, dtype="int16")
    info = soundfile.info(str(small))
    assert (info.samplerate, info.subtype, info.frames) == (8000, "PCM_16", 30_000)


def test_what_cannot_be_saved(sound: Callable[[str], Path], tmp_path: Path) -> None:
    audio = upload(sound("short-mp3"))
    with pytest.raises(UsageError, match="FLAC holds integers"):
        audio.save(tmp_path / "a.flac")
    with pytest.raises(UsageError, match=r"saved as \.wav or \.flac"):
        audio.save(tmp_path / "a.mp3")
    with pytest.raises(SourceError, match="cannot be written"):
        audio.save(tmp_path / "nowhere" / "a.wav")
    assert not names_in(tmp_path)


def test_pickles(lake: str, sound: Callable[[str], Path]) -> None:
    audio = upload(sound("flac"))
    clip = audio[1.0:1.5]
    again = pickle.loads(pickle.dumps(clip))
    assert again == clip
    assert len(pickle.dumps(clip)) < 600
    assert np.array_equal(again.numpy(), clip.numpy())


def test_what_is_not_there(lake: str) -> None:
    with pytest.raises(NotFoundError):
        dl.load("a-0000000000000001")


# -- the sound of videos ---------------------------------------------------------------------------------------------


def heard(path: Path, video: Any, rate: int) -> np.ndarray[Any, Any]:
    """What a player plays while it shows the video: a plain decode, put where the times of both say."""
    import av

    with av.open(str(path)) as container:
        begin = next(container.decode(audio=0)).time
    with av.open(str(path)) as container:
        first = min(frame.time for frame in container.decode(video=0))
    plain = plain_sound(path)
    if plain.dtype.kind == "i":
        plain = plain / np.float32(2.0 ** (8 * plain.dtype.itemsize - 1))
    offset = round((begin - first) * rate)
    result = np.zeros((round(video.duration * rate), plain.shape[1]), np.float32)
    low, skip = max(0, offset), max(0, -offset)
    count = min(len(plain) - skip, len(result) - low)
    result[low : low + count] = plain[skip : skip + count]
    return result


@pytest.mark.parametrize("name", VIDEOS)
@pytest.mark.parametrize("where", ["lake", "file"])
def test_a_video_has_its_sound(clip: Callable[[str], Path], name: str, where: str) -> None:
    path = clip(name)
    if where == "lake":
        video = dl.upload(path, prefix="/sound", kind="video", progress=False)
    else:
        video = dl.load_video(path)
    assert video.has_audio
    audio = video.audio.load()
    expected = heard(path, video, audio.sample_rate)
    assert np.array_equal(audio.numpy(), expected)
    assert (audio.st, audio.et) == pytest.approx((video.st, video.et), abs=1 / audio.sample_rate)
    shot = video[0.5:1.25][2:-1]
    rate = audio.sample_rate
    begin, end = round(shot.st * rate), round(shot.et * rate)
    assert np.array_equal(shot.audio.numpy(), expected[begin:end])
    assert np.array_equal(pickle.loads(pickle.dumps(shot)).audio.numpy(), expected[begin:end])
    assert len(plain_times(path)) == len(video)  # the pictures are what they were


def test_a_video_without_sound_says_so() -> None:
    video = dl.load_video(real_clip("carphone_pristine.mp4"))
    assert not video.has_audio
    with pytest.raises(MediaError, match="has no sound"):
        _ = video.audio


def test_sound_is_read_without_the_pictures(clip: Callable[[str], Path]) -> None:
    video = dl.upload(clip("mp4-aac"), progress=False)
    meta = video.audio.metadata()
    assert len(meta.streams) == 2
    sizes = video.audio.load()._source.loaded().segment_size
    assert sizes.sum() < 0.9 * video._source.nbytes


def test_a_file_that_changed_is_another_one(clip: Callable[[str], Path], tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(clip("mp4-aac").read_bytes())
    audio = dl.load_video(path).audio.load()
    part = audio[1.0:1.5]
    path.write_bytes(clip("mp4-aac").read_bytes() + b"\0\0\0\x08free")
    again = dl.load_video(path).audio.load()
    assert again != audio
    assert np.array_equal(again[1.0:1.5].numpy(), part.numpy())  # what is in the cache is still that
    packed = pickle.dumps(part)
    del audio, part
    with pytest.raises(FileChangedError):
        pickle.loads(packed).load()


def test_sound_of_an_older_lake_is_made_when_it_is_wanted(fresh_lake: Path, sound: Callable[[str], Path]) -> None:
    audio = upload(sound("wav-16bit"))
    index = forget_index(fresh_lake)
    identity, expected = audio.id, audio.numpy()
    del audio  # and with it what this process knows of it
    again = dl.load(identity)
    assert np.array_equal(again.numpy(), expected)
    assert index.exists()
