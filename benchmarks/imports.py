"""``import dreamlake``, ms: what it adds to a bare interpreter, and which heavy modules it loads (none should be).

Processes are started in turn, and each round's bare interpreter is taken off. Processor time is shown too: it hardly
depends on what else the machine does. ``import numpy``, which is part of it, stands beside it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from statistics import median

from benchmarks.bench import Bench
from benchmarks.measure import MILLISECONDS, Row, compare

__all__ = ["measure"]

HEAVY = ("av", "torch", "litestar", "lancedb")
GOAL = 150.0  # ms
BARE, OURS, NUMPY = "bare interpreter", "dreamlake", "numpy"
STATEMENTS = {BARE: "pass", OURS: "import dreamlake", NUMPY: "import numpy"}


def measure(bench: Bench) -> list[Row]:
    """Time on the clock, time of the processor, and the modules."""
    rounds = bench.pick(25, 9)
    clock: dict[str, list[float]] = {OURS: [], NUMPY: []}
    processor: dict[str, list[float]] = {OURS: [], NUMPY: []}
    for number in range(-1, rounds):
        taken = {name: _run(statement) for name, statement in STATEMENTS.items()}
        if number >= 0:
            for name in (OURS, NUMPY):
                clock[name].append(taken[name][0] - taken[BARE][0])
                processor[name].append(taken[name][1] - taken[BARE][1])
    rows = []
    for what, seconds in (("on the clock", clock), ("of the processor", processor)):
        row = compare(f"import dreamlake, {what}", MILLISECONDS, 1, seconds, OURS, NUMPY)
        goal, met = f"< {GOAL:g} ms", median(seconds[OURS]) * 1e3 < GOAL
        rows.append(Row(row.work, row.ours, row.peer, row.ratio, row.spread, row.better, goal, met))
    loaded = _loaded()
    heavy = Row(
        "heavy modules that it loads",
        ", ".join(loaded) or "none",
        f"of {', '.join(HEAVY)}",
        goal="none",
        met=not loaded,
    )
    return [*rows, heavy]


def _run(statement: str) -> tuple[float, float]:
    """Seconds on the clock and of the processor that a process takes."""
    before, begun = _processor(), time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - begun, _processor() - before


def _processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _loaded() -> list[str]:
    script = f"import dreamlake, sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
