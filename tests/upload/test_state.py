"""What an earlier run has left behind, and what may have become of it: never a reason to fail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import dreamlake as dl
from dreamlake.config import home
from dreamlake.errors import UploadPausedError
from tests.faults import Cut, Lose

from ._lab import PART, PARTS, Lab, video_of

SIZE = 3 * PART


def pause(lab: Lab, path: Path, project: str) -> Path:
    """Begin an upload that can send two parts of three; returns its state file."""
    lab.proxy.fault(Cut(0), "PUT", nth=3, forever=True)
    with pytest.raises(UploadPausedError, match="upload paused — re-run to resume"):
        dl.upload(path, space=f"{project}@alice", progress=False, **PARTS)
    lab.proxy.calm()
    assert len(lab.proxy.acknowledged()) == 2
    [state] = (home() / "uploads").glob("*.json")
    return state


def resumed(lab: Lab, path: Path, project: str) -> int:
    """Run the upload again, and check what is there; returns how many bytes were sent."""
    before = len(lab.proxy.log)
    dl.upload(path, space=f"{project}@alice", progress=False, **PARTS)
    lab.check(path, "alice", project)
    assert not list((home() / "uploads").glob("*.json"))
    return sum(seen.body for seen in lab.proxy.log[before:] if seen.part)


def test_a_paused_upload_goes_on(lab: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "paused")
    pause(lab, path, "paused")
    assert resumed(lab, path, "paused") == PART


def test_it_goes_on_where_only_the_completion_is_missing(lab: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "complete")
    lab.proxy.fault(Lose(), "POST", "/complete$", forever=True)
    with pytest.raises(UploadPausedError):
        dl.upload(path, space="complete@alice", progress=False, **PARTS)
    lab.proxy.calm()
    assert resumed(lab, path, "complete") == 0


def _with(**fields: Any) -> Callable[[Path], None]:
    """A state that says something else than it should."""

    def change(state: Path) -> None:
        state.write_text(json.dumps({**json.loads(state.read_bytes()), **fields}))

    return change


def _without(field: str) -> Callable[[Path], None]:
    def change(state: Path) -> None:
        fields = json.loads(state.read_bytes())
        del fields[field]
        state.write_text(json.dumps(fields))

    return change


def _folder(state: Path) -> None:
    state.unlink()
    state.mkdir()
    (state / "file").touch()


def _link(state: Path) -> None:
    state.unlink()
    state.symlink_to("nowhere.json")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda state: os.truncate(state, state.stat().st_size // 2),
    "empty": lambda state: os.truncate(state, 0),
    "binary": lambda state: state.write_bytes(bytes(range(256)) * 40),
    "zeros": lambda state: state.write_bytes(bytes(state.stat().st_size)),
    "no object": lambda state: state.write_text("[1, 2, 3]"),
    "nested": lambda state: state.write_text("[" * 100_000),
    "a text for a number": _with(totalParts="many"),
    "a number for a text": _with(uploadId=17),
    "parts that are none": _with(completedParts=[{"partNumber": "1"}, None]),
    "no upload": _without("uploadId"),
    "no digest": _without("sha256"),
    "another digest": _with(sha256="0" * 64),
    "another size": _with(size=5),
    "another key": _with(key="alice/elsewhere/staging/0123456789abcdef"),
    "no key": _with(key="../../../etc/passwd"),
    "parts of no size": _with(partSize=0),
    "parts of a negative size": _with(partSize=-5),
    "tiny parts": _with(partSize=1),
    "parts of another size": _with(partSize=2 * PART),
    "more parts than there are": _with(totalParts=12),
    "parts that were never sent": _with(completedParts=[{"partNumber": number, "etag": '"x"'} for number in (1, 2, 3)]),
    "an unknown upload": _with(uploadId="f" * 32),
    "an upload of another storage": _with(uploadId="2~abc/../def?x=1&y=ä"),
    "another lake": _with(lake="http://localhost:1"),
    "a folder": _folder,
    "a link to nothing": _link,
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_state_that_cannot_be_used_is_not_fatal(lab: Lab, tmp_path: Path, damage: str) -> None:
    project = damage.replace(" ", "-")
    path = video_of(SIZE, tmp_path / "run.mp4", damage)
    DAMAGES[damage](pause(lab, path, project))
    assert resumed(lab, path, project) <= SIZE


@pytest.mark.parametrize("what", ["a file", "a link to nothing", "a folder that is full"])
def test_a_home_that_takes_nothing_is_not_fatal(lab: Lab, tmp_path: Path, what: str) -> None:
    project = f"home-{what.replace(' ', '-')}"
    path = video_of(SIZE, tmp_path / "run.mp4", project)
    uploads = home() / "uploads"
    home().mkdir(exist_ok=True)
    if what == "a file":
        uploads.touch()
    elif what == "a link to nothing":
        uploads.symlink_to("nowhere/at/all")
    else:
        uploads.symlink_to("/proc/self/fdinfo")  # nothing can be made there, not even by root
    dl.upload(path, space=f"{project}@alice", progress=False, **PARTS)
    lab.check(path, "alice", project)


def test_a_disk_that_is_full_is_not_fatal(lab: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "full")
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)); import dreamlake as dl;"
        "dl.upload(sys.argv[1], space='full@alice', progress=False)"
    )
    environment = {**os.environ, "DREAMLAKE_URL": lab.proxy.url, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    lab.check(path, "alice", "full")


def test_an_upload_that_has_expired_begins_anew(lab: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "expired")
    state = json.loads(pause(lab, path, "expired").read_bytes())
    target = {"uploadId": state["uploadId"], "key": state["key"]}
    httpx.post(f"{lab.url}/videos/upload/multipart/abort", json=target).raise_for_status()
    assert resumed(lab, path, "expired") == SIZE


def test_parts_that_the_storage_has_lost_are_sent_again(lab: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "lost")
    pause(lab, path, "lost")
    data = path.read_bytes()
    parts = {data[at : at + PART] for at in range(0, SIZE, PART)}
    stored = [file for file in (lab.data / "uploads").rglob("*") if file.is_file() and file.stat().st_size == PART]
    next(file for file in stored if file.read_bytes() in parts).unlink()
    assert resumed(lab, path, "lost") == 2 * PART


def test_the_state_of_another_lake_stays_with_it(lab: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "two lakes")
    pause(lab, path, "two-lakes")
    try:
        dl.connect(data=tmp_path / "lake")
        video = dl.upload(path, space="two-lakes@alice", progress=False, **PARTS)
        assert video.frames
    finally:
        dl.connect(lab.proxy.url)
        dl.close()
    resumed(lab, path, "two-lakes")


def test_a_file_that_was_changed_between_two_runs(lab: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "before")
    pause(lab, path, "between")
    video_of(SIZE, path, "after")
    dl.upload(path, space="between@alice", progress=False, **PARTS)
    lab.check(path, "alice", "between")


def test_a_file_that_was_moved_between_two_runs(lab: Lab, tmp_path: Path) -> None:
    path = video_of(SIZE, tmp_path / "run.mp4", "moved")
    pause(lab, path, "moved")
    path = Path(shutil.copy(path, tmp_path / "other.mp4"))
    assert resumed(lab, path, "moved") == PART


@pytest.mark.parametrize("homes", [1, 2])
def test_processes_that_upload_the_same_file_at_once(lab: Lab, tmp_path: Path, homes: int) -> None:
    path = video_of(25 * 1024**2, tmp_path / "run.mp4", f"at once, {homes} homes")
    project = f"at-once-{homes}"
    command = [sys.executable, "-m", "dreamlake.cli", "upload", str(path), "--space", f"{project}@alice"]
    running = []
    for number in range(3):
        environment = {
            **os.environ, "DREAMLAKE_URL": lab.proxy.url, "DREAMLAKE_HOME": str(tmp_path / f"home-{number % homes}")
        }  # fmt: skip
        running.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE))
    said = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 3, said
    assert len({out.split()[0] for out, _ in said}) == 1
    lab.check(path, "alice", project)
    assert len(list((lab.data / "objects/alice" / project / "staging").iterdir())) == 1
