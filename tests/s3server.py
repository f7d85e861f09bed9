"""Real S3 servers for the tests: rclone on a folder, and the gateway of JuiceFS, which is MinIO's code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self
from urllib.parse import quote

import httpx
import pytest

BUCKET = "dreamlake-tests"
REGION = "us-east-1"


def program(name: str) -> str:
    """One that a package has brought, or the system's."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or name


class S3Store(ABC):
    """A server with one bucket, as a process of its own.

    Args:
        folder: of its own.
    """

    key, secret = "test-key", "test-secret"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.url = ""

    def __enter__(self) -> Self:
        self._process = self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    @abstractmethod
    def _start(self) -> subprocess.Popen[bytes]:
        """Start the server, set ``url``, and wait until it answers."""

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Point the environment at this server."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", self.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", self.key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", self.secret)

    def authorize(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Give the environment this server's credentials, and nothing else that AWS's tools would look at."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", self.key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", self.secret)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)

    def uri(self, key: str) -> str:
        """The URI of an object."""
        return f"s3://{BUCKET}/{key}"

    def location(self, prefix: str, url: str | None = None) -> str:
        """The location of a lake, at this server or at what stands in front of it."""
        return f"{self.uri(prefix)}?endpoint={quote(url or self.url, safe=':/')}&region={REGION}"


class S3Server(S3Store):
    """``rclone serve s3``, whose buckets are folders."""

    def _start(self) -> subprocess.Popen[bytes]:
        (self._folder / BUCKET).mkdir()
        access = ["--addr", "127.0.0.1:0", "--auth-key", f"{self.key},{self.secret}", "--config", "/dev/null"]
        # What is written beside the server is seen at once.
        fresh = ["--dir-cache-time", "1ms", "--vfs-cache-mode", "off"]
        command = [program("rclone"), "serve", "s3", *access, *fresh, str(self._folder)]
        log = self._folder.with_name(f"{self._folder.name}.log")
        with log.open("w") as said:  # a pipe that nobody reads would stop it
            process = subprocess.Popen(command, stderr=said)
        deadline = time.monotonic() + 30
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "rclone did not start"
            time.sleep(0.02)
        self.url = found[0]
        return process

    def put(self, key: str, data: bytes) -> str:
        """Store an object; returns its URI."""
        path = self._folder / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return self.uri(key)


class JuiceServer(S3Store):
    """``juicefs gateway``, on a volume in a folder. It keeps no metadata of objects.

    Args:
        folder: of its own.
        port: of this machine that nobody listens on.
    """

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder)
        self.url = f"http://127.0.0.1:{port}"

    def _start(self) -> subprocess.Popen[bytes]:
        meta, juicefs = f"sqlite3://{self._folder}/meta.db", program("juicefs")
        volume = ["--storage", "file", "--bucket", f"{self._folder}/blocks/", meta, "dreamlake"]
        options = ["--multi-buckets", "--keep-etag", "--log", f"{self._folder}/gateway.log"]
        with (self._folder / "log").open("w") as log:
            subprocess.run([juicefs, "format", *volume], check=True, stderr=log, stdout=log)
            process = subprocess.Popen(
                [juicefs, "gateway", *options, meta, self.url.removeprefix("http://")],
                env={**os.environ, "MINIO_ROOT_USER": self.key, "MINIO_ROOT_PASSWORD": self.secret},
                stderr=log,
                stdout=log,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(self.url)
                break
            except httpx.TransportError:
                assert process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline, "juicefs did not start"
                time.sleep(0.02)
        self._make_bucket()
        return process

    def _make_bucket(self) -> None:
        from botocore.config import Config
        from botocore.session import Session

        session = Session()
        session.set_credentials(self.key, self.secret)
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
        client = session.create_client("s3", region_name=REGION, endpoint_url=self.url, config=config)
        client.create_bucket(Bucket=BUCKET)
        client.close()
