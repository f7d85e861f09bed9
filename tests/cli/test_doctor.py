"""A server that dies in the middle of a registration, and the command that finds what is wrong."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import serving
from tests.faults import FaultProxy, Stall

from .test_cli import Command

LINE = '{"ts": 0, "dt": 1, "label": "cup"}\n'


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path / "home")


def findings(command: Command, *arguments: str, status: int = 0) -> dict[str, dict[str, object]]:
    lines = command("doctor", "--json", *arguments, status=status).stdout.splitlines()
    return {one["check"]: one for one in map(json.loads, lines)}


def rows(lake: Path, table: str) -> int:
    with sqlite3.connect(lake / "lake.db") as database:
        count: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    database.close()
    return count


def age(lake: Path) -> None:
    """Have everything be an hour old."""
    with sqlite3.connect(lake / "lake.db") as database:
        for table in ("bss_assets", "assets"):
            database.execute(f"UPDATE {table} SET created_at = created_at - 3600")
    database.close()


def test_all_is_well(command: Command) -> None:
    assert {name: one["ok"] for name, one in findings(command).items()} == dict.fromkeys(
        ("python", "disk", "codecs", "lake", "clock", "access", "names"), True
    )
    assert "every asset has one" in command("doctor").stdout


def test_what_is_wrong(command: Command, unused_port: int) -> None:
    command.environment["DREAMLAKE_URL"] = f"http://127.0.0.1:{unused_port}"
    assert "is `dreamlake serve` running" in str(findings(command, status=1)["lake"]["detail"])


@pytest.mark.parametrize("many", [False, True])
def test_a_server_that_is_killed_between_the_two_registrations(command: Command, tmp_path: Path, many: bool) -> None:
    """The storage service has the asset, the catalog does not hear of it: the upload that goes on has them agree."""
    lake = tmp_path / "lake"
    files = [tmp_path / f"{number}.jsonl" for number in range(3 if many else 1)]
    for number, file in enumerate(files):
        file.write_text(LINE * (number + 1))
    first = serving(lake)
    url = first.__enter__()
    command.environment["DREAMLAKE_URL"] = url
    with FaultProxy(url) as proxy:
        proxy.fault(Stall(60, after=0), "POST", "/batch/assets$" if many else "/assets/label-track$")
        uploading = subprocess.Popen(
            [sys.executable, "-m", "dreamlake.cli", "upload", *map(str, files), "--json"],
            env={**command.environment, "DREAMLAKE_URL": proxy.url}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while proxy.unused:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert rows(lake, "bss_assets") == len(files)
        assert rows(lake, "assets") == 0
        first.process.send_signal(signal.SIGKILL)
        first.__exit__()
        age(lake)
        copied = tmp_path / "copy"
        copied.mkdir()
        for path in lake.glob("lake.db*"):
            (copied / path.name).write_bytes(path.read_bytes())
        # The upload itself goes on when the server is there again, and nothing is doubled.
        with serving(lake, port=int(url.rsplit(":", 1)[1])):
            output, _ = uploading.communicate(timeout=60)
            assert uploading.returncode == 0, output
            command.environment["DREAMLAKE_URL"] = url
            assert findings(command)["names"]["ok"]
    assert (rows(lake, "bss_assets"), rows(lake, "assets")) == (len(files), len(files))
    # Had nobody gone on, the lake could tell, and mend it.
    with serving(copied) as other:
        command.environment["DREAMLAKE_URL"] = other
        said = findings(command, status=1)["names"]
        assert f"{len(files)} assets without a name" in str(said["detail"])
        assert f"{len(files)} assets were named" in str(findings(command, "--repair")["names"]["detail"])
        assert findings(command)["names"]["ok"]
    assert rows(copied, "assets") == len(files)
