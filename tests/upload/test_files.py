"""Files that are unusual, and files that do not stay what they were while they are uploaded."""

from __future__ import annotations

import os
import socket
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

import dreamlake as dl
from dreamlake.core.parts import MAX_PARTS, PART_SIZE, part_size_for, plan_parts
from dreamlake.errors import FileChangedError, MediaError, SourceError, SourceNotFoundError

from ._lab import PARTS, QUICK, Lab, video_of

MIB = 1024**2


# Plans.


def test_the_plan_of_a_file_of_a_hundred_gigabytes_and_a_byte(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    with path.open("wb") as file:
        file.truncate(100 * 1000**3 + 1)
    size = path.stat().st_size
    part_size = part_size_for(size)
    parts = plan_parts(size, part_size)
    assert 10 * MIB <= part_size <= 11 * MIB
    assert len(parts) == size // part_size + 1
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert [part.offset for part in parts] == [number * part_size for number in range(len(parts))]
    assert {part.size for part in parts[:-1]} == {part_size}
    assert parts[-1].size == size % part_size
    with path.open("rb") as file:
        file.seek(parts[-1].offset)
        assert len(file.read(2 * part_size)) == parts[-1].size


@pytest.mark.parametrize("count", [9_500, 10_000, 10_001, 12_000, 500_000])
def test_parts_grow_where_there_would_be_too_many(count: int) -> None:
    size = count * PART_SIZE
    part_size = part_size_for(size)
    parts = plan_parts(size, part_size)
    assert len(parts) <= MAX_PARTS
    assert part_size >= PART_SIZE
    assert part_size % MIB == 0
    assert count > MAX_PARTS or part_size <= PART_SIZE + MIB
    assert sum(part.size for part in parts) == size
    assert all(one.offset + one.size == other.offset for one, other in pairwise(parts))


# Names.

NAMES = {
    "spaces": "  a  video of mine .mp4",
    "composed": unicodedata.normalize("NFC", "Ünïcödé-Å-한국어.mp4"),
    "decomposed": unicodedata.normalize("NFD", "Ünïcödé-Å-한국어.mp4"),
    "astral": "🤖🎥-042.mp4",
    "signs": "50%+a&b=c#d?e;f'g\"h[1]{2}~$!,@.mp4",
    "longest": "n" * 251 + ".mp4",
    "longest in two bytes": "é" * 125 + "n.mp4",
    "dots": "..run..042...mp4",
    "capitals": "RUN.MP4",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_that_a_file_can_have(lab: Lab, tmp_path: Path, name: str) -> None:
    path = QUICK.make(tmp_path / "clip.mp4").rename(tmp_path / name)
    project = f"names-{list(NAMES.values()).index(name)}"
    video = dl.upload(path, space=f"{project}@alice", progress=False)
    assert video.frames == QUICK.frames
    lab.check(path, "alice", project)
    assert dl.upload(path, space=f"{project}@alice", progress=False) == video


def test_names_that_look_alike_are_two(lab: Lab, tmp_path: Path) -> None:
    for seed, form in enumerate(("NFC", "NFD")):
        video_of(MIB, tmp_path / unicodedata.normalize(form, "é.mp4"), seed)  # type: ignore[arg-type]
    ids = {dl.upload(path, space="alike@alice", progress=False).id for path in tmp_path.glob("*.mp4")}
    assert len(ids) == len(lab.videos("alice", "alike")) == 2


# What is no file.


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere.mp4"))


def _circle(path: Path) -> None:
    path.symlink_to(path)


def _folder_behind_a_link(path: Path) -> None:
    path.with_name("folder").mkdir()
    path.symlink_to(path.with_name("folder"))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(path))  # the whole path may be longer than such an address can be


NO_FILES: dict[str, tuple[type[Exception], Callable[[Path], object]]] = {
    "nothing": (SourceNotFoundError, lambda path: None),
    "a link to nothing": (SourceNotFoundError, _dangling),
    "a link to itself": (SourceError, _circle),
    "a link to a folder": (SourceError, _folder_behind_a_link),
    "a folder": (SourceError, Path.mkdir),
    "a pipe": (SourceError, os.mkfifo),
    "a socket": (SourceError, _socket),
    "a file in a file": (SourceError, lambda path: None),
}


@pytest.mark.parametrize("what", NO_FILES)
def test_what_is_no_file_is_refused(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    expected, make = NO_FILES[what]
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.mp4"
    if what == "a file in a file":
        path = QUICK.make(path) / "run.mp4"
    make(path)
    with pytest.raises(expected) as raised:
        dl.upload(path, progress=False)
    assert isinstance(raised.value, SourceError)
    assert "run.mp4" in str(raised.value)
    assert not lab.proxy.parts()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
def test_an_empty_video_is_refused(lab: Lab, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run{suffix}"
    path.touch()
    with pytest.raises(MediaError, match="empty"):
        dl.upload(path, progress=False)
    assert not lab.proxy.parts()


def test_a_link_is_followed_and_keeps_its_own_name(lab: Lab, tmp_path: Path) -> None:
    QUICK.make(tmp_path / "recorded.mp4")
    path = tmp_path / "front.mp4"
    path.symlink_to("recorded.mp4")
    dl.upload(path, space="links@alice", progress=False)
    lab.check(path, "alice", "links")


@contextmanager
def _somebody() -> Iterator[None]:
    """Be somebody whom files can be kept from: root reads them all."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read(lab: Lab) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = QUICK.make(Path(folder) / "run.mp4")
        path.chmod(0)
        with _somebody(), pytest.raises(SourceError, match=r"run\.mp4"):
            dl.upload(path, progress=False)
    assert not lab.proxy.parts()


# Files that change.


def _replaced(path: Path) -> None:
    other = path.with_name("other.mp4")
    other.write_bytes(path.read_bytes()[:-1] + b"!")
    other.replace(path)


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0\0\0\x08free")


def _modified(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read()
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))


def _modified_in_secret(path: Path) -> None:
    stat = path.stat()
    _modified(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_mtime_ns == stat.st_mtime_ns


CHANGES = [_replaced, _truncated, _appended, _modified, _modified_in_secret, Path.unlink]
MOMENTS: dict[str, Callable[[dl.UploadEvent], bool]] = {
    "before the hash": lambda event: event.stage == "hash" and event.done == 0,
    "in the hash": lambda event: event.stage == "hash" and 0 < event.done < event.total,
    "before the upload": lambda event: event.stage == "upload" and event.done == 0,
    "in the upload": lambda event: event.stage == "upload" and 0 < event.done < event.total,
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_a_file_that_changes_is_not_registered(
    lab: Lab, tmp_path: Path, change: Callable[[Path], None], moment: str
) -> None:
    path = video_of(17 * MIB, tmp_path / "run.mp4", change.__name__)
    project = f"{change.__name__.strip('_').replace('_', '-')}-{list(MOMENTS).index(moment)}"
    changed = []

    def look(event: dl.UploadEvent) -> None:
        if MOMENTS[moment](event) and not changed:
            changed.append(event)
            change(path)

    with pytest.raises(FileChangedError, match="nothing was registered"):
        dl.upload(path, space=f"{project}@alice", progress=look, **PARTS)
    assert changed
    assert lab.videos("alice", project) == []
    assert not [seen for seen in lab.proxy.log if seen.target.endswith("/complete")]
    if change in (_modified_in_secret, _replaced):
        dl.upload(path, space=f"{project}@alice", progress=False, **PARTS)
        lab.check(path, "alice", project)
