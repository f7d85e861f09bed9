"""The generator of the blocking API: golden pairs, refusals, and the command in a project of its own."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parent / "data"
SOURCES = sorted(file.name for file in (DATA / "async").glob("*.py"))


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unasync", ROOT / "scripts" / "unasync.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


unasync = load_script()

# Every rule that there ever was. The script itself keeps those that the sources need at present.
NAMES = {
    "AbstractAsyncContextManager": "AbstractContextManager",
    "AsyncMock": "MagicMock",
    "StopAsyncIteration": "StopIteration",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "_async": "_sync",
    "aclose": "close",
    "aclosing": "closing",
    "anext": "next",
    "async_property": "property",
    "asynccontextmanager": "contextmanager",
    "enter_async_context": "enter_context",
}


def body(source: str) -> str:
    """The blocking form, without its header."""
    return unasync.convert(source, "x.py", NAMES).partition("\n")[2]


# Golden pairs


@pytest.fixture(scope="module")
def converted() -> dict[str, str]:
    paths = {name: f"tests/unasync/data/async/{name}" for name in SOURCES}
    outputs = {name: unasync.convert((ROOT / path).read_text("utf-8"), path, NAMES) for name, path in paths.items()}
    return unasync.polish(outputs, ROOT)


@pytest.mark.parametrize("name", SOURCES)
def test_golden_pair(name: str, converted: dict[str, str]) -> None:
    assert converted[name] == (DATA / "sync" / name).read_text("utf-8")


def test_each_golden_file_has_its_twin() -> None:
    assert sorted(file.name for file in (DATA / "sync").glob("*.py")) == SOURCES


@pytest.mark.parametrize("name", SOURCES)
def test_blocking_code_stays_as_it_is(name: str) -> None:
    blocking = (DATA / "sync" / name).read_text("utf-8")
    assert body(blocking) == blocking


def test_every_rule_has_a_golden_use() -> None:
    seen = unasync.Seen()
    for name in SOURCES:
        unasync.convert((DATA / "async" / name).read_text("utf-8"), name, NAMES, seen)
    assert seen.names == NAMES.keys()
    assert unasync.NAMES.items() <= NAMES.items()


# What the formatter would not leave in a golden file

AWKWARD = {
    "non-ASCII text before a splice": (
        'async def f(x):\n    é = "€😀"; x = await x; y = "ß", await x; z: "é" = await x  # ü\n',
        'def f(x):\n    é = "€😀"; x = x; y = "ß", x; z: "é" = x  # ü\n',
    ),
    "line ends that only str.splitlines knows": (
        'async def f(x):\n    y = "\u2028\x1c", await x; return (await x).y\n',
        'def f(x):\n    y = "\u2028\x1c", x; return x.y\n',
    ),
    "more than one space": (
        "async   def f(x):\n    return await\tx\n",
        "def f(x):\n    return x\n",
    ),
    "a backslash": (
        "async def f(x):\n    return await \\\n        x\n",
        "def f(x):\n    return \\\n        x\n",
    ),
    "an await and its operand on different lines": (
        "async def f(x):\n    return [await  # why\n        x]\n",
        "def f(x):\n    return [# why\n        x]\n",
    ),
    "a bracket after a keyword": (
        "async def f(x):\n    return not(await x)\n",
        "def f(x):\n    return not(x)\n",
    ),
    "brackets that hold lines together": (
        "async def f(x):\n    return (await x\n        .y)\n",
        "def f(x):\n    return (x\n        .y)\n",
    ),
    "a type on several lines": (
        "x: Awaitable[\n    A |\n    B\n]\n",
        "x: (A |\n    B)\n",
    ),
    "an import in any order": (
        "from r import async_only, a, async_property, b, async_only, async_property\n",
        "from r import a, b\n",
    ),
    "an import of nothing else": (
        "if x:\n    from r import async_property\ny = 1\n",
        "if x:\n    pass\ny = 1\n",
    ),
    "no newline at the end": (
        "if ASYNC:\n    x = 1\nelse:\n    x = 2",
        "x = 2",
    ),
    "names in f-strings that are only text": (
        'x = f"await AsyncVideo.aclose() {y!r:>{width}}", "aclose" f"{y}"\n',
        'x = f"await AsyncVideo.aclose() {y!r:>{width}}", "aclose" f"{y}"\n',
    ),
    "strings that are not one name": (
        "x = 'aclose', b'aclose', 'aclose' 's', 'aclose()', ''\n",
        "x = 'close', b'aclose', 'aclose' 's', 'aclose()', ''\n",
    ),
}


@pytest.mark.parametrize(("source", "expected"), AWKWARD.values(), ids=AWKWARD)
def test_awkward_source(source: str, expected: str) -> None:
    assert body(source) == expected


# Refusals

REFUSED = {
    "await in an f-string": ('\nasync def f(x):\n    return f"é{x!r:>{await x}}"', 3, "'await' in an f-string"),
    "a name in an f-string": ('x = f"{AsyncVideo.frames}"', 1, "'AsyncVideo' in an f-string"),
    "a method in an f-string": ('x = f"{y.aclose}"', 1, "'aclose' in an f-string"),
    "a loop in an f-string": ('async def f(x):\n    f"{[y async for y in x]}"', 2, "'async' in an f-string"),
    "a string in an f-string": ("x = f\"{getattr(y, 'aclose')}\"", 1, "'aclose' in an f-string"),
    "adl in an f-string": ('x = (\n    "" f"{adl.x}"\n)', 2, "'adl' in an f-string"),
    "a nested f-string": ("x = f\"{f'{AsyncVideo}'}\"", 1, "'AsyncVideo' in an f-string"),
    "AsyncGenerator": ("from collections.abc import AsyncGenerator", 1, "annotate AsyncIterator"),
    "a quoted argument type": ('def f(\n    x: "list[AsyncVideo]"): ...', 2, "'AsyncVideo' in a quoted type"),
    "a quoted return type": ('def f() -> list["AsyncVideo"]: ...', 1, "'AsyncVideo' in a quoted type"),
    "a quoted variable type": ('x: "_AsyncVideo"', 1, "'_AsyncVideo' in a quoted type"),
    "asyncio": ("\nimport asyncio", 2, "`import asyncio`: import the runtime twin"),
    "anyio": ("import anyio.to_thread as t", 1, "`import anyio.to_thread as t`: import the runtime twin"),
    "aiofiles": ("def f():\n    from aiofiles import open", 2, "import the runtime twin"),
    "trio": ("import os, trio", 1, "import the runtime twin"),
    "another import of adl": ("import dreamlake.aio as lake", 1, "`import dreamlake.aio as adl`"),
    "an import from aio": ("from dreamlake import aio", 1, "`import dreamlake.aio as adl`"),
    "a name from aio": ("from dreamlake.aio import load_video", 1, "`import dreamlake.aio as adl`"),
    "an unknown async method": ("x.aiter_bytes()", 1, "'aiter_bytes' has no blocking form"),
    "an unknown async dunder": ("class A:\n    def __await__(self): ...", 2, "'__await__' has no blocking form"),
    "an unknown async name": ("x = LazyAsyncVideo", 1, "'LazyAsyncVideo' has no blocking form"),
    "an unknown name in the middle": ("x.push_async_exit(y)", 1, "NAMES has no rule for it"),
    "async_only as a value": ("x = async_only(y)", 1, "'async_only' has no blocking form"),
    "Awaitable alone": ("isinstance(x, Awaitable)", 1, "Awaitable has a blocking form only with"),
    "Coroutine of one": ("x: Coroutine[int]", 1, "Coroutine has a blocking form only with"),
    "an elif of ASYNC": ("if x:\n    y\nelif ASYNC:\n    z", 3, "write an ASYNC branch as `if` and `else`"),
    "an elif after ASYNC": ("if ASYNC:\n    x\nelif y:\n    z\nelse:\n    w", 1, "write an ASYNC branch as"),
    "ASYNC on one line": ("if ASYNC: x = 1\nelse:\n    x = 2", 1, "on lines of their own"),
    "else on one line": ("if ASYNC:\n    x = 1\nelse: x = 2", 1, "on lines of their own"),
    "ASYNC in an expression": ("x = 1 if ASYNC else 2", 1, "ASYNC may only be tested"),
    "ASYNC and more": ("if ASYNC and x:\n    y", 1, "ASYNC may only be tested"),
    "no Python": ("x = 1\nx = = 2", 2, "not Python"),
}


@pytest.mark.parametrize(("source", "line", "message"), REFUSED.values(), ids=REFUSED)
def test_refusal(source: str, line: int, message: str) -> None:
    with pytest.raises(unasync.RefusedError) as refused:
        body(source)
    assert str(refused.value).startswith(f"x.py:{line}: ")
    assert message in str(refused.value)


def test_what_is_dropped_is_not_refused() -> None:
    assert (
        body('@async_only\ndef f(x: "AsyncVideo") -> Awaitable:\n    import asyncio\n    return f"{await x}"\n')
        == "pass\n"
    )


def test_a_sixth_branch_is_refused() -> None:
    seen = unasync.Seen()
    for name in "ab":
        unasync.convert("if ASYNC:\n    x\n" * 3, f"dreamlake/_async/{name}.py", NAMES, seen)
    unasync.convert("if ASYNC:\n    x\n" * 9, "tests/_async/test_x.py", NAMES, seen)
    assert unasync.surplus_branches(seen) == [
        "dreamlake/_async/b.py:5: more than 5 ASYNC branches: move the difference into the runtime modules"
    ]


def test_unused_rules_are_refused_once_there_is_a_module() -> None:
    seen = unasync.Seen(names={"aclose"})
    rules = {"aclose": "close", "aread": "read"}
    assert unasync.unused_rules(["dreamlake/_sync/__init__.py", "tests/_sync/test_x.py"], seen, rules) == []
    assert unasync.unused_rules(["dreamlake/_sync/video.py"], seen, rules) == [
        "scripts/unasync.py: no source needs these rules, delete them: aread"
    ]


# The command


class Project:
    """A folder with sources, and what the command does in it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.capsys = capsys

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, "utf-8")

    def run(self, *arguments: str) -> tuple[int, list[str]]:
        """The exit code, and the lines of output."""
        code = unasync.main(list(arguments), self.root)
        output = self.capsys.readouterr()
        return code, (output.out + output.err).splitlines()

    def files(self) -> dict[str, str]:
        found = [file for file in self.root.rglob("*") if file.is_file()]
        return {file.relative_to(self.root).as_posix(): file.read_text("utf-8") for file in found}


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setitem(unasync.NAMES, "aclose", NAMES["aclose"])
    for unused in NAMES.keys() - {"_async", "aclose"}:
        monkeypatch.delitem(unasync.NAMES, unused, raising=False)
    project = Project(tmp_path, capsys)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    project.write("dreamlake/_async/_runtime.py", "import asyncio\n")
    project.write("dreamlake/_sync/_runtime.py", "import threading\n")
    project.write("dreamlake/_async/_workers.py", "import asyncio\n")
    project.write("dreamlake/_sync/_workers.py", "import threading\n")
    project.write(
        "dreamlake/_async/__init__.py",
        'from dreamlake._async.video import AsyncVideo, open\n\n__all__ = ["AsyncVideo", "open"]\n',
    )
    project.write(
        "dreamlake/_async/video.py",
        "import os\nfrom collections.abc import Awaitable\n\n\n"
        "class AsyncVideo:\n    async def aclose(self) -> Awaitable[None]: ...\n\n\n"
        "def open(path: os.PathLike[str]): ...\n",
    )
    project.write("tests/_async/deep/test_video.py", "async def test_video():\n    pass\n")
    return project


