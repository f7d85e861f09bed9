# Generated from tests/_async/test_tracks.py by scripts/unasync.py. Edit that file, then run it.
"""Tracks through their users' eyes: read by time, on a clip, added to and flushed (seed 1, "TextTrack"; seed 3)."""

from __future__ import annotations

import json
import pickle
import random
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dreamlake as dl
from dreamlake._sync._runtime import gather
from dreamlake._sync.lake import Lake
from dreamlake.errors import (
    LakeUnreachableError,
    MediaError,
    NotFoundError,
    RequestError,
    UploadPausedError,
    UsageError,
)
from tests.clips import real_clip

CARPHONE = real_clip("carphone_distorted.mp4")
THREE = [
    {"ts": 0.0, "dt": 0.5, "label": "person", "confidence": 0.95, "bbox": [100, 50, 200, 150]},
    {"ts": 0.5, "dt": 0.033, "fs": 15, "fe": 15, "label": "car", "bbox": [300, 200, 450, 350]},
    {"ts": 1.0, "dt": 0.033, "fs": 30, "fe": 30, "label": "person", "bbox": [110, 55, 210, 155]},
]


@pytest.fixture
def space() -> str:
    """A space of the test's own: lakes are shared."""
    return f"tracks@alice-{secrets.token_hex(4)}"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The requests that are made."""
    paths: list[str] = []
    send = Lake.send

    def counted(self: Lake, method: str, url: str, **more: Any) -> Any:
        paths.append(f"{method} {url.partition('?')[0].rpartition('/')[2]}")
        return send(self, method, url, **more)

    monkeypatch.setattr(Lake, "send", counted)
    yield paths


def write(path: Path, entries: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def put(path: Path, space: str, **more: Any) -> Any:
    return dl.upload(path, space=space, progress=False, **more)


# -- reading -------------------------------------------------------------------------------------------------------


def test_a_track_is_uploaded_and_loaded(lake: str, space: str, tmp_path: Path) -> None:
    track = put(write(tmp_path / "detections.jsonl", THREE), space, prefix="/run")
    assert isinstance(track, dl.LabelTrack)
    assert isinstance(track, dl.Asset)
    assert track.id is not None
    assert track.id.startswith("lt-")
    assert (track.prefix, track.space, track.count, len(track)) == ("/run/detections.jsonl", space, 3, 3)
    assert (track.st, track.et) == (0.0, 1.033)
    assert track.to_list() == THREE
    owner = space.partition("@")[2]
    for source in (track.id, track.uri, f"{owner}@tracks//run/detections.jsonl"):
        again = dl.load(source)
        assert again == track
        assert [entry for entry in again] == THREE
    with dl.Prefix(space=space, prefix="/run"):
        assert dl.load("detections.jsonl").id == track.id
    assert repr(again) == f'{type(track).__name__}("/run/detections.jsonl", space="{space}", count=3)'
    assert pickle.loads(pickle.dumps(track))[0.9:2.0].to_list() == THREE[2:]
    with pytest.raises(NotFoundError):
        dl.load("lt-" + "0" * 16)


def test_what_is_read_is_what_a_filter_finds(lake: str, space: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    entries = [
        {"ts": round(chance.uniform(-60, 400), 2), "dt": chance.choice([0, 0.5, 40.0, 700.0, 3000.0]), "n": number}
        for number in range(300)
    ]
    entries += entries[:5]  # what is there twice stays twice
    track = put(write(tmp_path / "a.jsonl", entries), space)

    def among(start: float, stop: float) -> list[str]:
        found = [e for e in entries if e["ts"] < stop and (e["ts"] + e["dt"] > start or e["ts"] >= start)]
        return sorted(map(json.dumps, found))

    questions = [sorted((chance.uniform(-70, 500), chance.uniform(-70, 500))) for _ in range(20)]
    for start, stop in [*questions, [30.0, 60.0], [29.99, 30.0], [-30.0, -30.0], [1000.0, 1000.5]]:
        found = track[start:stop].to_list()
        assert sorted(map(json.dumps, found)) == among(start, stop)
        assert [entry["ts"] for entry in found] == sorted(entry["ts"] for entry in found)
        assert track[start:stop][0.0:1.0].to_list() == track[start : min(stop, start + 1.0)].to_list()
    assert sorted(map(json.dumps, track.to_list())) == sorted(map(json.dumps, entries))
    assert sorted(map(json.dumps, track[:100.0].to_list())) == among(-1e9, 100.0)
    assert sorted(map(json.dumps, track[100.0:].to_list())) == among(100.0, 1e9)
    for moment in (0.0, 30.0, 123.4):
        assert sorted(map(json.dumps, track.at(moment).to_list())) == among(moment, np.nextafter(moment, 1e9))


def test_only_the_windows_that_are_needed_are_fetched(space: str, tmp_path: Path, asked: list[str]) -> None:
    entries = [{"ts": at * 10.0, "dt": 5.0, "n": at} for at in range(3600)]  # ten hours
    path = write(tmp_path / "a.jsonl", entries)
    track = dl.load(put(path, space).id)
    asked.clear()
    assert [entry["n"] for entry in track[18_001.0:18_011.0].to_list()] == [1800, 1801]
    assert len(asked) == 1
    assert [entry["n"] for entry in track[17_995.0:18_005.0].to_list()] == [1800]
    assert len(asked) == 2  # the window before; the other one is in memory
    assert len(track[0.0:300.0].to_list()) == 30
    assert len(asked) == 12
    assert all(name.startswith("GET ") and name.endswith(".jsonl") for name in asked)


def test_captions_are_read_and_written(lake: str, space: str, tmp_path: Path) -> None:
    (tmp_path / "a.vtt").write_text(
        "WEBVTT\nKind: captions\n\nSTYLE\n::cue { color: red }\n\nNOTE not this\n\none\n"
        "00:29.500 --> 00:31.000 align:start\n<b>a cup</b>\n\n00:40.000 --> 00:41.000\nb & c\n"
    )
    (tmp_path / "a.srt").write_text("1\n00:00:29,500 --> 00:00:31,000\na <3 b\n\nc\n")
    vtt, srt = [put(tmp_path / name, space) for name in ("a.vtt", "a.srt")]
    assert isinstance(vtt, dl.TextTrack)
    assert str(vtt.id).startswith("tt-")
    assert vtt.at(30.5).to_list() == [
        {"ts": 29.5, "dt": 1.5, "text": "<b>a cup</b>", "id": "one", "settings": "align:start"}
    ]
    assert vtt.to_vtt() == (
        "WEBVTT\nKind: captions\n\nSTYLE\n::cue { color: red }\n\none\n00:00:29.500 --> 00:00:31.000 align:start\n"
        "<b>a cup</b>\n\n00:00:40.000 --> 00:00:41.000\nb & c\n"
    )
    assert vtt[35.0:50.0].to_srt() == "1\n00:00:40,000 --> 00:00:41,000\nb & c\n"
    assert srt.to_list() == [{"ts": 29.5, "dt": 1.5, "text": "a <3 b\n\nc"}]
    assert srt.to_srt() == "1\n00:00:29,500 --> 00:00:31,000\na <3 b\n\nc\n"
    with pytest.raises(UsageError, match="a VTT file: entries can be added to JSONL alone"):
        vtt.add("more", st=1, et=2)
        vtt.flush()
    vtt._state.buffer.drop(1)  # or it would be told at the end of the tests


def test_tables(space: str, tmp_path: Path) -> None:
    track = put(write(tmp_path / "a.jsonl", THREE), space)
    frame = track.to_pandas()
    assert list(frame.columns) == ["ts", "dt", "label", "confidence", "bbox", "fs", "fe"]
    assert frame["label"].tolist() == ["person", "car", "person"]
    table = track[0.4:2.0].to_arrow()
    assert (table.num_rows, table.column("fs").to_pylist()) == (3, [None, 15, 30])
    assert track[50.0:60.0].to_arrow().num_rows == 0
    mixed = put(write(tmp_path / "b.jsonl", [{"ts": 0, "dt": 1, "x": 1}, {"ts": 0, "dt": 1, "x": "one"}]), space)
    with pytest.raises(UsageError, match="cannot be a table"):
        mixed.to_arrow()


def test_what_lies_on_a_clip(space: str, tmp_path: Path) -> None:
    video = dl.load_video(CARPHONE)
    st, frame = video[30].st, 1 / video.fps
    entries = [
        {"ts": st - 0.5, "dt": 1.0, "fs": 15, "fe": 44, "label": "before"},
        {"ts": st, "dt": frame / 2, "fs": 30, "fe": 30, "label": "first"},
        {"ts": st + 90, "dt": 1.0, "label": "after"},
    ]
    track = put(write(tmp_path / "a.jsonl", entries), space)
    clip = video[30:60]
    assert [entry["label"] for entry in track.at(clip).to_list()] == ["before", "first"]
    assert clip.labels(track) == [
        {"ts": -0.5, "dt": 1.0, "fs": 0, "fe": 14, "label": "before"},
        {"ts": 0.0, "dt": frame / 2, "fs": 0, "fe": 0, "label": "first"},
    ]
    assert [entry["label"] for entry in video[10].labels(track)] == []
    said = dl.text_track(prefix="/said", space=space)
    said.add("now", source=clip)
    assert clip.captions(said) == [{"ts": 0.0, "dt": pytest.approx(clip.duration), "fs": 0, "fe": 29, "text": "now"}]
    said.flush()
    [entry] = video[31:33].captions(said)
    assert (entry["fs"], entry["fe"], entry["text"]) == (0, 1, "now")


@pytest.mark.parametrize("key", [5, slice(0, 1), slice(0.0, 1.0, 0.1), slice(float("nan"), 1.0), "1"])
def test_what_no_track_is_cut_by(space: str, key: Any) -> None:
    track = dl.label_track(prefix="/a", space=space)
    with pytest.raises(UsageError, match="a track is cut by seconds"):
        track[key]
    with pytest.raises(UsageError):
        track.at("now")  # type: ignore[arg-type]  # (that is what is tested)


# -- writing -------------------------------------------------------------------------------------------------------


def test_a_track_is_written_as_in_seed_1(lake: str, space: str) -> None:
    video = dl.load_video(CARPHONE)
    with dl.Prefix(space=space, prefix="/2026/04/run-042"):
        track = dl.text_track(path="captions/scene-description")
        assert (track.id, track.count, track.prefix) == (None, 0, "/2026/04/run-042/captions/scene-description")
        for chunk in video.chunk(1.0):
            track.add("A robot arm reaches for a cup", source=chunk)
        track.add("Gripper closes", st=20.0, et=22.0, sf=600, ef=660)
        count = len(video.chunk(1.0)) + 1
        name = type(track).__name__
        shown = f'{name}("/2026/04/run-042/captions/scene-description", space="{space}", count={count})'
        assert repr(track) == shown
        before = track.to_list()
        track.flush()
        assert repr(track) == shown
        assert track.to_list() == before
        assert before[-1] == {"ts": 20.0, "dt": 2.0, "fs": 600, "fe": 660, "text": "Gripper closes"}
        assert (before[0]["fs"], before[0]["ts"]) == (0, 0.0)
        loaded = dl.load("captions/scene-description")
    assert loaded.id == track.id == dl.load(str(track.id)).id
    assert str(track.id).startswith("tt-")
    assert track.metadata().status == "ready"

    # More of them are a new version of the same track.
    later = dl.text_track(prefix="/2026/04/run-042/captions/scene-description", space=space)
    assert later.count == count
    later.add("And lets go", st=30.0, et=31)
    assert [entry["text"] for entry in later[25.0:].to_list()] == ["And lets go"]
    later.flush()
    assert (later.id, later.count) == (track.id, count + 1)
    assert later.to_list()[:-1] == before
    track.load()
    assert track.to_list() == later.to_list()
    later.flush()  # nothing to do
    [entry] = [entry for entry in dl.ls("/2026/04/run-042/captions", space=space)]
    assert (entry.id, entry.size) == (track.id, track.metadata().size)


def test_labels_have_any_fields(space: str, tmp_path: Path) -> None:
    track = dl.label_track(prefix="/detections", space=space)
    track.add(st=1, et=2, label="cup", bbox=np.array([1, 2, 3, 4]), score=np.float32(0.5), more={"a": [None, "é"]})
    track.flush()
    [entry] = dl.load(str(track.id)).to_list()
    assert entry == {
        "ts": 1.0, "dt": 1.0, "label": "cup", "bbox": [1, 2, 3, 4], "score": 0.5, "more": {"a": [None, "é"]}
    }  # fmt: skip
    meta = track.metadata()
    assert (meta.name, meta.fields, meta.entry_count) == ("/detections", ["bbox", "label", "more", "score"], 1)
    path = track.download(tmp_path / "back.jsonl", progress=False)
    assert json.loads(path.read_text()) == entry


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"st": 1.0}, "et= is missing"),
        ({"st": 2, "et": 1}, "ends at et=1 before"),
        ({"st": float("nan"), "et": 1}, "no time"),
        ({"st": "1", "et": 2}, "no number"),
        ({"st": 0, "et": 1, "sf": -1}, "number of a frame"),
        ({"st": 0, "et": 1, "sf": 3, "ef": 2}, "before its first frame"),
        ({"st": 0, "et": 1, "x": float("inf")}, "cannot be said in JSON"),
        ({"st": 0, "et": 1, "x": object()}, "object is no number"),
        ({"st": 0, "et": 1, "ts": 1}, "ts is how times are stored"),
        ({"st": 0, "et": 1, "x": "\ud800"}, "cannot be said in JSON"),
        ({"st": 0, "et": 1e12}, "no time of a recording"),
        ({"source": "clip"}, "a clip of a video"),
    ],
)
def test_entries_that_cannot_be(space: str, fields: dict[str, Any], reason: str) -> None:
    track = dl.label_track(prefix="/a", space=space)
    with pytest.raises(UsageError, match=reason):
        track.add(**fields)
    assert track.count == 0
    with pytest.raises(UsageError):
        dl.text_track(prefix="/b", space=space).add(7, st=0, et=1)  # type: ignore[arg-type]  # (tested)


def test_where_no_track_can_be(space: str, tmp_path: Path) -> None:
    put(write(tmp_path / "a.jsonl", THREE), space)
    with pytest.raises(UsageError, match="is a label-track, and no text-track"):
        dl.text_track(prefix="/a.jsonl", space=space)
    with pytest.raises(UsageError, match="needs a path"):
        dl.text_track(space=space)


def test_many_who_flush_at_once_lose_nothing(lake: str, space: str) -> None:
    """Of some the first flush makes the track, and the same entries are everybody's own."""
    tracks = [dl.label_track(prefix="/shared", space=space) for _ in range(4)]

    def work(number: int) -> None:
        for turn in range(2):
            tracks[number].add(st=turn, et=turn + 1, label="same")
            tracks[number].add(st=turn, et=turn + 1, label=f"{number}/{turn}")
            tracks[number].flush(wait=False)

    gather(*(partial(work, number) for number in range(len(tracks))))
    assert len({track.id for track in tracks}) == 1
    found = [entry["label"] for entry in dl.label_track(prefix="/shared", space=space).to_list()]
    assert sorted(found) == sorted([*["same"] * 8, *(f"{number}/{turn}" for number in range(4) for turn in range(2))])


