"""Uploading folders and many files: each for itself, nothing twice, and nobody is held up by a bad one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import dreamlake.aio as adl
from dreamlake._async import manifest
from dreamlake._async.lake import AsyncLake
from dreamlake.config import current_lake, home
from dreamlake.errors import (
    LakeUnreachableError,
    MediaError,
    ProcessingError,
    SourceError,
    SourceNotFoundError,
    UnsupportedTypeError,
    UsageError,
)


def labels(path: Path, count: int, mark: str = "") -> Path:
    """A label track with so many entries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"ts": float(n), "dt": 1.0, "label": f"{mark}{path.name}-{n}"}) for n in range(count)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def run(folder: Path) -> Path:
    """A folder as a robot leaves it."""
    for number in range(5):
        labels(folder / "labels" / f"{number}.jsonl", 3)
    (folder / "captions").mkdir()
    (folder / "captions" / "front.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\na cup\n")
    (folder / "captions" / "empty.srt").touch()
    (folder / "notes.txt").write_text("nothing that Dreamlake knows")
    (folder / ".hidden.jsonl").write_text("not even JSON")
    (folder / "link.jsonl").symlink_to(folder / "labels" / "0.jsonl")
    (folder / "circle").symlink_to(folder)
    return folder


async def names(kind: str = "labels") -> list[str]:
    """What the lake has of a kind in the space of these tests."""
    lake = AsyncLake(current_lake())
    url = f"{current_lake().bss_url}/{kind}"
    found = await lake.send("GET", url, query={"owner": "alice", "project": "robotics", "limit": "1000"}, key=True)
    return sorted(item["name"] for item in json.loads(found.content)["items"])


async def test_a_folder_keeps_its_paths(fresh_lake: Path, tmp_path: Path) -> None:
    folder = run(tmp_path / "run-042")
    report = await adl.upload_many([folder], recursive=True, space="robotics@alice", prefix="/2026", progress=False)
    assert (report.ok, report.failed, report.known) == (8, 0, 0)
    assert await names() == [*(f"/2026/labels/{number}.jsonl" for number in range(5)), "/2026/link.jsonl"]
    assert await names("text-tracks") == ["/2026/captions/empty.srt", "/2026/captions/front.vtt"]
    assert [path.name for path in report.skipped] == ["notes.txt"]
    by_name = {result.name: result.asset for result in report.results}
    meta = await by_name["/2026/labels/3.jsonl"].metadata()
    assert (meta.status, meta.entry_count, meta.fields) == ("ready", 3, ["label"])
    empty = await by_name["/2026/captions/empty.srt"].metadata()
    assert (empty.status, empty.entry_count) == ("ready", 0)


async def test_one_bad_file_does_not_stop_the_others(fresh_lake: Path, tmp_path: Path) -> None:
    good = [labels(tmp_path / f"{number}.jsonl", 2) for number in range(6)]
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"ts": 0.0, "dt": 1.0}\n{"ts": "soon"}\n')
    unknown = tmp_path / "data.bin"
    unknown.touch()
    files = [*good[:3], bad, tmp_path / "missing.jsonl", unknown, *good[3:]]
    report = await adl.upload_many(files, space="robotics@alice", progress=False)
    assert [result.path for result in report.results] == files
    assert (report.ok, report.failed) == (6, 3)
    errors = {result.path.name: result.error for result in report.failures}
    assert {name: type(error) for name, error in errors.items()} == {
        "bad.jsonl": MediaError,
        "missing.jsonl": SourceNotFoundError,
        "data.bin": UnsupportedTypeError,
    }
    assert "line 2" in str(errors["bad.jsonl"])
    assert len(await names()) == 6
    with pytest.raises(MediaError, match=r"bad\.jsonl"):
        report.raise_for_failures()


async def test_the_second_run_asks_and_sends_nothing(
    fresh_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "RACY_SECONDS", 0.0)
    files = [labels(tmp_path / f"{number}.jsonl", 2) for number in range(5)]
    first = await adl.upload_many(files, space="robotics@alice", progress=False)
    events: list[adl.UploadEvent] = []
    again = await adl.upload_many(files, space="robotics@alice", progress=events.append)
    assert (again.ok, again.known) == (5, 5)
    assert again.assets == first.assets
    assert not [event for event in events if event.stage == "hash"]  # not even read

    labels(files[2], 2, "changed ")
    third = await adl.upload_many(files, space="robotics@alice", progress=False)
    assert [result.known for result in third.results] == [True, True, False, True, True]
    elsewhere = await adl.upload_many(files, space="other@alice", progress=False)
    assert elsewhere.known == 0