GENERATED = ["dreamlake/_sync/__init__.py", "dreamlake/_sync/video.py", "tests/_sync/deep/test_video.py"]


def test_write(project: Project) -> None:
    assert project.run() == (0, [f"wrote {path}" for path in GENERATED])
    files = project.files()
    assert files["dreamlake/_sync/__init__.py"] == (
        "# Generated from dreamlake/_async/__init__.py by scripts/unasync.py. Edit that file, then run it.\n"
        'from dreamlake._sync.video import Video, open\n\n__all__ = ["Video", "open"]\n'
    )
    assert files["dreamlake/_sync/video.py"] == (
        "# Generated from dreamlake/_async/video.py by scripts/unasync.py. Edit that file, then run it.\n"
        "import os\n\n\n"
        "class Video:\n    def close(self) -> None: ...\n\n\n"
        "def open(path: os.PathLike[str]): ...\n"
    )
    assert files["tests/_sync/deep/test_video.py"].endswith("\ndef test_video():\n    pass\n")
    assert files["dreamlake/_sync/_runtime.py"] == files["dreamlake/_sync/_workers.py"] == "import threading\n"

    assert project.run() == (0, [])
    assert project.run("--check") == (0, [])
    assert project.files() == files


def test_a_tree_that_is_missing_is_skipped(project: Project) -> None:
    shutil.rmtree(project.root / "tests")
    assert project.run() == (0, [f"wrote {path}" for path in GENERATED[:2]])


