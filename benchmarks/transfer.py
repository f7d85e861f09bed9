"""Upload into a lake in S3, MB/s: a large file and many small ones, against s3transfer and rclone on the same server.

Ours ends with an asset that is registered: the file is hashed before it is sent, its parts travel with their SHA-256,
and the lake has compared the whole with its digest. The peers put an object into the same bucket, and rclone hashes the
file first where it is told to keep its MD5, as it is unless told otherwise. So there are two lines: the transfer alone
(ours from the first byte that is sent to the answer that all are there, and rclone without its MD5), and from end to
end. The server compares our parts with their SHA-256; s3transfer has it do that where it signs what it sends, which it
does not by itself. All of it runs on this machine, and the server's work is part of every time.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path

import dreamlake as dl
from benchmarks.bench import Bench, served
from benchmarks.gateway import BUCKET, REGION, Gateway, program
from benchmarks.measure import MEGABYTES, Contender, Row, Unit, compare, interleave
from benchmarks.memory import peak

__all__ = ["measure"]

FILES = Unit("files/s", "higher")
PART = 10 * 1024**2
PARALLEL = 4
SMALL_PARALLEL = 10
MIB = 1024**2
LAKE, PEERS = "lake/", "peers/"  # what keys begin with
LINE = 64 * 1024  # bytes of a line of a label-track
OURS, ALONE = "dreamlake", "dreamlake, alone"
S3TRANSFER, S3TRANSFER_SIGNED = "s3transfer", "s3transfer, signed"
RCLONE, RCLONE_ALONE, HASH = "rclone", "rclone, no MD5", "sha256 loop"
FASTER, WHOLE, KNOWN, MANY = 1.0, 0.8, 0.9, 1.0  # the goals


def measure(bench: Bench) -> list[Row]:
    """A large file, the same file again, small files, and the memory of the client."""
    size, files = bench.pick(2048, 256) * MIB, bench.pick(2000, 200)
    work = bench.folder / "transfer"
    large = sound(work / "large.wav", size)
    small = [labels(work / "small" / f"{number}.jsonl", MIB) for number in range(files)]
    with ExitStack() as stack:
        gateway = stack.enter_context(Gateway(work / "gateway"))
        storage = f"s3://{BUCKET}/{LAKE}?endpoint={gateway.url}&region={REGION}"
        # In the environment for as long as this runs: the lake inherits it.
        stack.callback(partial(_restore, dict(os.environ)))
        os.environ.update(gateway.environment)
        url = stack.enter_context(served(work / "lake", "--storage", storage))
        dl.connect(url)
        ours = _Ours()
        rows = _large(bench, gateway, ours, large)
        rows += _small(bench, gateway, ours, small)
        rows += _memory(gateway, url, large)
    dl.connect(data=bench.lake)
    return rows


def _large(bench: Bench, gateway: Gateway, ours: _Ours, path: Path) -> list[Row]:
    size, rounds = path.stat().st_size, bench.pick(3, 2)
    fresh = partial(freshen, [path])
    contenders = [
        Contender(OURS, partial(ours.upload, path), fresh, partial(ours.tidy, gateway)),
        *(replace(peer, before=fresh) for peer in large_peers(gateway, path)),
    ]
    seconds = interleave(contenders, rounds, warmup=bench.pick(1, 0))
    seconds[ALONE] = ours.alone[-rounds:]
    name = f"{size // MIB:,} MiB into S3"
    rows = [
        compare(f"{name}, transfer alone", MEGABYTES, size, seconds, ALONE, S3TRANSFER, FASTER),
        compare(f"{name}, transfer alone", MEGABYTES, size, seconds, ALONE, S3TRANSFER_SIGNED),
        compare(f"{name}, transfer alone", MEGABYTES, size, seconds, ALONE, RCLONE_ALONE),
        compare(f"{name}, end to end", MEGABYTES, size, seconds, OURS, S3TRANSFER, WHOLE),
        compare(f"{name}, end to end", MEGABYTES, size, seconds, OURS, RCLONE),
    ]
    fresh()
    ours.upload(path)
    ours.rest()
    again = interleave([Contender(OURS, partial(ours.upload, path)), Contender(HASH, partial(_hash, path))], rounds)
    ours.tidy(gateway)
    return [*rows, compare(f"{size // MIB:,} MiB that the lake has", MEGABYTES, size, again, OURS, HASH, KNOWN)]


def large_peers(gateway: Gateway, path: Path) -> list[Contender]:
    """What others take for a large file."""
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=PARALLEL)
    client, signing = gateway.client(PARALLEL), gateway.client(PARALLEL, signed=True)
    chunks = ["--s3-chunk-size", "10M", "--s3-upload-concurrency", str(PARALLEL), "--s3-upload-cutoff", "10M"]

    def rclone(*options: str) -> None:
        remote = f":s3,provider=Other,env_auth=true,region={REGION},endpoint='{gateway.url}':{BUCKET}/{PEERS}rclone"
        quiet = ["--config", os.devnull, "--s3-no-check-bucket", "--ignore-times", "--quiet"]
        command = [program("rclone"), "copy", str(path), remote, *chunks, *quiet, *options]
        subprocess.run(command, check=True, env={**os.environ, **gateway.environment})

    target = (str(path), BUCKET, f"{PEERS}s3transfer")
    empty = partial(gateway.empty, PEERS)
    return [
        Contender(S3TRANSFER, partial(client.upload_file, *target, Config=config), after=empty),
        Contender(S3TRANSFER_SIGNED, partial(signing.upload_file, *target, Config=config), after=empty),
        Contender(RCLONE, rclone, after=empty),
        Contender(RCLONE_ALONE, partial(rclone, "--s3-disable-checksum"), after=empty),
    ]


def _small(bench: Bench, gateway: Gateway, ours: _Ours, paths: Sequence[Path]) -> list[Row]:
    fresh = partial(freshen, paths)
    contenders = [
        Contender(OURS, partial(ours.upload_many, paths), fresh, ours.rest),
        *(replace(peer, before=fresh) for peer in small_peers(gateway, paths)),
    ]
    seconds = interleave(contenders, bench.pick(3, 2), warmup=bench.pick(1, 0))
    return [compare(f"{len(paths):,} files of 1 MiB into S3", FILES, len(paths), seconds, OURS, S3TRANSFER, MANY)]


def small_peers(gateway: Gateway, paths: Sequence[Path]) -> list[Contender]:
    """What others take for many small files."""
    from s3transfer.manager import TransferConfig, TransferManager

    client = gateway.client(SMALL_PARALLEL)

    def upload() -> None:
        with TransferManager(client, TransferConfig(max_request_concurrency=SMALL_PARALLEL)) as manager:
            sent = [manager.upload(str(path), BUCKET, f"{PEERS}small/{path.name}") for path in paths]
            for one in sent:
                one.result()

    return [Contender(S3TRANSFER, upload, after=partial(gateway.empty, PEERS))]


def _memory(gateway: Gateway, url: str, path: Path) -> list[Row]:
    """The peak of a client of its own that sends the large file once."""
    peaks = {}
    for name in (OURS, S3TRANSFER):
        freshen([path])
        arguments = json.dumps([name, url if name == OURS else gateway.url, str(path)])
        command = [sys.executable, "-m", "benchmarks.transfer"]
        answer = subprocess.run(command, input=arguments, check=True, stdout=subprocess.PIPE, text=True).stdout
        peaks[name] = float(answer)
    gateway.empty(PEERS)
    mine, theirs = peaks[OURS], peaks[S3TRANSFER]
    work = f"peak RSS of the client, {path.stat().st_size // MIB:,} MiB"
    return [Row(work, f"{mine:.0f} MB", f"{S3TRANSFER}: {theirs:.0f} MB", f"{mine / theirs:.2f}", better="lower")]


@dataclass
class _Ours:
    """Our client, and how long its transfers alone have taken."""

    alone: list[float] = field(default_factory=list)
    _last: list[dl.Asset] = field(default_factory=list)
    _runs: Iterator[int] = field(default_factory=partial(count, 1))

    def upload(self, path: Path) -> None:
        times: list[float] = []

        def look(event: dl.UploadEvent) -> None:
            if event.stage == "upload":
                times.append(time.perf_counter())

        self._last = [dl.upload(path, space="bench@bench", wait=False, progress=look)]
        self.alone.append(times[-1] - times[0])

    def upload_many(self, paths: Sequence[Path]) -> None:
        prefix = f"/small/{next(self._runs)}"
        report = dl.upload_many(
            paths, space="bench@bench", prefix=prefix, concurrency=SMALL_PARALLEL, wait=False, progress=False
        )
        assert not report.failures, report.failures
        self._last = list(report.assets)

    def rest(self) -> None:
        """Let the lake end what it does with the files: the next round shall not share the machine with it."""
        for asset in self._last:
            while (status := asset.metadata().status) == "processing":
                time.sleep(0.1)
            assert status == "ready", status
        os.sync()

    def tidy(self, gateway: Gateway) -> None:
        """Take the large file away too, once the lake has cut it up: many of them fill a disk."""
        self.rest()
        gateway.empty(f"{LAKE}bench/bench/staging/")


# Material.


def sound(path: Path, size: int) -> Path:
    """A recording of noise of so many bytes: what is large in a lake is media, and not text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = size - 44
    rate, frame = 48_000, 4
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, rate, rate * frame, frame, 16)
    with path.open("wb") as file:
        file.write(struct.pack("<4sI4s", b"RIFF", size - 8, b"WAVE") + layout + struct.pack("<4sI", b"data", data))
        for at in range(0, data, MIB):
            file.write(os.urandom(min(MIB, data - at)))
    return path