def test_one_path_in_two_episodes_is_two_tracks(space: str) -> None:
    owner = space.partition("@")[2]
    tracks = [dl.text_track(prefix="/said", episode=f"{owner}@tracks:run-{run}") for run in (1, 2)]
    for track in tracks:
        track.add("the same", st=0, et=1)
        track.flush()
    tracks[0].add("only here", st=1, et=2)
    tracks[0].flush()
    tracks[1].load()
    assert [len(track) for track in tracks] == [2, 1]


def test_a_file_of_two_names_changes_under_one(space: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", THREE)
    owner = space.partition("@")[2]
    one, two = [put(path, space, episode=f"{owner}@tracks:{run}", prefix="/l") for run in ("one", "two")]
    assert one.id == two.id
    track = dl.label_track(prefix="/l/a.jsonl", episode=f"{owner}@tracks:one")
    track.add(st=5, et=6, label="new")
    track.flush()
    assert len(track.to_list()) == 4
    other = dl.label_track(prefix="/l/a.jsonl", episode=f"{owner}@tracks:two")
    assert (other.id, len(other)) == (two.id, 3)


@pytest.mark.parametrize("lost", ["versions", "text-track", "init", "text-tracks"])
def test_a_flush_that_fails_loses_nothing_and_doubles_nothing(
    space: str, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """Wherever the answer is lost, also when the lake had done what was asked."""
    track = dl.text_track(prefix="/said", space=space)
    if lost == "versions":
        track.add("before", st=0, et=1)
        track.flush()
    send, failing = Lake.send, [True]

    def losing(self: Lake, method: str, url: str, **more: Any) -> Any:
        answer = send(self, method, url, **more)
        if failing and method == "POST" and url.partition("?")[0].endswith(f"/{lost}"):
            raise LakeUnreachableError("gone")
        return answer

    monkeypatch.setattr(Lake, "send", losing)
    track.add("one", st=1, et=2)
    with pytest.raises((LakeUnreachableError, UploadPausedError)):
        track.flush()
    assert [entry["text"] for entry in track.to_list()][-1] == "one"
    track.add("two", st=2, et=3)
    failing.clear()
    track.flush()
    found = dl.text_track(prefix="/said", space=space).to_list()
    assert [entry["text"] for entry in found] == [*(["before"] if lost == "versions" else []), "one", "two"]


# -- lines that cannot be read -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "reason", "good"),
    [
        ("a.jsonl", b'{"ts": 0, "dt": 1}\n{"ts": NaN, "dt": 1}\n', "line 2: is not JSON: it holds NaN", 1),
        ("b.jsonl", b'{"ts": 0, "dt": -1}\n', "line 1: it ends before it begins", 0),
        ("c.jsonl", b'\xef\xbb\xbf{"dt": 1}\r\n{"ts": 0, "dt": 1}\r\n', "line 1: ts is missing", 1),
        ("d.jsonl", b'{"ts": 0, "dt": 1}\n{"ts": 1, "dt": 1, "label": "\xe9"}\n', "line 2: is not UTF-8", 1),
        ("e.csv", b"ts,dt\n0,1\n0\n", "line 3: has 1 columns", 1),
        ("f.srt", b"1\n00:00:00,000 --> 00:00:01,000\na\n\n2\n00:00:0x,000 --> x\nc\n", "line 6: '00:00:0x", 1),
    ],
)
def test_bad_lines(space: str, tmp_path: Path, name: str, data: bytes, reason: str, good: int) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(MediaError, match=f"{name}: {reason}"):
        put(path, space)
    assert [entry for entry in dl.ls(space=space)] == []
    track = put(path, space, skip_bad_lines=True)
    assert (len(track.to_list()), track.metadata().skipped_lines) == (good, 1)
    with pytest.raises(MediaError):  # that it passed once does not make it good
        put(path, space, prefix="/again")
    report = dl.upload_many([path], space=space, prefix="/many", skip_bad_lines=True, progress=False)
    assert (report.ok, len(report.assets[0].to_list())) == (1, good)


def test_long_lines_pass(space: str, tmp_path: Path) -> None:
    entries = [{"ts": 0, "dt": 1, "mask": "a" * 10_000_000}, {"ts": 2, "dt": 1, "label": "small"}]
    track = put(write(tmp_path / "a.jsonl", entries), space)
    assert track[1.5:3.0].to_list() == entries[1:]
    assert track.to_list() == entries


def test_what_is_deleted_cannot_be_flushed_to_by_its_id(space: str, tmp_path: Path) -> None:
    track = put(write(tmp_path / "a.jsonl", THREE), space)
    dl.delete(f"{space.partition('@')[2]}@tracks//a.jsonl")
    track.add(st=0, et=1, label="late")
    with pytest.raises((NotFoundError, RequestError)):
        track.flush()
    assert len(track._state.buffer.lines) == 1
    track._state.buffer.drop(1)
