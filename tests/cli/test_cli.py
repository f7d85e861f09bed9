"""The command ``dreamlake``, run as its users run it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.clips import Clip, real_clip
from tests.conftest import serving
from tests.faults import FaultProxy, Stall

CARPHONE = real_clip("carphone_pristine.mp4")


class Command:
    """``dreamlake`` in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.environment = {**os.environ, "DREAMLAKE_HOME": str(home), "COLUMNS": "100"}

    def __call__(self, *arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "dreamlake.cli", *map(str, arguments)],
            env=self.environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done


@pytest.fixture
def dreamlake(tmp_path: Path) -> Command:
    return Command(tmp_path / "home")


def test_upload_and_info(dreamlake: Command) -> None:
    done = dreamlake("upload", CARPHONE, "--episode", "alice@robotics:run-042", "--to", "/camera/front")
    name = re.match(r"v-[0-9A-Za-z]{16}", done.stdout)
    assert name is not None
    assert done.stderr.splitlines() == [
        "carphone_pristine.mp4: reading (0.6 MB)",
        "carphone_pristine.mp4: sending (0.6 MB)",
        "carphone_pristine.mp4: processing",
    ]
    facts = json.loads(dreamlake("info", name[0], "--json").stdout)
    assert facts["id"] == name[0]
    assert (facts["owner"], facts["project"]) == ("alice", "robotics")
    assert facts["name"] == "/camera/front/carphone_pristine.mp4"
    assert (facts["status"], facts["frames"], facts["width"], facts["height"]) == ("ready", 120, 176, 144)
    shown = dreamlake("info", name[0]).stdout
    assert "/camera/front/carphone_pristine.mp4" in shown
    assert "29.97" in shown


def test_info_of_a_file(dreamlake: Command) -> None:
    facts = json.loads(dreamlake("info", CARPHONE, "--json").stdout)
    assert (facts["frames"], facts["width"]) == (120, 176)


def test_json_is_one_object_a_line(dreamlake: Command) -> None:
    done = dreamlake("upload", CARPHONE, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert {event["stage"] for event in events[:-1]} == {"hash", "upload", "process"}
    assert events[-1]["event"] == "done"
    assert events[-1]["id"].startswith("v-")


def test_the_bar_of_a_terminal(dreamlake: Command) -> None:
    pty = pytest.importorskip("pty")
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "dreamlake.cli", "upload", str(CARPHONE)]
    process = subprocess.Popen(command, env=dreamlake.environment, stdout=subprocess.PIPE, stderr=terminal, text=True)
    os.close(terminal)
    shown = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(main)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith("v-")
    for word in ("reading", "sending", "processing"):
        assert f"{word} carphone_pristine.mp4".encode() in shown


def test_demo(dreamlake: Command, tmp_path: Path) -> None:
    sheet = tmp_path / "out" / "sheet.png"
    done = dreamlake("demo", "--out", sheet)
    for word in ("uploaded", "sliced", "decoded", "iterated", "wrote"):
        assert word in done.stdout
    with Image.open(sheet) as image:
        assert image.width == 4 * 328 + 8
    own = Clip(options={"preset": "veryfast"}, frames=5).make(tmp_path / "own.mp4")
    assert "all 5 frames" in dreamlake("demo", own, "--out", sheet).stdout


def _text_as_mp4(folder: Path) -> Path:
    path = folder / "text.mp4"
    path.write_text("words")
    return path


def _other_type(folder: Path) -> Path:
    path = folder / "notes.xyz"
    path.write_text("words")
    return path


