"""A real S3 server for the tests: rclone, on a folder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

BUCKET = "dreamlake-tests"


class S3Server:
    """``rclone serve s3`` as a process of its own.

    Args:
        folder: whose folders are the buckets.
    """

    key, secret = "test-key", "test-secret"

    def __init__(self, folder: Path) -> None:
        self._bucket = folder / BUCKET
        self._bucket.mkdir(parents=True)
        self.url = ""

    def __enter__(self) -> Self:
        rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}") or "rclone"
        access = ["--addr", "127.0.0.1:0", "--auth-key", f"{self.key},{self.secret}", "--config", "/dev/null"]
        # What is written beside the server is seen at once.
        fresh = ["--dir-cache-time", "0s", "--vfs-cache-mode", "off"]
        self._process = subprocess.Popen(
            [rclone, "serve", "s3", *access, *fresh, str(self._bucket.parent)], stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                self.url = found[0]
                return self
        raise AssertionError("rclone did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Point the environment at this server."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", self.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", self.key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", self.secret)

    def uri(self, key: str) -> str:
        """The URI of an object."""
        return f"s3://{BUCKET}/{key}"

    def put(self, key: str, data: bytes) -> str:
        """Store an object; returns its URI."""
        path = self._bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return self.uri(key)