async def test_what_was_deleted_from_the_lake_is_sent_again(
    fresh_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "RACY_SECONDS", 0.0)
    files = [labels(tmp_path / f"{number}.jsonl", 2) for number in range(3)]
    report = await adl.upload_many(files, space="robotics@alice", progress=False)
    gone = report.assets[1].uri.rsplit("/", 1)[-1]
    await AsyncLake(current_lake()).send("DELETE", f"{current_lake().bss_url}/labels/{gone}", key=True)
    again = await adl.upload_many(files, space="robotics@alice", progress=False)
    assert [result.known for result in again.results] == [True, False, True]
    assert len(await names()) == 3


async def test_a_manifest_that_is_damaged_only_costs_time(fresh_lake: Path, tmp_path: Path) -> None:
    (home() / "uploads").mkdir(parents=True)
    (home() / "uploads" / "manifest.db").write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    file = labels(tmp_path / "a.jsonl", 2)
    for _ in range(2):
        report = await adl.upload_many([file, labels(tmp_path / "b.jsonl", 1)], space="robotics@alice", progress=False)
        assert report.ok == 2


async def test_the_same_bytes_in_many_files_are_sent_once(fresh_lake: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.jsonl" for number in range(10)]
    for file in files:
        file.write_text('{"ts": 0.0, "dt": 1.0}\n')
    report = await adl.upload_many(files, space="robotics@alice", progress=False)
    assert report.ok == 10
    assert len({asset.id for asset in report.assets}) == 10
    assert len(list((fresh_lake / "objects" / "alice" / "robotics" / "staging").iterdir())) == 1


async def test_large_and_small_files_together(fresh_lake: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.jsonl"
    large.write_text("".join(json.dumps({"ts": float(n), "dt": 1.0, "text": "x" * 500}) + "\n" for n in range(24_000)))
    assert large.stat().st_size > 10 * 1024**2
    files = [labels(tmp_path / "a.jsonl", 1), large, labels(tmp_path / "b.jsonl", 1)]
    report = await adl.upload_many(files, space="robotics@alice", part_size=5 * 1024**2, progress=False)
    assert report.ok == 3
    assert (await report.assets[1].metadata()).entry_count == 24_000


async def test_patterns_and_what_is_left_out(fresh_lake: Path, tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    report = await adl.upload_many([folder / "labels" / "[0-2].jsonl"], space="robotics@alice", progress=False)
    assert sorted(result.path.name for result in report.results) == ["0.jsonl", "1.jsonl", "2.jsonl"]
    report = await adl.upload_many(
        [folder], recursive=True, exclude=["captions", "[34].jsonl"], space="other@alice", progress=False
    )
    assert sorted(result.path.name for result in report.results) == ["0.jsonl", "1.jsonl", "2.jsonl", "link.jsonl"]


async def test_two_files_of_one_name(fresh_lake: Path, tmp_path: Path) -> None:
    one, other = labels(tmp_path / "a" / "x.jsonl", 1), labels(tmp_path / "b" / "x.jsonl", 2)
    report = await adl.upload_many([one, other], space="robotics@alice", progress=False)
    assert [type(result.error) for result in report.results] == [type(None), UsageError]
    assert str(one) in str(report.failures[0].error)


async def test_paths_that_name_nothing(fresh_lake: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        await adl.upload_many([tmp_path / "*.jsonl"], progress=False)
    with pytest.raises(SourceError, match="recursive"):
        await adl.upload_many([tmp_path], progress=False)
    assert (await adl.upload_many([], progress=False)).ok == 0


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"part_size": 1}, {"timeout": 0.0}, {"kind": "movie"}], ids=str)
async def test_options_that_cannot_be(fresh_lake: Path, tmp_path: Path, wrong: dict[str, float | str]) -> None:
    file = labels(tmp_path / "a.jsonl", 1)
    with pytest.raises(UsageError):
        await adl.upload_many([file], progress=False, **wrong)
    with pytest.raises(UsageError):
        await adl.upload(file, progress=False, **wrong)


async def test_a_lake_that_is_not_there_is_not_asked_for_every_file(tmp_path: Path, unused_port: int) -> None:
    files = [labels(tmp_path / f"{number}.jsonl", 1) for number in range(200)]
    adl.connect(f"http://127.0.0.1:{unused_port}")
    try:
        with pytest.raises(LakeUnreachableError):
            await adl.upload_many(files, progress=False)
        report = await adl.upload_many(files, space="robotics@alice", progress=False)
        assert report.failed == 200
    finally:
        adl.connect()


async def test_what_the_lake_cannot_process_is_said(
    fresh_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dreamlake.media import check

    monkeypatch.setattr(check, "check_content", lambda path, kind: None)  # another client may not look
    good, bad = labels(tmp_path / "good.jsonl", 1), tmp_path / "bad.jsonl"
    bad.write_text("nonsense\n")
    report = await adl.upload_many([good, bad], space="robotics@alice", progress=False)
    assert report.ok == 1
    [failure] = report.failures
    assert isinstance(failure.error, ProcessingError)
    assert "line 1" in str(failure.error)
