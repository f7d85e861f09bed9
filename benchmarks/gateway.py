"""An S3 server to measure against: the gateway of JuiceFS, which speaks S3 with MinIO's code, over a folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

__all__ = ["BUCKET", "REGION", "Gateway", "program"]

BUCKET, REGION = "bench", "us-east-1"
CONNECTIONS = 10


def program(name: str) -> str:
    """A program that a package has brought, or the system's."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or name


class Gateway:
    """``juicefs gateway`` as a process of its own, with an empty bucket.

    Args:
        folder: of its own.

    Attributes:
        url: of the server.
        environment: what clients need in theirs.
    """

    key, secret = "bench-key", "bench-secret"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret, "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }  # fmt: skip

    def __enter__(self) -> Self:
        metadata = f"sqlite3://{self._folder / 'metadata.db'}"
        with (self._folder / "log").open("w") as log:
            to_log = {"stdout": log, "stderr": log}
            store = ["--storage", "file", "--bucket", f"{self._folder / 'blocks'}/", "--trash-days", "0"]
            subprocess.run([program("juicefs"), "format", *store, metadata, "bench"], check=True, **to_log)
            address = self.url.removeprefix("http://")
            access = {"MINIO_ROOT_USER": self.key, "MINIO_ROOT_PASSWORD": self.secret}
            command = [program("juicefs"), "gateway", "--multi-buckets", "--keep-etag", metadata, address]
            self._process = subprocess.Popen(command, env={**os.environ, **access}, **to_log)
        self._wait()
        self.client().create_bucket(Bucket=BUCKET)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def client(self, connections: int = CONNECTIONS, *, signed: bool = False) -> Any:
        """A client of boto3, with as many connections as threads will use; one that signs the bytes it sends too."""
        import boto3
        from botocore.config import Config

        config = Config(s3={"addressing_style": "path"}, max_pool_connections=connections)
        if signed:  # a checksum of botocore's own would take the place of the signed one
            signing = {"addressing_style": "path", "payload_signing_enabled": True}
            config = config.merge(Config(s3=signing, request_checksum_calculation="when_required"))
        access = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret, "region_name": REGION}
        return boto3.client("s3", endpoint_url=self.url, config=config, **access)

    def empty(self, prefix: str) -> None:
        """Delete the objects whose keys begin so, and let the disk come to rest."""
        client = self.client()
        with ThreadPoolExecutor(
            CONNECTIONS
        ) as pool:  # this server wants an MD5 with lists of them, and boto3 sends none
            while found := client.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents"):
                list(pool.map(lambda one: client.delete_object(Bucket=BUCKET, Key=one["Key"]), found))
        os.sync()

    def _wait(self) -> None:
        for _ in range(600):
            with suppress(URLError, ConnectionError):
                try:
                    urlopen(f"{self.url}/minio/health/live", timeout=1).close()
                except HTTPError:
                    return
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"the gateway did not start: {(self._folder / 'log').read_text()[-500:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
