"""The Prefix context: avoid repeating `space=` and `prefix=` on every call (seed 1)."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamlake.core.prefix import Place, Prefix, resolve_asset, resolve_name, resolve_place
from dreamlake.core.targets import Space, asset_name, join_path
from dreamlake.errors import InvalidTargetError

from ._helpers import examples

NOWHERE = Place(Space(None, None), "/")
ROBOTICS = Space("alice", "robotics")


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    assert resolve_place() == NOWHERE
    yield
    assert resolve_place() == NOWHERE


# -- the examples of the seed


def test_one_prefix_serves_every_call_inside_it() -> None:
    with Prefix(space="robotics@alice", prefix="/2026/04/run-042"):
        assert resolve_place(path="camera/front") == Place(ROBOTICS, "/2026/04/run-042/camera/front")
        assert resolve_place(path="captions/llava") == Place(ROBOTICS, "/2026/04/run-042/captions/llava")


def test_prefixes_nest() -> None:
    with Prefix(space="robotics@alice", prefix="/2026/04"), Prefix(prefix="run-042"):
        place = resolve_place(path="camera/front")
    assert place == Place(ROBOTICS, "/2026/04/run-042/camera/front")
    assert asset_name(place.folder, "video.mp4") == "/2026/04/run-042/camera/front/video.mp4"


def test_absolute_paths_are_resolved_from_the_project_root() -> None:
    with Prefix(space="robotics@alice", prefix="/2026/04/run-042"):
        assert resolve_place(path="camera/front").folder == "/2026/04/run-042/camera/front"
        place = resolve_place(path="/shared/ref.mp4")
    assert place == Place(ROBOTICS, "/shared/ref.mp4")
    assert asset_name(place.folder, "b.mp4") == "/shared/ref.mp4"


def test_a_call_can_name_everything_itself() -> None:
    place = resolve_place(prefix="/2026/04/run-042/captions/llava", space="robotics@alice")
    assert place == Place(ROBOTICS, "/2026/04/run-042/captions/llava")


# -- what an inner one changes


def test_the_outer_space_holds_until_an_inner_one_names_its_own() -> None:
    with Prefix(space="robotics@alice", prefix="/2026"):
        with Prefix(prefix="04"):
            assert resolve_place().space == ROBOTICS
        with Prefix(space="kitchen@bob"):
            assert resolve_place() == Place(Space("bob", "kitchen"), "/2026")
            assert resolve_place(space="lab").space == Space(None, "lab")
        assert resolve_place() == Place(ROBOTICS, "/2026")


def test_an_absolute_prefix_replaces_the_outer_one() -> None:
    with Prefix(prefix="/2026/04"), Prefix(prefix="/shared"):
        assert resolve_place(path="ref").folder == "/shared/ref"
        assert resolve_place(prefix="/other", path="ref").folder == "/other/ref"
        assert resolve_place(prefix="other", path="ref").folder == "/shared/other/ref"
        assert resolve_place(prefix="/other", path="/ref").folder == "/ref"


def test_without_any_prefix_the_root_is_meant() -> None:
    assert resolve_place(path="camera/front") == Place(Space(None, None), "/camera/front")
    assert resolve_place(prefix="2026", path="camera") == Place(Space(None, None), "/2026/camera")


folders = st.one_of(st.none(), st.from_regex(r"\A/?[a-z0-9]{0,3}(/[a-z0-9]{1,3}){0,2}/?\Z"))
spaces = st.sampled_from([None, "robotics@alice", "kitchen", "lab@bob"])


@examples(100)
@given(st.lists(st.tuples(spaces, folders), max_size=5), folders)
def test_any_nesting_resolves_step_by_step(levels: list[tuple[str | None, str | None]], path: str | None) -> None:
    opened: list[Prefix] = []
    expected = NOWHERE
    for space, folder in levels:
        opened.append(Prefix(space=space, prefix=folder).__enter__())
        if space is not None:
            name, _, namespace = space.partition("@")
            expected = Place(Space(namespace or None, name), expected.folder)
        expected = Place(expected.space, join_path(expected.folder, folder))
        assert resolve_place() == expected
        assert resolve_place(path=path) == Place(expected.space, join_path(expected.folder, path))
    for prefix in reversed(opened):
        prefix.__exit__(None, None, None)
    assert resolve_place() == NOWHERE


# -- episodes


def test_an_episode_fills_in_from_the_prefix_what_it_leaves_out() -> None:
    assert resolve_place(episode="alice@robotics:run-042").space == Space("alice", "robotics", "run-042")
    assert resolve_place(episode="run-042").space == Space(None, None, "run-042")
    with Prefix(space="robotics@alice", prefix="/2026"):
        place = resolve_place(episode="run-042", path="/camera/front")
        assert place == Place(Space("alice", "robotics", "run-042"), "/camera/front")
        assert resolve_place(episode="kitchen:run-1").space == Space("alice", "kitchen", "run-1")
        assert resolve_place(episode="bob@kitchen:run-1").space == Space("bob", "kitchen", "run-1")
        assert resolve_place().space.episode is None


def test_an_episode_and_a_space_that_agree_are_one_place() -> None:
    agreed = Space("alice", "robotics", "run-042")
    assert resolve_place(space="robotics@alice", episode="alice@robotics:run-042").space == agreed
    assert resolve_place(space="robotics@alice", episode="robotics:run-042").space == agreed
    assert resolve_place(space="robotics", episode="alice@robotics:run-042").space == agreed


@pytest.mark.parametrize("episode", ["alice@kitchen:run-042", "bob@robotics:run-042", "kitchen:run-042"])
def test_an_episode_and_a_space_that_contradict_each_other_are_refused(episode: str) -> None:
    with pytest.raises(InvalidTargetError, match="says"):
        resolve_place(space="robotics@alice", episode=episode)


# -- mistakes


@pytest.mark.parametrize("space", ["", "@", "robotics@", "@alice", "a@b@c", "../x", "robotics/alice", "a\0", "a\n"])
def test_a_malformed_space_is_reported_where_it_was_written(space: str) -> None:
    with pytest.raises(InvalidTargetError):
        Prefix(space=space)
    with pytest.raises(InvalidTargetError):
        resolve_place(space=space)


@pytest.mark.parametrize("prefix", ["..", "../x", "/2026/../..", "a/./b", "a\\b", "a\0", "a\n", "a" * 256])
def test_a_malformed_folder_is_reported_where_it_was_written(prefix: str) -> None:
    with pytest.raises(InvalidTargetError):
        Prefix(prefix=prefix)


def test_a_mistake_leaves_the_prefix_in_force() -> None:
    with Prefix(space="robotics@alice", prefix="/2026"):
        with pytest.raises(InvalidTargetError), Prefix(space="not a space"):
            pass
        assert resolve_place() == Place(ROBOTICS, "/2026")


def test_an_exception_restores_the_outer_prefix() -> None:
    with Prefix(prefix="/2026"):
        with pytest.raises(KeyError), Prefix(prefix="04"), Prefix(prefix="run-042"):
            assert resolve_place().folder == "/2026/04/run-042"
            raise KeyError("inside")
        assert resolve_place().folder == "/2026"


# -- one object, many uses


def test_one_prefix_can_be_entered_again_and_inside_itself() -> None:
    run = Prefix(prefix="run-042")
    for outer in ("/a", "/b"):
        with Prefix(prefix=outer), run as entered:
            assert entered is run
            assert resolve_place().folder == f"{outer}/run-042"
            with run:
                assert resolve_place().folder == f"{outer}/run-042/run-042"
            assert resolve_place().folder == f"{outer}/run-042"


def test_entering_leaves_the_object_as_it_was() -> None:
    prefix = Prefix(space="robotics@alice", prefix="run-042")
    before = repr(prefix)
    with Prefix(prefix="/2026"), prefix:
        assert repr(prefix) == before == "Prefix(space='robotics@alice', prefix='run-042')"
    assert repr(prefix) == before


def test_each_task_has_its_own_prefix_even_with_one_object() -> None:
    shared = Prefix(prefix="run-042")

    async def task(own: str, together: asyncio.Barrier) -> list[str]:
        seen = [resolve_place().folder]
        with Prefix(prefix=own):
            await together.wait()
            with shared:
                await together.wait()  # every task is inside the same object now
                seen.append(resolve_place(path="camera").folder)
                await together.wait()
            seen.append(resolve_place().folder)
        await together.wait()
        return [*seen, resolve_place().folder]

    async def main() -> None:
        together = asyncio.Barrier(3)
        with Prefix(prefix="/outer"):
            tasks = [asyncio.create_task(task(own, together)) for own in ("a", "b", "/c")]
        assert resolve_place() == NOWHERE  # left before the tasks began: they keep what held at their creation
        assert await asyncio.gather(*tasks) == [
            ["/outer", "/outer/a/run-042/camera", "/outer/a", "/outer"],
            ["/outer", "/outer/b/run-042/camera", "/outer/b", "/outer"],
            ["/outer", "/c/run-042/camera", "/c", "/outer"],
        ]
        assert resolve_place() == NOWHERE

    asyncio.run(main())


def test_a_prefix_holds_across_await_and_a_cancelled_task_disturbs_nobody() -> None:
    async def stuck(inside: asyncio.Event) -> None:
        with Prefix(prefix="stuck"):
            inside.set()
            await asyncio.Event().wait()

    async def main() -> None:
        with Prefix(prefix="/main"):
            inside = asyncio.Event()
            task = asyncio.create_task(stuck(inside))
            await inside.wait()
            assert resolve_place().folder == "/main"
            task.cancel()
            assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
            assert resolve_place().folder == "/main"

    asyncio.run(main())


def test_each_thread_has_its_own_prefix_even_with_one_object() -> None:
    shared = Prefix(prefix="run-042")
    together = threading.Barrier(4, timeout=30)

    def work(own: int) -> list[str]:
        with Prefix(prefix=f"/thread-{own}"):
            together.wait()
            with shared:
                together.wait()
                inside = resolve_place().folder
                together.wait()
            return [inside, resolve_place().folder]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    assert results == [[f"/thread-{own}/run-042", f"/thread-{own}"] for own in range(4)]


def test_a_thread_that_is_handed_the_context_sees_the_prefix() -> None:
    with Prefix(space="robotics@alice", prefix="/2026"):
        context = copy_context()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(context.run, resolve_place).result() == Place(ROBOTICS, "/2026")
        assert pool.submit(resolve_place).result() == NOWHERE


def test_names_are_targets_or_paths() -> None:
    root = Place(Space(None, None), "/")
    assert resolve_name(None) == resolve_name("//") == root
    assert (
        resolve_name("camera/") == resolve_name("/camera") == resolve_name("//camera/") == Place(root.space, "/camera")
    )
    assert resolve_name("alice@robotics:run-042//a/b") == Place(Space("alice", "robotics", "run-042"), "/a/b")
    assert resolve_name("alice@robotics//") == Place(Space("alice", "robotics"), "/")
    assert resolve_name("a", space="robotics@alice", episode="x") == Place(Space("alice", "robotics", "x"), "/a")
    with Prefix("robotics@alice", "/2026"):
        assert resolve_name(None) == Place(Space("alice", "robotics"), "/2026")
        assert resolve_name("run") == Place(Space("alice", "robotics"), "/2026/run")
        assert resolve_name("//run") == Place(Space("alice", "robotics"), "/run")
        assert resolve_name("other//run") == Place(Space("alice", "other"), "/run")
        assert resolve_name("bob@other:x//run") == Place(Space("bob", "other", "x"), "/run")


def test_names_that_are_none() -> None:
    for name in ("a b//", "alice@//x", "http://x//y:", "//../a", "a//b//c", "a\0", "./a"):
        with pytest.raises(InvalidTargetError):
            resolve_name(name)
    for more in ({"space": "x"}, {"episode": "x"}):
        with pytest.raises(InvalidTargetError):
            resolve_name("alice@robotics//", **more)
    for name in ("alice@robotics//", "/", "//"):
        with pytest.raises(InvalidTargetError, match="names no asset"):
            resolve_asset(name)
