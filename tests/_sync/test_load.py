# Generated from tests/_async/test_load.py by scripts/unasync.py. Edit that file, then run it.
"""Loading by id, by URI and by path, and what is said when there is nothing to load."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import dreamlake as dl
from dreamlake.errors import (
    ConfigError,
    FileChangedError,
    InvalidIdError,
    InvalidTargetError,
    LakeUnreachableError,
    MediaError,
    NotFoundError,
    ProcessingError,
    SourceNotFoundError,
    UsageError,
)
from tests.clips import CLIPS, Clip, cut_out, decode_plain, real_clip

CARPHONE = real_clip("carphone_pristine.mp4")


def test_by_id_and_uri(lake: str) -> None:
    video = dl.upload(CARPHONE, prefix="/load", progress=False)
    for name in (video.id, video.uri):
        assert dl.load_video(name) == video
        assert dl.load(name) == video


def test_a_short_id_is_enough_where_one_video_begins_so(fresh_lake: Path) -> None:
    video = dl.upload(CARPHONE, progress=False)
    folder, _, object_id = video.uri.rpartition("/")
    assert dl.load_video(f"{folder}/{object_id[:8]}") == video  # as seed 1 writes it
    with pytest.raises(NotFoundError):
        dl.load_video(f"{folder}/00000000")


def test_a_uri_finds_its_lake_whatever_is_in_use(served: str, fresh_lake: Path) -> None:
    dl.connect(served)
    video = dl.upload(CARPHONE, prefix="/load", progress=False)
    assert video.uri.startswith(served.replace("http://", "bss://"))
    dl.connect(data=fresh_lake)
    again = dl.load_video(video.uri)
    assert np.array_equal(again[7].numpy(), video[7].numpy())
    with pytest.raises(NotFoundError):
        dl.load_video(video.id)


@pytest.mark.parametrize("form", [str, Path, lambda path: path.as_uri()])
def test_a_file_is_read_where_it_lies(form: object) -> None:
    video = dl.load_video(form(CARPHONE))
    expected = decode_plain(CARPHONE)
    assert video.id is None
    assert video.uri == CARPHONE.as_uri()
    assert np.array_equal(video.numpy(), expected)
    assert np.array_equal(video[100].numpy(), expected[100])


@pytest.mark.parametrize("name", ["h264-open-gop", "av1", "vp9", "h264-opus", "h264-avi", "h264-variable"])
def test_files_are_exact_too(tmp_path: Path, name: str) -> None:
    path = CLIPS[name].make(tmp_path / f"{name}{CLIPS[name].suffix}")
    expected = decode_plain(path)
    video = dl.load_video(path)
    assert np.array_equal(video.numpy(), expected)
    for number in range(len(expected) - 1, -1, -5):
        assert np.array_equal(video[number].numpy(), expected[number]), f"frame {number}"


def test_unknown_ids(lake: str) -> None:
    with pytest.raises(NotFoundError) as raised:
        dl.load_video("v-0000000000000001")
    assert isinstance(raised.value, LookupError)


@pytest.mark.parametrize("name", ["v-short", "v-!!!!!!!!!!!!!!!!", "v-00000000000000001", "tt-0000000000000001"])
def test_what_is_no_video_id(name: str) -> None:
    with pytest.raises(InvalidIdError):
        dl.load_video(name)


@pytest.mark.parametrize("name", ["", "ftp://host/video.mp4", "bss://localhost:1/videos/69e72", "bss://localhost:1/x"])
def test_what_is_no_uri(name: str) -> None:
    with pytest.raises(InvalidTargetError):
        dl.load_video(name)


def test_ids_of_other_kinds() -> None:
    with pytest.raises(NotFoundError, match="there is no audio"):
        dl.load("a-0000000000000001")
    with pytest.raises(UsageError, match="an audio recording"):
        dl.load_video("a-0000000000000001")


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        dl.load_video(tmp_path / "missing.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(MediaError):
        dl.load_video(tmp_path / "text.mp4")


def test_no_server_is_running(unused_port: int) -> None:
    dl.connect(f"http://127.0.0.1:{unused_port}")
    try:
        with pytest.raises(LakeUnreachableError, match=f"{unused_port}.*dreamlake serve"):
            dl.load_video("v-0000000000000001")
        with pytest.raises(LakeUnreachableError):
            dl.upload(CARPHONE, progress=False)
    finally:
        dl.connect()


def test_a_failed_video_says_why(broken_video: str) -> None:
    with pytest.raises(ProcessingError, match=r"garbage\.mp4.*Invalid data"):
        dl.load_video(broken_video)


@pytest.mark.parametrize("first", [1, 23, 24, 40])
def test_what_begins_in_the_midst_shows_what_a_plain_decode_shows(fresh_lake: Path, tmp_path: Path, first: int) -> None:
    whole = CLIPS["h264-open-gop"].make(tmp_path / "whole.mp4")
    path = cut_out(whole, tmp_path / "cut.mkv", first)
    expected = decode_plain(path)
    for video in (dl.load_video(path), dl.upload(path, progress=False)):
        assert video.frames == len(expected)
        assert np.array_equal(video.numpy(), expected)


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = Clip(options={"preset": "veryfast"}, frames=9).make(tmp_path / "run.mp4")
    before = dl.load_video(path)
    path.unlink()
    Clip(options={"preset": "veryfast"}, frames=5).make(path)
    after = dl.load_video(path)
    assert (before.frames, after.frames) == (9, 5)
    assert np.array_equal(after.numpy(), decode_plain(path))
    with pytest.raises(FileChangedError):
        before[3].numpy()


def test_a_clip_of_a_file_that_was_written_anew_says_so(tmp_path: Path) -> None:
    path = Clip(options={"preset": "veryfast"}, frames=9).make(tmp_path / "run.mp4")
    clip = dl.load_video(path)[3]
    packed = pickle.dumps(clip)
    path.unlink()
    Clip(options={"preset": "veryfast", "qp": "40"}, frames=9).make(path)
    after = dl.load_video(path)[3]
    assert clip != after
    same = pickle.loads(packed)  # as in another process: the file there is the new one
    with pytest.raises(FileChangedError):
        same.numpy()


@pytest.mark.parametrize("url", ["http://[", "http://localhost:99999", "ftp://localhost", "http://"])
def test_what_is_no_url_of_a_lake(url: str) -> None:
    with pytest.raises(InvalidTargetError):
        dl.connect(url)
    dl.connect()


def test_a_home_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigError):
        dl.load_video("v-0000000000000001")


def test_a_damaged_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "lake.db").write_bytes(b"garbage" * 1000)
    dl.connect(data=tmp_path / "lake")
    try:
        with pytest.raises(ConfigError, match="cannot be opened"):
            dl.load_video("v-0000000000000001")
    finally:
        dl.connect()