FAILURES = {
    "no arguments": (2, [], "Missing argument"),
    "missing file": (3, ["missing.mp4"], "no such file"),
    "directory": (3, [Path("/")], "is a folder"),
    "text": (3, [_text_as_mp4], "cannot be read as video"),
    "unknown extension": (3, [_other_type], "not a type"),
    "bad episode": (2, [CARPHONE, "--episode", "a b"], "cannot name"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_upload_failures(dreamlake: Command, tmp_path: Path, name: str) -> None:
    status, arguments, message = FAILURES[name]
    made = [argument(tmp_path) if callable(argument) else argument for argument in arguments]
    done = dreamlake("upload", *made, status=status)
    assert done.stdout == ""
    assert message in done.stderr
    if made:
        assert re.fullmatch(r"dreamlake: [^\n]+\n", done.stderr)


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("v-0000000000000001", 4, "there is no video"),
        ("v-typo", 2, "not a resource id"),
        ("tt-0000000000000001", 4, "there is no text-track"),
        ("bss://localhost:1/videos/69e72", 2, "24 hex digits"),
        ("missing.mp4", 3, "no such file"),
    ],
)
def test_info_failures(dreamlake: Command, name: str, status: int, message: str) -> None:
    done = dreamlake("info", name, status=status)
    assert re.fullmatch(rf"dreamlake: [^\n]*{message}[^\n]*\n", done.stderr)


def test_no_server(dreamlake: Command, unused_port: int) -> None:
    dreamlake.environment["DREAMLAKE_URL"] = f"http://127.0.0.1:{unused_port}"
    for arguments in (["upload", CARPHONE], ["info", "v-0000000000000001"]):
        done = dreamlake(*arguments, status=6)
        assert re.fullmatch(r"dreamlake: no answer from http://127\.0\.0\.1:\d+: [^\n]+\n", done.stderr)
    failed = dreamlake("info", "v-0000000000000001", "--json", status=6)
    assert json.loads(failed.stdout)["error"] == "LakeUnreachableError"


def test_a_video_that_cannot_be_processed(dreamlake: Command, served: str, broken_video: str) -> None:
    dreamlake.environment["DREAMLAKE_URL"] = served
    facts = json.loads(dreamlake("info", broken_video, "--json").stdout)
    while facts["status"] != "failed":
        subprocess.run([sys.executable, "-c", LOAD, broken_video], env=dreamlake.environment, check=False)
        facts = json.loads(dreamlake("info", broken_video, "--json").stdout)
    assert "garbage.mp4" in facts["error"]


LOAD = """
import sys, dreamlake as dl
try:
    dl.load_video(sys.argv[1])
except dl.DreamlakeError:
    pass
"""


def test_serve_refuses_the_network(dreamlake: Command) -> None:
    for host in ("0.0.0.0", "192.168.1.1", "::", "example.org"):
        assert "no API keys" in dreamlake("serve", "--host", host, status=2).stderr


def test_serve_says_when_it_cannot_listen(dreamlake: Command, served: str) -> None:
    port = served.rsplit(":", 1)[-1]
    assert "cannot listen" in dreamlake("serve", "--port", port, status=2).stderr


def test_serve_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    for end in (signal.SIGINT, signal.SIGTERM):
        server = serving(tmp_path / "lake")
        with server:
            server.process.send_signal(end)
            assert server.process.wait(10) in (0, 130, -signal.SIGINT, -signal.SIGTERM)


def test_ctrl_c_is_130_and_the_next_run_resumes(dreamlake: Command, served: str, tmp_path: Path) -> None:
    path = Clip(options={"preset": "veryfast"}, frames=20).make(tmp_path / "run.mp4")
    with path.open("ab") as file:
        size = 60 * 1024**2
        file.write((size + 8).to_bytes(4, "big") + b"free")
        file.truncate(file.tell() + size)
    with FaultProxy(served) as proxy:
        proxy.fault(Stall(60, after=1000), "PUT", nth=5, forever=True)  # it is not over before it is interrupted
        dreamlake.environment["DREAMLAKE_URL"] = proxy.url
        command = [sys.executable, "-m", "dreamlake.cli", "upload", str(path), "--json"]
        process = subprocess.Popen(
            command, env=dreamlake.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["stage"] == "upload" and event["done"] >= 20 * 1024**2:
                break
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
        assert process.returncode == 130
        assert error == "dreamlake: interrupted\n"
        proxy.calm()
        events = [json.loads(line) for line in dreamlake("upload", path, "--json").stdout.splitlines()]
    first = next(event for event in events if event.get("stage") == "upload")
    assert first["done"] >= 20 * 1024**2
    assert events[-1]["event"] == "done"


def test_help_names_every_command(dreamlake: Command) -> None:
    shown = dreamlake("--help").stdout
    for word in ("upload", "info", "serve", "demo"):
        assert word in shown
