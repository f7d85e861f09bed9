"""A lake that is far away: round trips and bytes of one cold frame, and how fast ``iterator()`` reads on.

The server is a process of its own, behind proxies that hold bytes back for 20 and 100 ms a round trip, or not at all.
Cold: nothing is in memory, and nothing is kept on disk. Connections are open already, as they are after the first call.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import dreamlake as dl
from benchmarks.bench import Bench, forget, served
from benchmarks.measure import RATE, Contender, Row, compare, interleave
from benchmarks.media import BIG, LONG, Recipe
from dreamlake.core.decodeplan import plan_runs
from tests.proxy import Proxy

__all__ = ["measure"]

LATENCY, FAR = 0.02, 0.1  # seconds of a round trip
TRIPS, BYTES, KEPT = 2, 1.2, 0.9  # the goals
AWAY, NEAR, EMBEDDED = "100 ms away", "the same server, 0 ms away", "embedded lake"


def measure(bench: Bench) -> list[Row]:
    """Single frames, and reading on."""
    recipes = [LONG, BIG]
    embedded = {recipe.name: bench.uploaded(bench.media.path(recipe)) for recipe in recipes}
    with ExitStack() as stack:
        stack.enter_context(_nothing_on_disk())
        url = stack.enter_context(served(bench.folder / "remote-served"))
        near, later, far = (stack.enter_context(Proxy(url, latency)) for latency in (0.0, LATENCY, FAR))
        rows = []
        for recipe in recipes:
            dl.connect(url)
            video_id = dl.upload(bench.media.path(recipe), progress=False).id
            assert video_id is not None
            rows += _frames(bench, recipe, video_id, near, later)
            if bench.quick and recipe is BIG:
                continue
            count = bench.pick(6000, 2500) if recipe is LONG else 1500
            clips = [
                (AWAY, _Reader(video_id, count, lambda: dl.connect(far.url))),
                (NEAR, _Reader(video_id, count, lambda: dl.connect(near.url))),
                (EMBEDDED, _Reader(embedded[recipe.name], count, lambda: dl.connect(data=bench.lake))),
            ]
            contenders = [Contender(name, reader.read, reader.load) for name, reader in clips]
            seconds = interleave(contenders, bench.pick(3, 2), warmup=0)
            rows += [
                compare(f"iterator {AWAY}, {recipe.name}", RATE, count, seconds, AWAY, peer, KEPT)
                for peer in (NEAR, EMBEDDED)
            ]
        dl.connect(data=bench.lake)
    return rows


@dataclass
class _Reader:
    """Reads a video on from its start, with nothing but its index there beforehand."""

    video_id: str
    count: int
    connect: Callable[[], object]
    clip: Any = None

    def load(self) -> None:
        self.connect()
        self.clip = dl.load_video(self.video_id)[: self.count]
        forget()

    def read(self) -> None:
        for _ in self.clip.iterator():
            pass
        self.clip = None


@dataclass
class _Step:
    """One step on the way to a frame, behind a proxy that counts what it takes."""

    proxy: Proxy
    run: Callable[[], object]
    requests: list[int] = field(default_factory=list)
    nbytes: list[int] = field(default_factory=list)

    def counted(self) -> None:
        self.requests.append(len(self.proxy.requests))
        self.nbytes.append(self.proxy.sent + self.proxy.received)


def _frames(bench: Bench, recipe: Recipe, video_id: str, near: Proxy, later: Proxy) -> list[Row]:
    """Loading a video, its first frame after that, and a frame from elsewhere in it: each behind both proxies."""
    chance = random.Random(5)
    hands: dict[Proxy, Any] = {}  # the video in hand, by the lake it was loaded from
    needed: dict[str, list[int]] = {"first": [], "another": []}
    steps: dict[tuple[str, Proxy], _Step] = {}
    frame = 0

    def load(proxy: Proxy) -> None:
        hands[proxy] = dl.load_video(video_id)

    def read(proxy: Proxy) -> None:
        hands[proxy][frame].numpy()

    def before(proxy: Proxy, what: str) -> None:
        nonlocal frame
        dl.connect(proxy.url)
        if what == "load":
            hands.pop(proxy, None)
        elif proxy is near:
            index = hands[proxy]._index()
            frame = chance.choice(hands[proxy].keyframes.tolist())  # decoding must not be what takes the time
            needed[what].append(sum(int(index.segment_size[at]) for at in plan_runs(index, [frame])[0].segments))
        forget()
        proxy.reset()

    contenders = []
    for what in ("load", "first", "another"):
        for proxy in (near, later):
            step = steps[what, proxy] = _Step(proxy, load if what == "load" else read)
            contenders.append(
                Contender(
                    f"{what} {proxy.url}",
                    lambda step=step: step.run(step.proxy),
                    lambda proxy=proxy, what=what: before(proxy, what),
                    step.counted,
                )
            )
    rounds = bench.pick(15, 7)
    seconds = interleave(contenders, rounds, warmup=2)
    rows = []
    for what, title in (
        ("load", "load_video"),
        ("first", "first cold frame after it"),
        ("another", "another cold frame"),
    ):
        # What else the machine does only ever adds, and soon more than a round trip: the quickest runs are compared.
        trips = (min(seconds[f"{what} {later.url}"]) - min(seconds[f"{what} {near.url}"])) / LATENCY
        step = steps[what, later]
        work = f"{title}, {recipe.name}"
        goal = {"goal": f"≤ {TRIPS} round trips", "met": round(trips) <= TRIPS} if what != "load" else {}
        asked = f"{median(step.requests[-rounds:]):.0f} requests, 20 ms away"
        rows.append(Row(work, f"{trips:.1f} round trips", asked, better="lower", **goal))
        if what != "load":
            ratio = sum(step.nbytes) / sum(needed[what])
            sizes = f"{median(step.nbytes) / 1e6:.2f} MB", f"its segments: {median(needed[what]) / 1e6:.2f} MB"
            rows.append(Row(work, *sizes, f"{ratio:.2f}", "", "lower", f"≤ {BYTES:g}", ratio <= BYTES))
    return rows


@contextmanager
def _nothing_on_disk() -> Iterator[None]:
    os.environ["DREAMLAKE_CACHE_BYTES"] = "0"
    try:
        yield
    finally:
        del os.environ["DREAMLAKE_CACHE_BYTES"]