def test_check_tells_what_is_stale_and_changes_nothing(project: Project) -> None:
    project.run()
    project.write("dreamlake/_async/track.py", "x = 1\n")
    (project.root / "tests/_async/deep/test_video.py").unlink()
    source = project.root / "dreamlake/_async/video.py"
    source.write_text(source.read_text() + "\n\nlimit = 8\n")
    before = project.files()
    assert project.run("--check") == (
        1,
        [
            "dreamlake/_sync/track.py: missing: run scripts/unasync.py",
            "dreamlake/_sync/video.py: out of date: run scripts/unasync.py",
            "tests/_sync/deep/test_video.py: without a source: run scripts/unasync.py",
        ],
    )
    assert project.files() == before

    assert project.run() == (
        0,
        [
            "wrote dreamlake/_sync/track.py",
            "wrote dreamlake/_sync/video.py",
            "deleted tests/_sync/deep/test_video.py",
        ],
    )
    assert project.run("--check") == (0, [])


@pytest.mark.parametrize("edit", ["\n", "x = 1\n", "# a comment\n"])
def test_check_finds_an_edit_by_hand(project: Project, edit: str) -> None:
    project.run()
    file = project.root / "dreamlake/_sync/video.py"
    file.write_text(file.read_text() + edit)
    assert project.run("--check") == (1, ["dreamlake/_sync/video.py: out of date: run scripts/unasync.py"])


