"""Measuring in pairs: ours, peer, ours, peer …, so that what else the machine does hits both alike.

A time alone says little about software; the ratio of two that were taken right after each other does. Each round gives
one ratio, ours ÷ peer. The table shows medians, and as the spread the middle half of the rounds' ratios.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["MEGABYTES", "MILLISECONDS", "RATE", "Contender", "Row", "Unit", "compare", "interleave", "show"]

NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Unit:
    """How seconds become the number that is shown.

    Attributes:
        name: such as ``frames/s``.
        better: which direction is better.
        scale: what one unit of the amount, or of a second, counts.
    """

    name: str
    better: Literal["higher", "lower"]
    scale: float = 1.0

    def value(self, amount: float, seconds: float) -> float:
        """The number for an amount of work done in so many seconds."""
        return (amount / seconds if self.better == "higher" else seconds / amount) * self.scale

    def text(self, value: float) -> str:
        """The number with its unit."""
        return f"{_digits(value)} {self.name}"


RATE = Unit("frames/s", "higher")
MEGABYTES = Unit("MB/s", "higher", 1e-6)
MILLISECONDS = Unit("ms", "lower", 1e3)


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        name: as the table shows it.
        run: does the work, and only this is timed; None for a peer that is not installed.
        before: makes ready for a run.
        after: takes away what a run has left.
    """

    name: str
    run: Callable[[], object] | None
    before: Callable[[], object] = field(default=lambda: None)
    after: Callable[[], object] = field(default=lambda: None)

    def seconds(self) -> float:
        """Do the work once."""
        assert self.run is not None
        self.before()
        begun = time.perf_counter()
        result = self.run()
        seconds = time.perf_counter() - begun
        del result  # giving memory back is not part of the work
        self.after()
        return seconds


@dataclass(frozen=True)
class Row:
    """One line of the table, as text; ``met`` says whether the goal was reached."""

    work: str
    ours: str
    peer: str
    ratio: str = ""
    spread: str = ""
    better: str = ""
    goal: str = ""
    met: bool | None = None


def interleave(contenders: Sequence[Contender], rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Run all contenders in turn, round after round.

    Returns:
        The seconds of each contender's runs, by its name; without those of the warm-up.
    """
    present = [contender for contender in contenders if contender.run is not None]
    seconds: dict[str, list[float]] = {contender.name: [] for contender in present}
    for number in range(-warmup, rounds):
        for contender in present:
            taken = contender.seconds()
            if number >= 0:
                seconds[contender.name].append(taken)
    return seconds


def compare(
    work: str,
    unit: Unit,
    amount: float,
    seconds: dict[str, list[float]],
    ours: str,
    peer: str,
    goal: float | None = None,
) -> Row:
    """The row of one pair.

    Args:
        work: what was done.
        unit: of the values.
        amount: of work in one run: frames, bytes, requests.
        seconds: from ``interleave``.
        ours: the name of our contender.
        peer: the name of the other.
        goal: the ratio that ours should reach: at least where higher is better, at most where lower is.
    """
    mine = [unit.value(amount, taken) for taken in seconds[ours]]
    shown = unit.text(median(mine))
    wanted = "" if goal is None else f"{'≥' if unit.better == 'higher' else '≤'} {goal:g}"
    if peer not in seconds:
        return Row(work, shown, f"{peer}: {NOT_INSTALLED}", better=unit.better, goal=wanted)
    theirs = [unit.value(amount, taken) for taken in seconds[peer]]
    ratios = [one / other for one, other in zip(mine, theirs, strict=True)]
    middle = median(ratios)
    met = None if goal is None else (middle >= goal if unit.better == "higher" else middle <= goal)
    low, high = np.quantile(ratios, (0.25, 0.75))
    other = f"{peer}: {unit.text(median(theirs))}"
    return Row(work, shown, other, f"{middle:.2f}", f"{low:.2f} to {high:.2f}", unit.better, wanted, met)


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for heading in ("work", "ours", "peer", "ratio", "spread", "better", "goal"):
        table.add_column(heading, justify="right" if heading in ("ours", "ratio") else "left", overflow="fold")
    for row in rows:
        goal = row.goal if row.met is None else f"{row.goal} {'met' if row.met else 'MISSED'}"
        style = "bold" if row.met is False else None
        table.add_row(row.work, row.ours, row.peer, row.ratio, row.spread, row.better, goal, style=style)
    console.print(table)
    console.print(
        "ratio = ours ÷ peer, the median of pairs measured in turn; spread = the middle half of them; "
        "better = which way ours is better off, for values and ratio alike."
    )


def _digits(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
