# Generated from tests/_async/test_catalog.py by scripts/unasync.py. Edit that file, then run it.
"""The names in a lake, through its two kinds: listed, found, moved, deleted, and loaded by."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import dreamlake as dl
from dreamlake.errors import InvalidIdError, InvalidTargetError, NotFoundError, RequestError, UsageError
from tests.clips import real_clip

CARPHONE = real_clip("carphone_distorted.mp4")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"ts": 0.0, "dt": 1.0}\n')
    return path


@pytest.fixture
def owner() -> str:
    """A namespace of the test's own: lakes are shared."""
    return f"alice-{secrets.token_hex(4)}"


def is_same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def put(path: Path, to: str, space: str, **more: Any) -> Any:
    return dl.upload(path, space=space, path=to, progress=False, **more)


def test_a_folder_and_all_below_it(lake: str, owner: str, labels: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    video = put(CARPHONE, "/camera/front/run01.mp4", f"list@{owner}")
    track = put(labels, "/labels", f"list@{owner}", wait=False)
    found = [entry for entry in dl.ls(space=f"list@{owner}")]
    assert [(entry.name, entry.kind) for entry in found] == [("/camera", "folder"), ("/labels", "folder")]
    found = [entry for entry in dl.ls("camera/", space=f"list@{owner}", recursive=True)]
    assert [entry.name for entry in found] == ["/camera/front", "/camera/front/run01.mp4"]
    [folder, entry] = found
    assert (entry.id, entry.kind, entry.size) == (video.id, "video", CARPHONE.stat().st_size)
    assert (entry.namespace, entry.space, entry.episode) == (owner, "list", None)
    assert entry.target == f"{owner}@list//camera/front/run01.mp4"
    assert before <= entry.created <= datetime.now(UTC)
    assert (folder.size, folder.target) == (None, f"{owner}@list//camera/front")

    for name in (entry.target, f"{owner}@list//camera/front/", folder.target):
        assert [entry.name for entry in dl.ls(name)] == ["/camera/front/run01.mp4"]
    everything = [entry.name for entry in dl.ls(f"{owner}@list//", recursive=True)]
    assert everything == ["/camera", "/camera/front", "/camera/front/run01.mp4", "/labels", "/labels/labels.jsonl"]
    assert [entry.id for entry in dl.ls(f"{owner}@list//", recursive=True, kind="label-track")] == [track.id]
    assert [entry for entry in dl.ls("/nothing", space=f"list@{owner}")] == []
    assert [entry for entry in dl.ls(space=f"nothing@{owner}")] == []


def test_episodes_are_listed_after_the_folders(lake: str, owner: str, labels: Path) -> None:
    for episode in ("run-2", "run-1"):
        put(labels, "/x", f"episodes@{owner}", episode=episode, wait=False)
    put(labels, "/z", f"episodes@{owner}", wait=False)
    found = [entry for entry in dl.ls(space=f"episodes@{owner}")]
    assert [(entry.name, entry.kind) for entry in found] == [
        ("/z", "folder"), ("run-1", "episode"), ("run-2", "episode"),
    ]  # fmt: skip
    assert found[1].target == f"{owner}@episodes:run-1//"
    assert [entry.name for entry in dl.ls(found[1].target)] == ["/x"]
    assert [entry.name for entry in dl.ls(space=f"episodes@{owner}", kind="episode")] == ["run-1", "run-2"]
    everything = [entry.target for entry in dl.ls(f"{owner}@episodes//", recursive=True)]
    assert everything == [
        f"{owner}@episodes//z", f"{owner}@episodes//z/labels.jsonl",
        f"{owner}@episodes:run-1//", f"{owner}@episodes:run-1//x", f"{owner}@episodes:run-1//x/labels.jsonl",
        f"{owner}@episodes:run-2//", f"{owner}@episodes:run-2//x", f"{owner}@episodes:run-2//x/labels.jsonl",
    ]  # fmt: skip
    found = [entry for entry in dl.find("label", space=f"episodes@{owner}", kind="label-track")]
    assert sorted(entry.episode or "" for entry in found) == ["", "run-1", "run-2"]
    assert [entry.name for entry in dl.find("z", space=f"episodes@{owner}")] == ["/z"]
    found = [entry for entry in dl.find("*.jsonl", prefix="/x", space=f"episodes@{owner}", episode="run-1")]
    assert [entry.target for entry in found] == [f"{owner}@episodes:run-1//x/labels.jsonl"]
    assert len([entry for entry in dl.find(prefix="/x", space=f"episodes@{owner}")]) == 2


def test_pages_are_joined(lake: str, owner: str, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamlake._async.catalog.PAGE", 1)
    for number in range(3):
        put(labels, f"/{number}.jsonl", f"pages@{owner}", wait=False)
        put(labels, "/x", f"pages@{owner}", episode=f"e{number}", wait=False)
    names = [entry.name for entry in dl.ls(space=f"pages@{owner}")]
    assert names == ["/0.jsonl", "/1.jsonl", "/2.jsonl", "e0", "e1", "e2"]


def test_the_prefix_that_holds_when_it_is_called(lake: str, owner: str, labels: Path) -> None:
    put(labels, "/2026/run/a", f"prefix@{owner}", wait=False)
    with dl.Prefix(space=f"prefix@{owner}", prefix="/2026"):
        listed, found = dl.ls("run"), dl.find("LABELS")
        absolute = dl.ls("/")
        target = dl.ls("//2026/run/a")
    assert [entry.name for entry in listed] == ["/2026/run/a"]
    assert [entry.name for entry in found] == ["/2026/run/a/labels.jsonl"]
    assert [entry.name for entry in absolute] == ["/2026"]
    assert [entry.name for entry in target] == ["/2026/run/a/labels.jsonl"]


def test_moving(lake: str, owner: str, labels: Path) -> None:
    asset = put(labels, "/a", f"move@{owner}", wait=False)
    moved = dl.move(f"{owner}@move//a/labels.jsonl", "/b")
    assert (moved.name, moved.id) == ("/b/labels.jsonl", asset.id)
    moved = dl.move(asset.id, f"{owner}@move//b/other.jsonl")
    assert moved.name == "/b/other.jsonl"
    moved = dl.move(moved, f"{owner}@move:run//c/")
    assert (moved.name, moved.episode) == ("/c/other.jsonl", "run")
    moved = dl.move(moved, "//d")
    assert (moved.name, moved.episode) == ("/d/other.jsonl", "run")
    with dl.Prefix(space=f"move@{owner}", prefix="/x"):
        assert dl.move(f"{owner}@move:run//d", "y").name == "/x/y"
    assert dl.move(f"{owner}@move:run//x/y", "//").name == "/y"
    assert dl.move(f"{owner}@move:run//y", "//x/").name == "/x/y"
    assert dl.move(asset, f"{owner}@move//").target == f"{owner}@move//other.jsonl"
    copy = dl.download(f"{owner}@move//other.jsonl", labels.parent, progress=False)
    assert (copy.name, is_same(copy, labels)) == ("other.jsonl", True)

    with pytest.raises(InvalidTargetError, match="stays in it"):
        dl.move(asset, f"{owner}@other//")
    put(labels, "/taken/other.jsonl", f"move@{owner}", wait=False)
    with pytest.raises(RequestError, match="already"):
        dl.move(asset, "/taken")
    with pytest.raises(RequestError, match="into itself"):
        dl.move(f"{owner}@move//taken", "/taken/x")
    with pytest.raises(NotFoundError):
        dl.move(f"{owner}@move//nothing", "/x")
    with pytest.raises(UsageError):
        dl.move(7, "/x")  # type: ignore[arg-type] (which is the mistake)


def test_an_asset_of_several_names_is_moved_by_one_of_them(lake: str, owner: str, labels: Path) -> None:
    asset = put(labels, "/a", f"names@{owner}", episode="one", wait=False)
    assert asset == put(labels, "/a", f"names@{owner}", episode="two", wait=False)
    with pytest.raises(UsageError, match=r"one//a/labels\.jsonl, two//a/labels\.jsonl"):
        dl.move(asset, "/b")
    assert dl.move(f"{owner}@names:one//a/labels.jsonl", "/b").target == f"{owner}@names:one//b/labels.jsonl"


def test_deleting(lake: str, owner: str, labels: Path) -> None:
    kept = put(labels, "/a/kept.jsonl", f"delete@{owner}", wait=False)
    by_id = put(labels, "/a/id.jsonl", f"delete@{owner}", wait=False)
    dl.delete(by_id.id)
    with pytest.raises(NotFoundError):
        by_id.metadata()
    with pytest.raises(NotFoundError):
        dl.delete(by_id)
    with pytest.raises(RequestError, match="not empty"):
        dl.delete(f"{owner}@delete//a")
    assert kept.metadata()
    [entry] = [entry for entry in dl.ls(f"{owner}@delete//a")]
    dl.delete(entry)
    for gone in (entry, entry.target, kept):
        with pytest.raises(NotFoundError):
            dl.delete(gone)
    put(labels, "/a/b", f"delete@{owner}", wait=False)
    with dl.Prefix(space=f"delete@{owner}", prefix="/a"):
        dl.delete("b", recursive=True)
    assert [entry.name for entry in dl.ls(f"{owner}@delete//", recursive=True)] == ["/a"]


def test_a_file_of_this_machine_is_never_deleted(lake: str, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(labels.parent)
    for name in (str(labels), f"/{labels}", "labels.jsonl"):
        with pytest.raises(NotFoundError):
            dl.delete(name)
    for uri in (labels.as_uri(), f"s3://bucket{labels}"):
        with pytest.raises(UsageError):
            dl.delete(uri)
    assert is_same(labels, labels)


def test_loading_by_a_path(
    lake: str, owner: str, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = put(CARPHONE, "/camera/front/run01.mp4", f"load@{owner}")
    put(CARPHONE, "/camera/front/run01.mp4", f"load@{owner}", episode="run-042")
    put(labels, "/camera/labels.jsonl", f"load@{owner}", wait=False)
    for target in (f"{owner}@load//camera/front/run01.mp4", f"{owner}@load:run-042//camera/front/run01.mp4"):
        assert dl.load_video(target) == video
        assert dl.load(target) == video
    with pytest.raises(NotFoundError):
        dl.load_video(f"{owner}@load:run-043//camera/front/run01.mp4")
    with pytest.raises(NotFoundError):
        dl.load_video(f"{owner}@load//camera/labels.jsonl")
    assert len(dl.load(f"{owner}@load//camera/labels.jsonl")) == 1
    with pytest.raises(InvalidTargetError):
        dl.load_video("alice load//camera")

    # A path is a file where there is one, and below the Prefix where there is none.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        dl.load_video("camera/front/run01.mp4")
    with dl.Prefix(space=f"load@{owner}"), dl.Prefix(prefix="camera"):
        for path in ("front/run01.mp4", "/camera/front/run01.mp4", "//camera/front/run01.mp4"):
            assert dl.load_video(path) == video
            assert dl.load(path) == video
        for name in (Path("front/run01.mp4"), "./front/run01.mp4", "~/front/run01.mp4"):
            with pytest.raises(FileNotFoundError):
                dl.load_video(name)
        with pytest.raises(NotFoundError, match=f"{owner}@load"):
            dl.load_video("front/none.mp4")
        (tmp_path / "front").mkdir()
        (tmp_path / "front" / "run01.mp4").write_bytes(CARPHONE.read_bytes())
        assert dl.load_video("front/run01.mp4").id is None
        assert dl.load_video("/camera/front/run01.mp4") == video
        assert dl.download("front/run01.mp4", "copy.mp4", progress=False).read_bytes() == CARPHONE.read_bytes()


def test_what_cannot_be_listed() -> None:
    for call in (
        lambda: dl.ls("a b//"),
        lambda: dl.ls("alice@x//", space="y"),
        lambda: dl.ls(kind="movie"),
        lambda: dl.find(kind="episode"),
        lambda: dl.ls("/../a"),
        lambda: dl.ls(space="a b"),
    ):
        with pytest.raises(UsageError):
            call()
    with pytest.raises(InvalidIdError):
        dl.delete("v-typo")