@pytest.mark.parametrize("name", unasync.HAND_WRITTEN)
def test_check_finds_a_file_that_is_not_generated(project: Project, name: str) -> None:
    project.run()
    project.write(f"dreamlake/_sync/deep/{name}", "x = 1\n")
    assert project.run("--check") == (1, [f"dreamlake/_sync/deep/{name}: without a source: run scripts/unasync.py"])


@pytest.mark.parametrize("path", ["dreamlake/_sync/video.py", "dreamlake/_sync/other.py"])
def test_what_is_not_generated_is_neither_overwritten_nor_deleted(project: Project, path: str) -> None:
    project.write(path, "x = 1  # Generated from x by scripts/unasync.py.\n")
    before = project.files()
    assert project.run() == (2, [f"{path}: in the way, and not generated: move it"])
    assert project.files() == before


def test_every_refusal_is_told_and_nothing_is_written(project: Project) -> None:
    project.write("dreamlake/_async/track.py", "import trio\n")
    project.write("tests/_async/test_track.py", "\nimport asyncio\n")
    before = project.files()
    for arguments in ([], ["--check"]):
        code, lines = project.run(*arguments)
        assert code == 2
        assert [line.partition(": ")[0] for line in lines] == [
            "dreamlake/_async/track.py:1",
            "tests/_async/test_track.py:2",
        ]
        assert project.files() == before


def test_an_unused_rule_fails_the_command_but_does_not_stop_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(unasync.NAMES, "aread", "read")
    complaint = "scripts/unasync.py: no source needs these rules, delete them: aread"
    assert project.run() == (2, [*(f"wrote {path}" for path in GENERATED), complaint])
    assert project.run("--check") == (2, [complaint])