def labels(path: Path, size: int) -> Path:
    """A label-track of so many bytes, in lines of 64 KiB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for number in range(size // LINE):
            head, tail = b'{"ts": %.1f, "dt": 0.5, "text": "' % (1000 + number / 2), b'"}\n'
            rest = LINE - len(head) - len(tail)
            file.write(head + base64.b64encode(os.urandom(rest * 3 // 4 + 3))[:rest] + tail)
    return path


def freshen(paths: Sequence[Path]) -> None:
    """Change a text in every part of the files, so that no lake knows them, and let the disk come to rest."""
    for path in paths:
        with path.open("r+b") as file:
            for at in range(LINE // 2, path.stat().st_size, PART):  # far from the ends of a line
                file.seek(at // LINE * LINE + LINE // 2)
                file.write(os.urandom(8).hex().encode())
    os.sync()


def _hash(path: Path) -> None:
    digest = sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(MIB):
            digest.update(block)


def _restore(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _main() -> None:
    """Send a file once, and print the peak of this process's memory in MB."""
    name, url, path = json.load(sys.stdin)
    if name == OURS:
        dl.connect(url)
        dl.upload(path, space="bench@bench", wait=False, progress=False)
    else:
        import boto3
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=PARALLEL)
        boto3.client("s3", endpoint_url=url).upload_file(path, BUCKET, f"{PEERS}s3transfer", Config=config)
    print(peak())


if __name__ == "__main__":
    _main()
