"""Lakes for the tests: an embedded one and a served one, both in temporary folders, never the user's own."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import dreamlake as dl
from dreamlake.config import connect
from dreamlake.core.ids import resource_id
from dreamlake.core.kinds import VIDEO
from tests.clips import SMALL, maker
from tests.once import keep
from tests.s3server import JuiceServer, S3Store

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Before anything else can look: no test may touch ~/.dreamlake or a server that the environment names.
for _name in [name for name in os.environ if name.startswith("DREAMLAKE_")]:
    del os.environ[_name]


@pytest.fixture
def anyio_backend() -> str:
    """The SDK runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = tmp_path_factory.getbasetemp()
    keep((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made")
    home = tmp_path_factory.mktemp("home")
    os.environ["DREAMLAKE_HOME"] = str(home)
    yield home
    dl.close()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the traps of tests/corpus are written, each once."""
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a lake that ``dreamlake serve`` serves on a free port."""
    with serving(tmp_path_factory.mktemp("served")) as url:
        yield url


class serving:  # noqa: N801 - a context manager, used like a function
    """``dreamlake serve`` on a folder, as a process of its own.

    Args:
        data: the folder.
        options: of the command.
        port: to listen on; 0 for one that is free.
    """

    def __init__(self, data: Path, *options: str, port: int = 0) -> None:
        served = ["serve", "--port", str(port), "--data", str(data), *options]
        command = [sys.executable, "-m", "dreamlake.cli", *served]
        self.url = ""
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"at (http://\S+)", line)
        assert found, f"the server did not start: {line!r}"
        self.url = found[1]
        return self.url

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(params=["embedded", "served"])
def lake(request: pytest.FixtureRequest, _home: Path) -> Iterator[str]:
    """The lake in use: the embedded one, then the served one. Its value says which."""
    if request.param == "served":
        connect(request.getfixturevalue("served"))
    yield request.param
    connect()


@pytest.fixture(scope="session")
def juicefs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    """An S3 server whose store takes what LanceDB asks of one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with JuiceServer(tmp_path_factory.mktemp("juicefs"), port) as server:
        yield server


@pytest.fixture(params=["embedded", "served", "s3"])
def vector_lake(request: pytest.FixtureRequest, _home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The lake in use: the embedded one, the served one, and an embedded one whose bytes are in S3."""
    if request.param == "served":
        connect(request.getfixturevalue("served"))
    elif request.param == "s3":
        store: S3Store = request.getfixturevalue("juicefs")
        store.authorize(monkeypatch)
        connect(data=_home / "in-s3", storage=store.location("vectors"))
    yield request.param
    connect()


@pytest.fixture
def fresh_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty embedded lake in use, in a home of its own."""
    monkeypatch.setenv("DREAMLAKE_HOME", str(tmp_path / "home"))
    connect(data=tmp_path / "lake")
    yield tmp_path / "lake"
    connect()
    dl.close()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a small clip by its name, once."""
    return maker(tmp_path_factory.mktemp("clips"), SMALL)


@pytest.fixture
def unused_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def broken_video(served: str) -> Iterator[str]:
    """The id of a video whose bytes another client did not check, so that only the lake found them broken."""
    data = b"garbage" * 1000
    digest = hashlib.sha256(data).hexdigest()
    with httpx.Client(base_url=served) as client:

        def call(path: str, **body: object) -> dict[str, Any]:
            answer: dict[str, Any] = client.post(path, json=body).raise_for_status().json()
            return answer

        begun = call("/videos/upload/multipart/init", owner="bob", project="default", hash=digest[:16])
        upload = {"uploadId": begun["uploadId"], "key": begun["key"]}
        url = call("/videos/upload/multipart/parts", **upload, partNumbers=[1])["parts"]["1"]
        etag = client.put(url, content=data).raise_for_status().headers["etag"]
        call("/videos/upload/multipart/complete", **upload, parts=[{"partNumber": 1, "etag": etag}])
        name = {"name": "/garbage.mp4", "owner": "bob", "project": "default"}
        video = call("/videos", **name, stagingHash=digest[:16])["id"]
    connect(served)
    yield resource_id(VIDEO, video)
    connect()
