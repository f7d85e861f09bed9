"""The storages that the tests run over: a folder, and two real S3 servers."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from dreamlake.server.storage import Storage, open_storage
from tests.s3server import JuiceServer, S3Server, S3Store


@dataclass(frozen=True)
class Store:
    """A place of one test's own in one of the storages.

    Attributes:
        name: local, rclone or juicefs.
        location: for ``open_storage``.
        scratch: a folder.
        server: of S3; None for the folder.
        prefix: of the keys in the bucket of the tests.
    """

    name: str
    location: str
    scratch: Path
    server: S3Store | None = None
    prefix: str = ""

    def open(self) -> Storage:
        return open_storage(self.location, self.scratch)

    def behind(self, url: str) -> Storage:
        """The same place, reached through what stands in front of the server."""
        assert self.server is not None
        return open_storage(self.server.location(self.prefix, url), self.scratch)


class Stores:
    """Starts each server when it is first needed, and ends them all.

    Args:
        folder: for what they keep.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, S3Store] = {}
        self._stack = ExitStack()

    def server(self, name: str, port: int) -> S3Store:
        """One of the S3 servers."""
        if name not in self._running:
            folder = self._folder / name
            made = S3Server(folder) if name == "rclone" else JuiceServer(folder, port)
            self._running[name] = self._stack.enter_context(made)
        return self._running[name]

    def close(self) -> None:
        """End the servers."""
        self._stack.close()


def make_store(name: str, stores: Stores, port: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A place that nothing else uses."""
    scratch = folder / "scratch"
    if name == "local":
        return Store(name, str(folder / "store"), scratch)
    server = stores.server(name, port)
    server.authorize(monkeypatch)
    prefix = f"tests/{secrets.token_hex(6)}"
    return Store(name, server.location(prefix), scratch, server, prefix)
