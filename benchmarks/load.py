"""A served lake under load, requests/s: 200 clients at once that list, look up and read playlists, beside a bare route.

The peer is a route of Litestar that answers with a small constant, behind the same uvicorn: no database, no storage,
no log. What it reaches is what the framework leaves to us, so the ratio says what a request costs beyond it. No request
may fail. The lake logs every request to a file, as an operator's does. Clients are coroutines of this process that
write bare HTTP over connections that stay open, and take cores from the server like neighbours do.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from benchmarks.bench import Bench, served
from benchmarks.measure import MILLISECONDS, Row, Unit, compare
from benchmarks.media import SMALL

__all__ = ["measure"]

CLIENTS = 200
ASSETS, PLAYLISTS, BATCH = 3000, 20, 250
ROUNDS = 4
WHERE = "owner=bench&project=load"
REQUESTS = Unit("requests/s", "higher")
BARE = "bare Litestar route"

BARE_APP = """
import socket, uvicorn
from litestar import Litestar, get

@get("/")
async def bare() -> dict[str, str]:
    return {"status": "ok"}

listener = socket.create_server(("127.0.0.1", 0), backlog=512)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
print(f"at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
config = uvicorn.Config(Litestar([bare], logging_config=None), access_log=False, log_level="warning")
uvicorn.Server(config).run(sockets=[listener])
"""


@dataclass(frozen=True)
class Known:
    """What is in the lake: names, and the paths of playlists."""

    names: list[str]
    ids: list[str]
    playlists: list[str]


# What a client asks for next, and how often among the others.
ROUTES: dict[str, tuple[int, Callable[[Known], str]]] = {
    "list": (1, lambda known: f"/videos?{WHERE}&limit=20&cursor={random.choice(known.ids)}"),
    "look up": (2, lambda known: f"/assets/download?namespace=bench&space=load&path={random.choice(known.names)}"),
    "playlist": (2, lambda known: random.choice(known.playlists)),
}


@dataclass
class Taken:
    """What a load has measured: seconds of each answer by its kind, those that were no 200, and how long it took."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    whole: float = 0.0

    @property
    def count(self) -> int:
        return sum(len(seconds) for seconds in self.seconds.values())


def measure(bench: Bench) -> list[Row]:
    """The lake and the bare route in turn."""
    spell = bench.pick(60, 10) / ROUNDS
    with served(bench.folder / "load") as url, _bare() as bare:
        known = _fill(url, bench.media.path(SMALL))
        weights = [kind for kind, (weight, _) in ROUTES.items() for _ in range(weight)]

        def ours() -> tuple[str, str]:
            kind = random.choice(weights)
            return kind, ROUTES[kind][1](known)

        rounds: dict[str, list[Taken]] = {"lake": [], BARE: []}
        for number in range(-1, ROUNDS):
            for name, place, ask in (("lake", url, ours), (BARE, bare, lambda: (BARE, "/"))):
                taken = asyncio.run(_load(place, ask, spell if number >= 0 else 1.0))
                if taken.errors:
                    raise RuntimeError(f"{len(taken.errors)} of {taken.count} requests failed: {taken.errors[0]}")
                if number >= 0:
                    rounds[name].append(taken)
    per_request = {name: [taken.whole / taken.count for taken in found] for name, found in rounds.items()}
    rows = [compare(f"{CLIENTS} clients, all they ask", REQUESTS, 1, per_request, "lake", BARE)]
    for kind in [*ROUTES, "any"]:
        for share in (50, 99):
            seconds = {name: [_quantile(taken, kind, share) for taken in found] for name, found in rounds.items()}
            rows.append(compare(f"{CLIENTS} clients, {kind}, p{share}", MILLISECONDS, 1, seconds, "lake", BARE))
    return rows


def _quantile(taken: Taken, kind: str, share: int) -> float:
    seconds = taken.seconds.get(kind) or [one for found in taken.seconds.values() for one in found]
    return float(np.percentile(seconds, share))


async def _load(url: str, ask: Callable[[], tuple[str, str]], seconds: float) -> Taken:
    taken = Taken()
    begun = time.perf_counter()
    await asyncio.gather(*(_client(url, ask, begun + seconds, taken) for _ in range(CLIENTS)))
    taken.whole = time.perf_counter() - begun
    return taken


async def _client(url: str, ask: Callable[[], tuple[str, str]], until: float, taken: Taken) -> None:
    """One client after the other answer; HTTP as far as these servers use it."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    while (asked := time.perf_counter()) < until:
        kind, path = ask()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
        except (OSError, asyncio.IncompleteReadError) as error:
            taken.errors.append(f"{path}: {error!r}")
            break
        taken.seconds.setdefault(kind, []).append(time.perf_counter() - asked)
        if not head.startswith(b"HTTP/1.1 200 ") or not body:
            taken.errors.append(f"{path}: {head[:200]!r} {body[:200]!r}")
    writer.close()


@contextmanager
def _bare() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", BARE_APP], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def _fill(url: str, clip: Path) -> Known:
    """Thousands of assets of one file, some of them processed."""
    data = clip.read_bytes()
    digest = sha256(data).hexdigest()[:16]
    names = [f"/camera/{number % 50:02}/run-{number:05}.mp4" for number in range(ASSETS)]
    with httpx.Client(base_url=url, timeout=120) as http:

        def post(path: str, **body: Any) -> Any:
            return http.post(path, json=body).raise_for_status().json()

        upload = post("/videos/upload/multipart/init", owner="bench", project="load", hash=digest)
        target = {"uploadId": upload["uploadId"], "key": upload["key"]}
        part = post("/videos/upload/multipart/parts", **target, partNumbers=[1])["parts"]["1"]
        etag = http.put(part, content=data).raise_for_status().headers["etag"]
        post("/videos/upload/multipart/complete", **target, parts=[{"partNumber": 1, "etag": etag}])
        ids: list[str] = []
        for at in range(0, ASSETS, BATCH):
            some = names[at : at + BATCH]
            assets = [{"name": name, "owner": "bench", "project": "load", "stagingHash": digest} for name in some]
            made = post("/batch/finish", items=[{"kind": "video", "asset": asset} for asset in assets])["items"]
            new = [item["registered"]["id"] for item in made]
            nodes = [
                {"kind": "video", "namespace": "bench", "space": "load", "name": name, "bssVideoId": asset_id}
                for name, asset_id in zip(some, new, strict=True)
            ]
            assert all("created" in item for item in post("/batch/assets", items=nodes)["items"])
            ids += new
        for asset_id in ids[:PLAYLISTS]:
            post("/lambdas/hls-split", videoId=asset_id)
        playlists = []
        for asset_id in ids[:PLAYLISTS]:
            while (meta := http.get(f"/videos/{asset_id}").json())["status"] != "ready":
                assert meta["status"] != "failed", meta
                time.sleep(0.05)
            playlists += [f"/videos/{asset_id}/stream/{stream}.m3u8" for stream in meta["streams"]]
    return Known(names, sorted(ids)[: ASSETS - 100], playlists)
