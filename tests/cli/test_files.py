"""``dreamlake upload`` of folders and many files, and ``dreamlake download``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clips import real_clip

from .test_cli import Command

CARPHONE = real_clip("carphone_pristine.mp4")


@pytest.fixture
def dreamlake(tmp_path: Path) -> Command:
    return Command(tmp_path / "home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three label tracks, one of them bad, and a file of no known type."""
    root = tmp_path / "run"
    (root / "deep").mkdir(parents=True)
    (root / "a.jsonl").write_text('{"ts": 0.0, "dt": 1.0}\n')
    (root / "deep" / "b.jsonl").write_text('{"ts": 1.0, "dt": 1.0}\n')
    (root / "bad.jsonl").write_text("nonsense\n")
    (root / "notes.txt").write_text("notes")
    return root


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_folder(dreamlake: Command, folder: Path) -> None:
    done = dreamlake("upload", folder, "--recursive", "--to", "/x", "--no-wait", status=3)
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["/x/a.jsonl", "/x/deep/b.jsonl"]
    assert "bad.jsonl: line 1" in done.stderr
    assert done.stderr.splitlines()[-1] == "2 of 3 files are in the lake, 1 failed, 1 left out (unknown types)"
    again = dreamlake("upload", folder, "-r", "--exclude", "bad*", "--to", "/x")
    assert "2 of 2 files are in the lake, 2 there before" in again.stderr


def test_json_of_a_folder(dreamlake: Command, folder: Path) -> None:
    done = events(dreamlake("upload", folder, "--recursive", "--json", status=3).stdout)
    assert done[-1] == {"event": "summary", "ok": 2, "known": 0, "failed": 1, "skipped": 1}
    [failed] = [event for event in done if event["event"] == "failed"]
    assert (failed["error"], Path(failed["file"]).name) == ("MediaError", "bad.jsonl")
    ids = {event["name"]: event["id"] for event in done if event["event"] == "done"}
    assert sorted(ids) == ["/a.jsonl", "/deep/b.jsonl"]
    assert all(asset.startswith("lt-") for asset in ids.values())
    assert {event["file"] for event in done if event["event"] == "progress"} >= {str(folder / "a.jsonl")}


def test_a_dry_run_says_and_does_nothing(dreamlake: Command, folder: Path, tmp_path: Path) -> None:
    done = dreamlake("upload", folder, "--recursive", "--dry-run", "--to", "/x")
    assert f"{folder / 'deep' / 'b.jsonl'}  →  /x/deep/b.jsonl  (label-track)" in done.stdout
    assert "notes.txt  is left out" in done.stderr
    assert not (tmp_path / "home").exists()
    planned = events(dreamlake("upload", folder, "-r", "--dry-run", "--json").stdout)
    assert [event["event"] for event in planned] == ["would-upload"] * 3 + ["left-out"]


def test_a_type_that_the_extension_does_not_say(dreamlake: Command, tmp_path: Path) -> None:
    captions = tmp_path / "llava.jsonl"
    captions.write_text('{"ts": 0.0, "dt": 2.0, "text": "a robot arm"}\n')
    uploaded = dreamlake("upload", captions, "--type", "text-track", "--space", "robotics@alice").stdout
    assert uploaded.startswith("tt-")
    for name in (uploaded.split()[0], "alice@robotics//llava.jsonl"):
        facts = json.loads(dreamlake("info", name, "--json").stdout)
        assert (facts["status"], facts["entryCount"], facts["fields"]) == ("ready", 1, ["text"])
    assert dreamlake("upload", captions, "--to", "/labels").stdout.startswith("lt-")
    assert "movie" in dreamlake("upload", captions, "--type", "movie", status=2).stderr
    assert "llava.jsonl" in dreamlake("upload", captions, "--type", "video", status=3).stderr


def test_several_files_and_a_pattern(dreamlake: Command, folder: Path) -> None:
    done = dreamlake("upload", folder / "a.jsonl", folder / "deep" / "*.jsonl", "--no-wait")
    assert len(done.stdout.splitlines()) == 2
    assert "no file has such a name" in dreamlake("upload", folder / "*.mp4", status=3).stderr
    assert "recursive" in dreamlake("upload", folder, status=3).stderr


def test_download(dreamlake: Command, tmp_path: Path) -> None:
    dreamlake("upload", CARPHONE, "--episode", "alice@robotics:run-042", "--to", "/camera/front")
    target = "alice@robotics:run-042//camera/front/carphone_pristine.mp4"
    done = dreamlake("download", target, "-o", tmp_path / "out.mp4")
    assert done.stdout == f"{tmp_path / 'out.mp4'}\n"
    assert (tmp_path / "out.mp4").read_bytes() == CARPHONE.read_bytes()
    (tmp_path / "folder").mkdir()
    said = events(dreamlake("download", target, "--out", tmp_path / "folder", "--json").stdout)
    assert said[-1] == {"event": "done", "file": str(tmp_path / "folder" / "carphone_pristine.mp4")}
    dreamlake("download", "alice@robotics//no/such.mp4", status=4)
    dreamlake("download", "./carphone.mp4", status=2)


def test_lines_that_cannot_be_read(dreamlake: Command, folder: Path) -> None:
    bad = folder / "bad.jsonl"
    bad.write_text('{"ts": 0.0, "dt": 1.0}\n{"ts": 1.0}\nnonsense\n')
    refused = dreamlake("upload", bad, status=3)
    assert "bad.jsonl: line 2: dt is missing" in refused.stderr
    done = dreamlake("upload", bad, "--skip-bad-lines")
    assert "dreamlake: bad.jsonl: 2 bad lines were skipped" in done.stderr
    assert 'LabelTrack("/bad.jsonl", space="' in done.stdout
    many = events(dreamlake("upload", folder, "-r", "--to", "/x", "--skip-bad-lines", "--json").stdout)
    counts = {event["name"]: event["skippedLines"] for event in many if event["event"] == "done"}
    assert counts == {"/x/a.jsonl": 0, "/x/bad.jsonl": 2, "/x/deep/b.jsonl": 0}
