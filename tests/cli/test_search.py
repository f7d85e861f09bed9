"""``dreamlake search`` and ``dreamlake index``, run as their users run them."""

from __future__ import annotations

import base64
import io
import json
import sys

import PIL.Image
import pytest

import dreamlake as dl
from dreamlake.config import connect
from tests.clips import real_clip

from .test_catalog import InProcess

CLIP = real_clip("carphone_distorted.mp4")
SPACE = ("--space", "robotics@alice")


@pytest.fixture(scope="module", autouse=True)
def _filled(served: str) -> None:
    connect(served)
    video = dl.upload(CLIP, prefix="/cli", progress=False)
    with dl.vec_index("my-experiment", space="robotics@alice") as index:
        index.add([1, 0, 0], "robot picking up cup", video[0:20], camera="front", n=1)
        index.add([0, 1, 0], "robot dropping cup", video[20:40], camera="left", n=2)
        index.add([0, 0, 1], "[bold]a door[/]")
    connect()


@pytest.fixture
def dreamlake(served: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> InProcess:
    monkeypatch.setenv("DREAMLAKE_URL", served)
    return InProcess(monkeypatch, capsys)


def test_search(dreamlake: InProcess) -> None:
    lines = dreamlake("search", "robot picking up cup", "--index", "my-experiment", *SPACE).stdout.splitlines()
    assert len(lines) == 2
    assert "robot picking up cup  v-" in lines[0]
    assert lines[0].endswith("camera=front  n=1")
    assert "\x1b" not in "".join(lines)  # which is no terminal
    found = dreamlake("search", "cup", "--index", "/my-experiment", *SPACE, "--json", "--where", "n=2").stdout
    event = json.loads(found)
    assert (event["caption"], event["matchedBy"]) == ("robot dropping cup", ["text"])
    assert event["extra"] == {"camera": "left", "n": 2}
    both = dreamlake("search", "cup", "--index", "my-experiment", *SPACE, "--where", "n=2", "--where", "n=1")
    assert len(both.stdout.splitlines()) == 2
    early = dreamlake("search", "cup", "--index", "my-experiment", *SPACE, "--where", "et=0.1").stdout
    assert len(early.splitlines()) == 1
    assert "[bold]a door[/]" in dreamlake("search", "door", "--index", "my-experiment", *SPACE).stdout
    assert dreamlake("search", "nothing like it", "--index", "my-experiment", *SPACE).stdout == ""
    assert "no vector index" in dreamlake("search", "cup", "--index", "another", *SPACE, status=4).stderr
    assert "name=value" in dreamlake("search", "cup", "--index", "x", "--where", "n", status=2).stderr


@pytest.mark.parametrize(
    ("variable", "value", "begin", "end"),
    [("TERM", "xterm-kitty", "\x1b_G", "\x1b\\"), ("TERM_PROGRAM", "iTerm.app", "\x1b]1337;File=", "\a")],
)
def test_pictures_where_the_terminal_shows_them(
    dreamlake: InProcess, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, begin: str, end: str
) -> None:
    for name in ("TMUX", "STY", "TERM", "TERM_PROGRAM", "KITTY_WINDOW_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True, raising=False)
    arguments = ("search", "picking", "--index", "my-experiment", *SPACE)
    assert begin not in dreamlake(*arguments).stdout  # an unknown terminal is not written to
    monkeypatch.setenv(variable, value)
    said = dreamlake(*arguments).stdout
    pieces = [piece.partition(end)[0] for piece in said.split(begin)[1:]]
    assert pieces
    data = "".join(piece.partition(";" if variable == "TERM" else ":")[2].rpartition(":")[2] for piece in pieces)
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.height == 120
    assert begin not in dreamlake(*arguments, "--no-thumbnails").stdout
    monkeypatch.setenv("TMUX", "/tmp/tmux")
    assert begin not in dreamlake(*arguments).stdout


def test_indexes(dreamlake: InProcess) -> None:
    listed = [json.loads(line) for line in dreamlake("index", "ls", *SPACE, "--json").stdout.splitlines()]
    [mine] = [one for one in listed if one["name"] == "my-experiment"]
    assert (mine["count"], mine["dim"], mine["prefix"]) == (3, 3, "/")
    assert "my-experiment" in dreamlake("index", "ls", *SPACE).stdout
    said = dreamlake("index", "info", "my-experiment", *SPACE).stdout
    assert "count      3" in said
    assert "comparing all vectors" in said
    assert json.loads(dreamlake("index", "info", "my-experiment", *SPACE, "--json").stdout) == mine
    with dl.vec_index("to-go", space="robotics@alice") as index:
        index.add([1, 2])
    assert "--yes" in dreamlake("index", "rm", "to-go", *SPACE, status=2).stderr
    assert dreamlake("index", "rm", "to-go", *SPACE, "--yes").stdout == "deleted to-go\n"
    assert dreamlake("index", "info", "to-go", *SPACE, status=4).stderr
