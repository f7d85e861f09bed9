"""Content is checked before it is sent: good files of every extension pass, and broken ones say what is wrong."""

from __future__ import annotations

import os
import random
import shutil
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dreamlake.core.kinds import AUDIO, IMAGE, KINDS, LABEL_TRACK, TEXT_TRACK, Kind, kind_of
from dreamlake.errors import MediaError, SourceError
from dreamlake.media.audio import probe_audio
from dreamlake.media.check import check_content
from dreamlake.media.images import ImageFacts, probe_image
from dreamlake.media.tracks import summarize_track
from tests.clips import X264, Clip
from tests.recordings import FILES, LABELS, image_bytes, make_file, make_image, make_sound

Good = Callable[[Kind, str], bytes]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    """The bytes of a good file of a kind with an extension, made once."""
    folder, made = tmp_path_factory.mktemp("good"), dict[tuple[str, str], bytes]()

    def make(kind: Kind, extension: str) -> bytes:
        key = (kind.name, extension)
        if key not in made:
            made[key] = make_file(kind, folder / f"{kind.name}{extension}").read_bytes()
        return made[key]

    return make


def refused(path: Path, data: bytes, kind: Kind) -> str:
    """Why a file is refused; it must be, and the message must begin with its name."""
    path.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        check_content(path, kind)
    assert isinstance(caught.value, SourceError)
    message = str(caught.value)
    assert message.startswith(f"{path.name}: ")
    assert str(path.parent) not in message
    return message.removeprefix(f"{path.name}: ")


# -- all kinds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "extension"), FILES, ids=lambda value: getattr(value, "name", value))
def test_a_good_file_of_every_extension(good: Good, tmp_path: Path, kind: Kind, extension: str) -> None:
    for name in (f"run01{extension}", f"RUN 1:ü{extension.upper()}"):
        (tmp_path / name).write_bytes(good(kind, extension))
        check_content(tmp_path / name, kind)


