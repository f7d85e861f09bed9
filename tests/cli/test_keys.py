"""A lake for strangers: its keys, and who logs in with one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import serving

from .test_cli import Command

LINE = '{"ts": 0, "dt": 1, "label": "cup"}\n'


@pytest.fixture
def operator(tmp_path: Path) -> Command:
    """The command where the lake is."""
    return Command(tmp_path / "operator")


@pytest.fixture
def guest(tmp_path: Path) -> Command:
    """The command on somebody's own machine."""
    return Command(tmp_path / "guest")


def test_from_the_first_key_to_the_last(operator: Command, guest: Command, tmp_path: Path) -> None:
    lake = tmp_path / "operator/lake"
    made = operator("keys", "create", "alice", "--scope", "admin", "--label", "the first")
    key = made.stdout.strip()
    assert key.startswith("dlk_")
    assert "not shown again" in made.stderr
    (tmp_path / "a.jsonl").write_text(LINE)
    with serving(lake) as url:
        refused = subprocess.run(
            [sys.executable, "-m", "dreamlake.cli", "whoami"],
            env={**guest.environment, "DREAMLAKE_URL": url}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert refused.returncode == 5
        assert "wants an API key" in refused.stderr

        assert guest("login", url, "--key", f"{key[:-1]}!", status=2).stderr.startswith("dreamlake: this is no API key")
        said = guest("login", url, "--key", key).stdout
        assert "you are alice" in said
        assert key not in said
        config = tmp_path / "guest/config.toml"
        assert config.stat().st_mode & 0o777 == 0o600
        me = json.loads(guest("whoami", "--json").stdout)
        assert me == {"lake": url, "namespace": "alice", "scope": "admin", "keyId": key[4:12]}

        # What it uploads is in the key's namespace.
        events = [json.loads(line) for line in guest("upload", tmp_path / "a.jsonl", "--json").stdout.splitlines()]
        assert events[-1]["event"] == "done"
        assert list((lake / "objects/alice").rglob("meta.json"))

        reader = guest("keys", "create", "--scope", "read").stdout.strip()
        listed = [json.loads(line) for line in guest("keys", "ls", "--json").stdout.splitlines()]
        assert {(item["id"], item["scope"], item["label"]) for item in listed} == {
            (key[4:12], "admin", "the first"),
            (reader[4:12], "read", ""),
        }
        assert key[4:12] in guest("keys", "ls").stdout
        guest("login", url, "--key", reader)
        (tmp_path / "b.jsonl").write_text(LINE * 2)
        assert "for read alone" in guest("upload", tmp_path / "b.jsonl", status=5).stderr
        guest("keys", "ls", status=5)
        operator("keys", "revoke", reader[:12])
        guest("whoami", status=5)
        assert "a new key signs" in operator("keys", "rotate").stdout
        assert "have ended" in operator("keys", "rotate", "--at-once").stdout


def test_login_keeps_what_else_the_file_says(guest: Command, operator: Command, tmp_path: Path) -> None:
    key = operator("keys", "create", "alice").stdout.strip()
    config = tmp_path / "guest/config.toml"
    config.parent.mkdir()
    config.write_text('# mine\nurl = "http://old"\nstorage = "/data"\n[other]\nurl = "kept"\n')
    with serving(tmp_path / "operator/lake") as url:
        guest("login", url, "--key", key)
        guest("login", url, "--key", key)
    assert config.read_text() == (
        f'# mine\nstorage = "/data"\nurl = "{url}"\napi_key = "{key}"\n[other]\nurl = "kept"\n'
    )


def test_a_lake_that_others_reach_has_keys(operator: Command, tmp_path: Path) -> None:
    serve = ["serve", "--host", "0.0.0.0", "--port", "0", "--data", tmp_path / "lake"]
    assert "dreamlake keys create" in operator(*serve, status=2).stderr
    operator.environment["DREAMLAKE_HOME"] = str(tmp_path)
    operator("keys", "create", "alice")
    process = subprocess.Popen(
        [sys.executable, "-m", "dreamlake.cli", *map(str, serve)],
        env=operator.environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "is served at http://0.0.0.0:" in line
        port = int(line.rsplit(":", 1)[1].split()[0])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /auth/me HTTP/1.1\r\nHost: lake.example.org\r\nConnection: close\r\n\r\n")
            assert b"401" in connection.recv(100)
    finally:
        process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()
