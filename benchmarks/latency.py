"""One small request, ms: ``GET /healthz`` of an embedded lake against a served one over TCP.

Both go through the SDK's client of a lake, so it is what each of a user's calls pays at least.
"""

from __future__ import annotations

import dreamlake as dl
from benchmarks.bench import Bench, served
from benchmarks.measure import MILLISECONDS, Contender, Row, compare, interleave
from dreamlake._sync.lake import Lake

__all__ = ["measure"]

EMBEDDED, SERVED = "embedded", "served over TCP"


def measure(bench: Bench) -> list[Row]:
    """Many requests, one after the other."""
    requests = bench.pick(25, 20)
    with served(bench.folder / "latency-served") as url:
        lakes = {EMBEDDED: Lake(dl.connect(data=bench.lake)), SERVED: Lake(dl.connect(url))}
        contenders = [Contender(name, lambda lake=lake: _ask(lake, requests)) for name, lake in lakes.items()]
        seconds = interleave(contenders, bench.pick(9, 5))
    return [compare("GET /healthz, embedded lake", MILLISECONDS, requests, seconds, EMBEDDED, SERVED)]


def _ask(lake: Lake, requests: int) -> None:
    for _ in range(requests):
        lake.send("GET", f"{lake.address.bss_url}/healthz")