@pytest.mark.parametrize(("kind", "extension"), FILES, ids=lambda value: getattr(value, "name", value))
def test_what_a_file_must_not_be(good: Good, tmp_path: Path, kind: Kind, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    noise = random.Random(1).randbytes(100_000)
    for data in (noise, bytes(100_000), b"\xff" * 100_000, b"\xff\xfb\x90\x00" * 25_000, b"hello\n" * 10_000):
        refused(path, data, kind)
    for other in KINDS:  # renamed
        if other != kind and {kind, other} != {LABEL_TRACK, TEXT_TRACK}:
            refused(path, good(other, next(iter(other.extensions))), kind)


@pytest.mark.parametrize(("kind", "extension"), FILES, ids=lambda value: getattr(value, "name", value))
def test_an_empty_file(tmp_path: Path, kind: Kind, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    if kind in (LABEL_TRACK, TEXT_TRACK):
        path.touch()
        check_content(path, kind)
        assert summarize_track(path, kind).entries == 0
    else:
        assert refused(path, b"", kind) == "is empty"


def test_what_is_no_file(tmp_path: Path) -> None:
    for kind in KINDS:
        with pytest.raises(MediaError, match=r"^nowhere\.x: cannot be read"):
            check_content(tmp_path / "nowhere.x", kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_name_of_a_kind_is_no_promise(good: Good, tmp_path: Path, kind: Kind) -> None:
    """Content decides: a file without an extension is what it is."""
    for extension in kind.extensions:
        path = tmp_path / "a"
        path.write_bytes(good(kind, extension))
        check_content(path, kind)


# -- audio ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".wav", ".mp3", ".flac", ".ogg"])
def test_sound_that_is_cut_short(good: Good, tmp_path: Path, extension: str) -> None:
    data = good(AUDIO, extension)
    path = tmp_path / f"a{extension}"
    chance = random.Random(7)
    for size in {*(chance.randrange(len(data) // 4, len(data)) for _ in range(12)), len(data) - 1, len(data) - 50}:
        # What is left of a short file may be too little to be anything.
        assert refused(path, data[:size], AUDIO).startswith(("cut short: ", "cannot be read as audio (")), size
    assert refused(path, data[:-1], AUDIO).startswith("cut short: ")
    for size in (1, 4, 12, 40):
        refused(path, data[:size], AUDIO)


def test_blocks_of_adts_that_are_cut_short(good: Good, tmp_path: Path) -> None:
    """They say how long each block is, and nothing of all of them."""
    data, at = good(AUDIO, ".aac"), 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 7], "big") >> 13 & 0x1FFF
        if at > len(data) // 2:
            message = refused(tmp_path / "a.aac", data[: at + size // 2], AUDIO)
            assert message.startswith(("cut short: ", "cannot be read as audio ("))
        at += size
    assert refused(tmp_path / "a.aac", data[:-1], AUDIO).startswith("cut short: ")


@pytest.mark.parametrize(("extension", "layout"), [(".wav", "stereo"), (".flac", "mono"), (".ogg", "stereo")])
def test_facts_of_sound(tmp_path: Path, extension: str, layout: str) -> None:
    facts = probe_audio(make_sound(tmp_path / f"a{extension}", seconds=2.0, rate=24_000, layout=layout))
    assert facts.duration == pytest.approx(2.0, abs=0.001)
    assert facts.channels == (2 if layout == "stereo" else 1)
    assert facts.codec == {".wav": "pcm_s16le", ".flac": "flac", ".ogg": "opus"}[extension]
    assert facts.sample_rate == (48_000 if extension == ".ogg" else 24_000)  # Opus always decodes to 48 kHz


@pytest.mark.parametrize("extension", [".mp3", ".aac"])
def test_blocks_of_sound_may_be_padded(good: Good, tmp_path: Path, extension: str) -> None:
    (tmp_path / "a").write_bytes(good(AUDIO, extension))
    assert probe_audio(tmp_path / "a").duration == pytest.approx(1.5, abs=0.1)


def test_waves_of_unknown_length(good: Good, tmp_path: Path) -> None:
    """As they are written to a pipe, and as RF64 writes what takes more than 4 GB."""
    data = good(AUDIO, ".wav")
    at = data.index(b"data")
    sound = data[at + 8 :]
    streamed = data[:4] + b"\xff" * 4 + data[8 : at + 4] + b"\xff" * 4 + sound
    by_sox = data[: at + 4] + b"\x00\xf0\xff\x7f" + sound
    large = struct.pack("<4sIQQQI", b"ds64", 28, len(data), len(sound), len(sound) // 2, 0)
    rf64 = b"RF64" + b"\xff" * 4 + b"WAVE" + large + streamed[12:]
    for number, variant in enumerate((streamed, by_sox, rf64)):
        path = tmp_path / f"{number}.wav"
        path.write_bytes(variant)
        check_content(path, AUDIO)
        assert probe_audio(path).duration == pytest.approx(1.5)
    assert refused(tmp_path / "a.wav", rf64[:-100], AUDIO).startswith("cut short: ")


@pytest.mark.parametrize("length", [None, 0xFFFFFFFF], ids=["told", "not told"])
def test_the_end_of_a_long_wave_is_found_without_its_middle(tmp_path: Path, length: int | None) -> None:
    rate, samples = 48_000, 48_000 * 600 + 17
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, rate, rate * 4, 4, 16)
    head = (
        struct.pack("<4sI4s", b"RIFF", 0xFFFFFFFF, b"WAVE")
        + layout
        + struct.pack("<4sI", b"data", samples * 4 if length is None else length)
    )
    path = tmp_path / "long.wav"
    path.write_bytes(head)
    os.truncate(path, len(head) + samples * 4)
    assert probe_audio(path).duration == pytest.approx(samples / rate, abs=1e-9)
    if length is None:
        os.truncate(path, len(head) + samples * 4 - 4)
        with pytest.raises(MediaError, match="cut short"):
            probe_audio(path)


def test_tags_around_sound(good: Good, tmp_path: Path) -> None:
    front = b"ID3\x03\x00\x00\x00\x00\x10\x00" + b"TIT2\x00\x00\x00\x05\x00\x00\x00abcd" + bytes(2048 - 15)
    back = b"TAG" + b"title".ljust(125, b"\x00")
    for extension in (".mp3", ".aac"):
        path = tmp_path / f"a{extension}"
        path.write_bytes(front + good(AUDIO, extension) + back)
        check_content(path, AUDIO)
    assert refused(tmp_path / "a.mp3", front + good(AUDIO, ".mp3")[:-1], AUDIO).startswith("cut short: ")


def test_sound_opens_no_other_file(good: Good, tmp_path: Path) -> None:
    """Playlists and lists of files would make FFmpeg open what they name."""
    other = make_sound(tmp_path / "other.wav")
    for data in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1.5,\n{other}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {other}\n",
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\na={other}\n",
    ):
        assert refused(tmp_path / "a.wav", data.encode(), AUDIO).startswith("cannot be read as audio")


def test_the_sound_of_a_video(tmp_path: Path) -> None:
    silent = Clip(frames=12, options=X264).make(tmp_path / "silent.mp4")
    assert refused(tmp_path / "a.mp4", silent.read_bytes(), AUDIO) == "holds no sound"
    loud = Clip(frames=30, options=X264, sound="aac").make(tmp_path / "loud.mp4")
    check_content(loud, AUDIO)
    for extension in (".m4a", ".webm"):
        check_content(path := make_sound(tmp_path / f"a{extension}"), AUDIO)
        data = path.read_bytes()
        refused(tmp_path / f"b{extension}", data[: len(data) // 3], AUDIO)


# -- images --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
def test_an_image_is_measured_as_it_is_shown(tmp_path: Path, extension: str, orientation: int) -> None:
    facts = probe_image(make_image(tmp_path / f"a{extension}", orientation=orientation))
    form = {".jpg": "jpeg", ".png": "png", ".webp": "webp"}[extension]
    width, height = (40, 64) if orientation >= 5 else (64, 40)
    assert (facts.width, facts.height, facts.format) == (width, height, form)


@pytest.mark.parametrize(
    ("name", "mode"), [("a.png", "L"), ("a.png", "P"), ("a.png", "1"), ("a.png", "I;16"), ("a.png", "RGBA"),
                       ("a.jpg", "L"), ("a.jpg", "CMYK"), ("a.webp", "RGBA")]
)  # fmt: skip
def test_images_of_all_modes(tmp_path: Path, name: str, mode: str) -> None:
    Image.new(mode, (5, 7)).save(tmp_path / name)
    check_content(tmp_path / name, IMAGE)
    assert (probe_image(tmp_path / name).width, probe_image(tmp_path / name).height) == (5, 7)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
def test_images_that_are_cut_short_or_damaged(good: Good, tmp_path: Path, extension: str) -> None:
    data = good(IMAGE, extension)
    path = tmp_path / f"a{extension}"
    for size in {*range(1, len(data) - 12, max(1, len(data) // 40)), len(data) - 12}:
        refused(path, data[:size], IMAGE)
    if extension == ".png":  # which has checksums
        for at in range(20, len(data) - 4, max(1, len(data) // 40)):
            refused(path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], IMAGE)


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "ICO", "PPM"])
def test_images_of_other_formats(tmp_path: Path, form: str) -> None:
    assert refused(tmp_path / "a.png", image_bytes(form), IMAGE) == "is not a JPEG, PNG or WebP image"


def test_decompression_bombs(good: Good, tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
    )
    assert refused(tmp_path / "a.png", bomb, IMAGE).startswith("is too large: 60000 by 60000 pixels")

    jpeg = bytearray(good(IMAGE, ".jpg"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65_000, 65_000)
    assert refused(tmp_path / "a.jpg", bytes(jpeg), IMAGE).startswith("is too large: 65000 by 65000 pixels")

    text = chunk(b"zTXt", b"comment\x00\x00" + zlib.compress(bytes(100 * 1024**2), 9))
    png = good(IMAGE, ".png")
    refused(tmp_path / "a.png", png[:33] + text * 2 + png[33:], IMAGE)


def test_a_file_too_large_for_an_image(good: Good, tmp_path: Path) -> None:
    """A decoder would keep what an image carries besides its picture."""
    path = tmp_path / "a.png"
    path.write_bytes(good(IMAGE, ".png"))
    with path.open("r+b") as file:
        file.truncate(1024**3 + 1)
    with pytest.raises(MediaError, match=r"^a\.png: is too large: images have 1024 MiB at most$"):
        check_content(path, IMAGE)


def test_a_large_picture_needs_no_leave(tmp_path: Path) -> None:
    """Above half of the limit Pillow warns of a bomb, and what comes of that hangs on the program around us."""
    path = tmp_path / "a.png"
    Image.new("1", (10_000, 10_000)).save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe_image(path) == ImageFacts(10_000, 10_000, "png")


# -- damage of any sort --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "extension"), [file for file in FILES if file[0] in (AUDIO, IMAGE)])
def test_damage_is_refused_or_does_no_harm(good: Good, tmp_path: Path, kind: Kind, extension: str) -> None:
    """Whatever is altered, nothing but a MediaError comes of it."""
    data, path = good(kind, extension), tmp_path / f"a{extension}"

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.integers(0, min(len(data), 2000) - 1), st.binary(min_size=1, max_size=8)), min_size=1))
    def damage(changes: list[tuple[int, bytes]]) -> None:
        damaged = bytearray(data)
        for at, new in changes:
            damaged[at : at + len(new)] = new
        path.write_bytes(damaged)
        try:
            check_content(path, kind)
        except MediaError as error:
            assert str(error).startswith(f"a{extension}: ")

    damage()


# -- tracks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".jsonl", ".csv"])
def test_a_label_track_is_summed_up(good: Good, tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    path.write_bytes(good(LABEL_TRACK, extension))
    summary = summarize_track(path, LABEL_TRACK)
    assert (summary.format, summary.entries) == (extension[1:], 3)
    assert (summary.start, summary.end, summary.start_frame, summary.end_frame) == (0.0, 1.033, 15, 31)
    assert summary.fields == {"label"} | ({"confidence", "bbox"} if extension == ".jsonl" else set())


@pytest.mark.parametrize("extension", [".vtt", ".srt"])
def test_a_text_track_is_summed_up(good: Good, tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a{extension}"
    path.write_bytes(good(TEXT_TRACK, extension))
    summary = summarize_track(path, TEXT_TRACK)
    assert (summary.format, summary.entries, summary.start, summary.end) == (extension[1:], 2, 0.0, 1.033)
    assert (summary.start_frame, summary.end_frame) == (None, None)
    assert "text" in summary.fields


def test_entries_in_any_order_and_below_zero(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"ts": 5, "dt": 1}\n{"ts": -2.5, "dt": 0, "fe": 7}\n{"ts": 1, "dt": 9, "fs": 3}\n')
    summary = summarize_track(path, LABEL_TRACK)
    assert (summary.start, summary.end, summary.start_frame, summary.end_frame) == (-2.5, 10.0, 3, 7)


def test_one_jsonl_two_kinds(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"ts": 0, "dt": 1, "text": "a"}\n')
    check_content(path, LABEL_TRACK)
    check_content(path, TEXT_TRACK)
    path.write_bytes(LABELS)
    check_content(path, LABEL_TRACK)
    assert refused(path, LABELS, TEXT_TRACK) == "line 1: text is missing"


LATIN = "1\n00:00:00,000 --> 00:00:01,000\né\n".encode("latin-1")
BROKEN = [
    ("a.jsonl", LABELS.replace(b"0.033", b"NaN"), "line 2: is not JSON: it holds NaN or Infinity"),
    ("a.jsonl", LABELS.replace(b"0.033", b"-0.033"), "line 2: it ends before it begins (dt is -0.033)"),
    ("a.jsonl", LABELS.replace(b'"ts": 1.0, ', b""), "line 3: ts is missing"),
    ("a.jsonl", LABELS[:-30], "line 3: is not a JSON object"),
    ("a.jsonl", LABELS.decode().encode("utf-16"), "line 1: is not UTF-8 (byte 0xff); convert the file first"),
    ("a.jsonl", LABELS + b'"' + b"a" * 20_000_000, "line 4: is longer than 16 MiB"),
    ("a.jsonl", b"ts,dt\n0,1\n", "line 1: is not a JSON object"),
    ("a.csv", LABELS, "line 1: the header names no ts"),
    ("a.csv", b"ts,dt\n0,1\n0,one\n", "line 3: dt is not a number"),
    ("a.vtt", b"1\n00:00:00,000 --> 00:00:01,000\na\n", "line 1: is not the signature WEBVTT"),
    ("a.srt", b"WEBVTT\n\n00:00.000 --> 00:01.000\na\n", "line 1: a cue has no times"),
    ("a.srt", LATIN, "line 3: is not UTF-8 (byte 0xe9)"),
]


@pytest.mark.parametrize(("name", "data", "reason"), BROKEN, ids=[f"{name}-{reason}" for name, _, reason in BROKEN])
def test_broken_tracks(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    assert refused(tmp_path / name, data, kind_of(name)).startswith(reason)


def test_a_track_whose_names_are_its_data(tmp_path: Path) -> None:
    lines = b"".join(b'{"ts": 0, "dt": 1, "object %d %s": 1}\n' % (n, b"x" * 400) for n in range(3000))
    assert "the names of its fields take more than 1 MiB" in refused(tmp_path / "a.jsonl", lines, LABEL_TRACK)


@pytest.mark.parametrize(("name", "kind"), [("a.jsonl", LABEL_TRACK), ("a.csv", LABEL_TRACK), ("a.srt", TEXT_TRACK)])
def test_memory_does_not_grow_with_a_track(tmp_path: Path, name: str, kind: Kind) -> None:
    entry = {
        "a.jsonl": LABELS,
        "a.csv": b"0.5,0.033,15,15,car\n" * 3,
        "a.srt": b"1\n00:00:00,000 --> 00:00:00,500\nA robot\n\n" * 3,
    }[name]
    path = tmp_path / name
    path.write_bytes((b"ts,dt,fs,fe,label\n" if name == "a.csv" else b"") + entry * 5000)
    check_content(path, kind)  # what it imports is no part of it
    tracemalloc.start()
    try:
        check_content(path, kind)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300_000 < path.stat().st_size
    assert summarize_track(path, kind).entries == 15_000


def test_files_are_left_as_they_are(good: Good, tmp_path: Path) -> None:
    for kind, extension in FILES:
        path = tmp_path / f"a{extension}"
        path.write_bytes(good(kind, extension))
        path.chmod(0o444)
        check_content(path, kind)
        assert path.read_bytes() == good(kind, extension)
    shutil.rmtree(tmp_path)
