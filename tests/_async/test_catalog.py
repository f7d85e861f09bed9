"""The names in a lake, through its two kinds: listed, found, moved, deleted, and loaded by."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import dreamlake.aio as adl
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


async def put(path: Path, to: str, space: str, **more: Any) -> Any:
    return await adl.upload(path, space=space, path=to, progress=False, **more)


async def test_a_folder_and_all_below_it(lake: str, owner: str, labels: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    video = await put(CARPHONE, "/camera/front/run01.mp4", f"list@{owner}")
    track = await put(labels, "/labels", f"list@{owner}", wait=False)
    found = [entry async for entry in adl.ls(space=f"list@{owner}")]
    assert [(entry.name, entry.kind) for entry in found] == [("/camera", "folder"), ("/labels", "folder")]
    found = [entry async for entry in adl.ls("camera/", space=f"list@{owner}", recursive=True)]
    assert [entry.name for entry in found] == ["/camera/front", "/camera/front/run01.mp4"]
    [folder, entry] = found
    assert (entry.id, entry.kind, entry.size) == (video.id, "video", CARPHONE.stat().st_size)
    assert (entry.namespace, entry.space, entry.episode) == (owner, "list", None)
    assert entry.target == f"{owner}@list//camera/front/run01.mp4"
    assert before <= entry.created <= datetime.now(UTC)
    assert (folder.size, folder.target) == (None, f"{owner}@list//camera/front")

    for name in (entry.target, f"{owner}@list//camera/front/", folder.target):
        assert [entry.name async for entry in adl.ls(name)] == ["/camera/front/run01.mp4"]
    everything = [entry.name async for entry in adl.ls(f"{owner}@list//", recursive=True)]
    assert everything == ["/camera", "/camera/front", "/camera/front/run01.mp4", "/labels", "/labels/labels.jsonl"]
    assert [entry.id async for entry in adl.ls(f"{owner}@list//", recursive=True, kind="label-track")] == [track.id]
    assert [entry async for entry in adl.ls("/nothing", space=f"list@{owner}")] == []
    assert [entry async for entry in adl.ls(space=f"nothing@{owner}")] == []


async def test_episodes_are_listed_after_the_folders(lake: str, owner: str, labels: Path) -> None:
    for episode in ("run-2", "run-1"):
        await put(labels, "/x", f"episodes@{owner}", episode=episode, wait=False)
    await put(labels, "/z", f"episodes@{owner}", wait=False)
    found = [entry async for entry in adl.ls(space=f"episodes@{owner}")]
    assert [(entry.name, entry.kind) for entry in found] == [
        ("/z", "folder"), ("run-1", "episode"), ("run-2", "episode"),
    ]  # fmt: skip
    assert found[1].target == f"{owner}@episodes:run-1//"
    assert [entry.name async for entry in adl.ls(found[1].target)] == ["/x"]
    assert [entry.name async for entry in adl.ls(space=f"episodes@{owner}", kind="episode")] == ["run-1", "run-2"]
    everything = [entry.target async for entry in adl.ls(f"{owner}@episodes//", recursive=True)]
    assert everything == [
        f"{owner}@episodes//z", f"{owner}@episodes//z/labels.jsonl",
        f"{owner}@episodes:run-1//", f"{owner}@episodes:run-1//x", f"{owner}@episodes:run-1//x/labels.jsonl",
        f"{owner}@episodes:run-2//", f"{owner}@episodes:run-2//x", f"{owner}@episodes:run-2//x/labels.jsonl",
    ]  # fmt: skip
    found = [entry async for entry in adl.find("label", space=f"episodes@{owner}", kind="label-track")]
    assert sorted(entry.episode or "" for entry in found) == ["", "run-1", "run-2"]
    assert [entry.name async for entry in adl.find("z", space=f"episodes@{owner}")] == ["/z"]
    found = [entry async for entry in adl.find("*.jsonl", prefix="/x", space=f"episodes@{owner}", episode="run-1")]
    assert [entry.target for entry in found] == [f"{owner}@episodes:run-1//x/labels.jsonl"]
    assert len([entry async for entry in adl.find(prefix="/x", space=f"episodes@{owner}")]) == 2


async def test_pages_are_joined(lake: str, owner: str, labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamlake._async.catalog.PAGE", 1)
    for number in range(3):
        await put(labels, f"/{number}.jsonl", f"pages@{owner}", wait=False)
        await put(labels, "/x", f"pages@{owner}", episode=f"e{number}", wait=False)
    names = [entry.name async for entry in adl.ls(space=f"pages@{owner}")]
    assert names == ["/0.jsonl", "/1.jsonl", "/2.jsonl", "e0", "e1", "e2"]


async def test_the_prefix_that_holds_when_it_is_called(lake: str, owner: str, labels: Path) -> None:
    await put(labels, "/2026/run/a", f"prefix@{owner}", wait=False)
    with adl.Prefix(space=f"prefix@{owner}", prefix="/2026"):
        listed, found = adl.ls("run"), adl.find("LABELS")
        absolute = adl.ls("/")
        target = adl.ls("//2026/run/a")
    assert [entry.name async for entry in listed] == ["/2026/run/a"]
    assert [entry.name async for entry in found] == ["/2026/run/a/labels.jsonl"]
    assert [entry.name async for entry in absolute] == ["/2026"]
    assert [entry.name async for entry in target] == ["/2026/run/a/labels.jsonl"]


async def test_moving(lake: str, owner: str, labels: Path) -> None:
    asset = await put(labels, "/a", f"move@{owner}", wait=False)
    moved = await adl.move(f"{owner}@move//a/labels.jsonl", "/b")
    assert (moved.name, moved.id) == ("/b/labels.jsonl", asset.id)
    moved = await adl.move(asset.id, f"{owner}@move//b/other.jsonl")
    assert moved.name == "/b/other.jsonl"
    moved = await adl.move(moved, f"{owner}@move:run//c/")
    assert (moved.name, moved.episode) == ("/c/other.jsonl", "run")
    moved = await adl.move(moved, "//d")
    assert (moved.name, moved.episode) == ("/d/other.jsonl", "run")
    with adl.Prefix(space=f"move@{owner}", prefix="/x"):
        assert (await adl.move(f"{owner}@move:run//d", "y")).name == "/x/y"
    assert (await adl.move(f"{owner}@move:run//x/y", "//")).name == "/y"
    assert (await adl.move(f"{owner}@move:run//y", "//x/")).name == "/x/y"
    assert (await adl.move(asset, f"{owner}@move//")).target == f"{owner}@move//other.jsonl"
    copy = await adl.download(f"{owner}@move//other.jsonl", labels.parent, progress=False)
    assert (copy.name, is_same(copy, labels)) == ("other.jsonl", True)

    with pytest.raises(InvalidTargetError, match="stays in it"):
        await adl.move(asset, f"{owner}@other//")
    await put(labels, "/taken/other.jsonl", f"move@{owner}", wait=False)
    with pytest.raises(RequestError, match="already"):
        await adl.move(asset, "/taken")
    with pytest.raises(RequestError, match="into itself"):
        await adl.move(f"{owner}@move//taken", "/taken/x")
    with pytest.raises(NotFoundError):
        await adl.move(f"{owner}@move//nothing", "/x")
    with pytest.raises(UsageError):
        await adl.move(7, "/x")  # type: ignore[arg-type] (which is the mistake)


async def test_an_asset_of_several_names_is_moved_by_one_of_them(lake: str, owner: str, labels: Path) -> None:
    asset = await put(labels, "/a", f"names@{owner}", episode="one", wait=False)
    assert asset == await put(labels, "/a", f"names@{owner}", episode="two", wait=False)
    with pytest.raises(UsageError, match=r"one//a/labels\.jsonl, two//a/labels\.jsonl"):
        await adl.move(asset, "/b")
    assert (await adl.move(f"{owner}@names:one//a/labels.jsonl", "/b")).target == f"{owner}@names:one//b/labels.jsonl"


async def test_deleting(lake: str, owner: str, labels: Path) -> None:
    kept = await put(labels, "/a/kept.jsonl", f"delete@{owner}", wait=False)
    by_id = await put(labels, "/a/id.jsonl", f"delete@{owner}", wait=False)
    await adl.delete(by_id.id)
    with pytest.raises(NotFoundError):
        await by_id.metadata()
    with pytest.raises(NotFoundError):
        await adl.delete(by_id)
    with pytest.raises(RequestError, match="not empty"):
        await adl.delete(f"{owner}@delete//a")
    assert await kept.metadata()
    [entry] = [entry async for entry in adl.ls(f"{owner}@delete//a")]
    await adl.delete(entry)
    for gone in (entry, entry.target, kept):
        with pytest.raises(NotFoundError):
            await adl.delete(gone)
    await put(labels, "/a/b", f"delete@{owner}", wait=False)
    with adl.Prefix(space=f"delete@{owner}", prefix="/a"):
        await adl.delete("b", recursive=True)
    assert [entry.name async for entry in adl.ls(f"{owner}@delete//", recursive=True)] == ["/a"]


async def test_a_file_of_this_machine_is_never_deleted(
    lake: str, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(labels.parent)
    for name in (str(labels), f"/{labels}", "labels.jsonl"):
        with pytest.raises(NotFoundError):
            await adl.delete(name)
    for uri in (labels.as_uri(), f"s3://bucket{labels}"):
        with pytest.raises(UsageError):
            await adl.delete(uri)
    assert is_same(labels, labels)


async def test_loading_by_a_path(
    lake: str, owner: str, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = await put(CARPHONE, "/camera/front/run01.mp4", f"load@{owner}")
    await put(CARPHONE, "/camera/front/run01.mp4", f"load@{owner}", episode="run-042")
    await put(labels, "/camera/labels.jsonl", f"load@{owner}", wait=False)
    for target in (f"{owner}@load//camera/front/run01.mp4", f"{owner}@load:run-042//camera/front/run01.mp4"):
        assert await adl.load_video(target) == video
        assert await adl.load(target) == video
    with pytest.raises(NotFoundError):
        await adl.load_video(f"{owner}@load:run-043//camera/front/run01.mp4")
    with pytest.raises(NotFoundError):
        await adl.load_video(f"{owner}@load//camera/labels.jsonl")
    assert len(await adl.load(f"{owner}@load//camera/labels.jsonl")) == 1
    with pytest.raises(InvalidTargetError):
        await adl.load_video("alice load//camera")

    # A path is a file where there is one, and below the Prefix where there is none.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        await adl.load_video("camera/front/run01.mp4")
    with adl.Prefix(space=f"load@{owner}"), adl.Prefix(prefix="camera"):
        for path in ("front/run01.mp4", "/camera/front/run01.mp4", "//camera/front/run01.mp4"):
            assert await adl.load_video(path) == video
            assert await adl.load(path) == video
        for name in (Path("front/run01.mp4"), "./front/run01.mp4", "~/front/run01.mp4"):
            with pytest.raises(FileNotFoundError):
                await adl.load_video(name)
        with pytest.raises(NotFoundError, match=f"{owner}@load"):
            await adl.load_video("front/none.mp4")
        (tmp_path / "front").mkdir()
        (tmp_path / "front" / "run01.mp4").write_bytes(CARPHONE.read_bytes())
        assert (await adl.load_video("front/run01.mp4")).id is None
        assert await adl.load_video("/camera/front/run01.mp4") == video
        assert (await adl.download("front/run01.mp4", "copy.mp4", progress=False)).read_bytes() == CARPHONE.read_bytes()


async def test_what_cannot_be_listed() -> None:
    for call in (
        lambda: adl.ls("a b//"),
        lambda: adl.ls("alice@x//", space="y"),
        lambda: adl.ls(kind="movie"),
        lambda: adl.find(kind="episode"),
        lambda: adl.ls("/../a"),
        lambda: adl.ls(space="a b"),
    ):
        with pytest.raises(UsageError):
            call()
    with pytest.raises(InvalidIdError):
        await adl.delete("v-typo")
