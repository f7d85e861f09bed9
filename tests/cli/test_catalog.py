"""``dreamlake ls | tree | info | mv | rm``, and what the shell completes, run as their users run them."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dreamlake as dl
from dreamlake.cli import main
from dreamlake.cli.completion import complete_name, complete_place
from dreamlake.config import connect
from tests.conftest import serving

from .test_cli import Command


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("catalog")) as found:
        yield found


class InProcess:
    """``dreamlake`` as it runs when it is called, without the second that a new interpreter takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        self._monkeypatch.setattr(sys, "argv", ["dreamlake", *map(str, arguments)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = self._capsys.readouterr()
        assert (ended.value.code or 0) == status, said.err
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)


@pytest.fixture
def dreamlake(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> InProcess:
    monkeypatch.setenv("DREAMLAKE_URL", url)
    return InProcess(monkeypatch, capsys)


@pytest.fixture
def command(url: str, tmp_path: Path) -> Command:
    """The same as processes."""
    command = Command(tmp_path / "home")
    command.environment["DREAMLAKE_URL"] = url
    return command


@pytest.fixture
def place(url: str, tmp_path: Path) -> Iterator[str]:
    """A space of the test's own, with two tracks, and one of them in an episode too."""
    owner = f"u-{secrets.token_hex(4)}"
    connect(url)
    for name, folder, episode in (("front", "camera", None), ("back", "camera/more", None), ("front", "", "run-042")):
        path = tmp_path / f"{name}.jsonl"
        path.write_text('{"ts": 0.0, "dt": 1.0}\n' * len(path.name))
        dl.upload(path, space=f"robotics@{owner}", path=f"/{folder}", episode=episode, wait=False)
    connect()
    yield f"{owner}@robotics"


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def names(text: str) -> list[str]:
    return [line.split("\t")[-1] for line in text.splitlines()]


def test_ls(dreamlake: InProcess, place: str) -> None:
    assert names(dreamlake("ls", place).stdout) == ["/camera/", "run-042//"]
    assert names(dreamlake("ls", f"{place}:run-042").stdout) == ["/front.jsonl"]
    listed = dreamlake("ls", f"{place}//", "--recursive").stdout
    everything = ["/camera/", "/camera/front.jsonl", "/camera/more/", "/camera/more/back.jsonl"]
    assert names(listed) == [*everything, "run-042//", "run-042//front.jsonl"]
    columns = listed.splitlines()[1].split("\t")
    assert columns[0].startswith("lt-")
    assert columns[1:3] == ["label-track", str(23 * len("front.jsonl"))]
    found = dreamlake("ls", place, "--find", "front*", "--kind", "label-track").stdout
    assert names(found) == ["/camera/front.jsonl", "run-042//front.jsonl"]
    first = dreamlake("ls", place, "-r", "--limit", 2)
    assert (names(first.stdout), first.stderr.count("--limit")) == (everything[:2], 1)
    owner = place.partition("@")[0]
    assert dreamlake("ls", owner, "--spaces").stdout == f"{place}\n"
    assert dreamlake("ls", "--space", f"nothing@{owner}").stdout == ""
    dreamlake("ls", f"{place}//nothing", status=4)
    dreamlake("ls", place, "--kind", "movie", status=2)


def test_ls_in_json(dreamlake: InProcess, place: str) -> None:
    [folder, episode] = events(dreamlake("ls", place, "--json").stdout)
    assert (folder["name"], folder["kind"], folder["size"]) == ("/camera", "folder", None)
    assert (episode["name"], episode["kind"], episode["target"]) == ("run-042", "episode", f"{place}:run-042//")
    [asset] = events(dreamlake("ls", f"{place}:run-042//", "--json").stdout)
    assert asset["target"] == f"{place}:run-042//front.jsonl"
    assert {"id", "created", "namespace", "space", "episode"} <= asset.keys()


def test_on_a_terminal(command: Command, place: str) -> None:
    command.environment |= {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"}
    rows = command("ls", f"{place}//camera").stdout.splitlines()
    assert [row.split()[-1] for row in rows] == ["/camera/front.jsonl", "/camera/more/"]
    assert "253 bytes" in rows[0]
    shown = re.sub(r"\x1b\[\d*m", "", command("tree", place).stdout)
    for line in (
        "├── camera/",
        "│   ├── front.jsonl",
        "│       └── back.jsonl",
        "└── run-042//",
        "    └── front.jsonl",
    ):
        assert line in shown


def test_tree(dreamlake: InProcess, place: str) -> None:
    shown = dreamlake("tree", place).stdout
    assert shown == "camera/\n  front.jsonl\n  more/\n    back.jsonl\nrun-042//\n  front.jsonl\n"
    assert dreamlake("tree", f"{place}//camera").stdout == "front.jsonl\nmore/\n  back.jsonl\n"
    assert dreamlake("tree", f"{place}//camera", "--limit", 1).stdout == "front.jsonl\n"
    assert len(events(dreamlake("tree", place, "--json").stdout)) == 6
    dreamlake("tree", f"{place}//nothing", status=4)


def test_info(dreamlake: InProcess, place: str) -> None:
    facts = json.loads(dreamlake("info", f"{place}//camera", "--json").stdout)
    assert (facts["kind"], facts["target"]) == ("folder", f"{place}//camera")
    target = f"{place}//camera/front.jsonl"
    facts = json.loads(dreamlake("info", target, "--json").stdout)
    assert facts["names"] == ["/camera/front.jsonl"]
    assert json.loads(dreamlake("info", facts["id"], "--json").stdout)["names"] == ["/camera/front.jsonl"]
    assert "/camera/front.jsonl" in dreamlake("info", target).stdout


def test_mv(dreamlake: InProcess, place: str) -> None:
    moved = dreamlake("mv", f"{place}//camera/front.jsonl", f"{place}//left/")
    assert moved.stdout == f"{place}//left/front.jsonl\n"
    [event] = events(dreamlake("mv", f"{place}//camera", "/sensors/camera", "--json").stdout)
    assert (event["event"], event["target"]) == ("moved", f"{place}//sensors/camera")
    dreamlake("ls", f"{place}//sensors/camera/more/back.jsonl")
    dreamlake("mv", f"{place}//left", "/sensors/camera", status=9)
    dreamlake("mv", f"{place}//nothing", "/x", status=4)


def test_rm(dreamlake: InProcess, place: str) -> None:
    target = f"{place}//camera/more/back.jsonl"
    asset = json.loads(dreamlake("info", target, "--json").stdout)["id"]
    assert dreamlake("rm", asset).stdout == f"deleted {asset}\n"
    dreamlake("rm", asset, status=4)
    assert events(dreamlake("rm", f"{place}//camera/more", "--json").stdout) == [
        {"event": "deleted", "name": f"{place}//camera/more"}
    ]
    dreamlake("rm", f"{place}//camera", status=9)
    assert "--yes" in dreamlake("rm", "-r", f"{place}//camera", status=2).stderr
    dreamlake("rm", "-r", "--yes", f"{place}//camera")
    assert names(dreamlake("ls", place).stdout) == ["run-042//"]


def test_rm_asks_on_a_terminal(command: Command, dreamlake: InProcess, place: str) -> None:
    for answer, left in ((b"n\n", 2), (b"y\n", 1)):
        ours, theirs = os.openpty()
        words = [sys.executable, "-m", "dreamlake.cli", "rm", "--recursive", f"{place}//camera"]
        os.write(ours, answer)
        done = subprocess.run(words, env=command.environment, stdin=theirs, capture_output=True, timeout=60)
        os.close(ours)
        os.close(theirs)
        assert b"with all that is in there?" in done.stderr
        assert len(names(dreamlake("ls", place).stdout)) == left


def complete(command: Command, *words: str) -> list[str]:
    """What a shell is offered for the last word."""
    asked = {
        "_DREAMLAKE_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": " ".join(["dreamlake", *words]),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'dreamlake'; from dreamlake.cli import main; main()"],
        env={**command.environment, **asked}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_the_shell_completes(command: Command, place: str, url: str) -> None:
    assert complete(command, "rm", f"{place}//cam") == [f"{place}//camera/"]
    assert complete(command, "mv", "x", f"{place}//no") == []
    owner = place.partition("@")[0]
    connect(url)
    for begun, expected in (
        (f"{owner}@ro", [f"{place}//"]),
        (f"{place}:run", [f"{place}:run-042//"]),
        (f"{place}//camera/", [f"{place}//camera/front.jsonl", f"{place}//camera/more/"]),
        (f"{place}:run-042//f", [f"{place}:run-042//front.jsonl"]),
        ("a b@c//d", []),
    ):
        assert complete_place(begun) == expected, begun
    connect()


def test_the_shell_completes_ids_and_your_own_paths(url: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("")
    connect(url)
    asset = dl.upload(path, path=f"/{tmp_path.name}/x", wait=False)
    assert complete_name(asset.id[:-1]) == [asset.id]
    assert complete_name(f"v{asset.id[2:-1]}") == complete_place(asset.id[:-1]) == []
    assert complete_name(f"/{tmp_path.name}/") == [f"/{tmp_path.name}/x/"]
    assert complete_place(f"//{tmp_path.name}/x/mi") == [f"//{tmp_path.name}/x/mine.jsonl"]
    connect()


def test_completion_is_silent_and_starts_nothing(tmp_path: Path, unused_port: int) -> None:
    command = Command(tmp_path / "home")
    assert complete(command, "info", "v-") == []
    assert not (tmp_path / "home").exists()
    for url in (f"http://127.0.0.1:{unused_port}", "http://["):
        command.environment["DREAMLAKE_URL"] = url
        assert complete(command, "info", "//a") == []
