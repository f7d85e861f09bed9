"""Bulk inference as values: what is asked for, what it will cost, and what became of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from hashlib import sha256

from msgspec import Struct

from dreamlake.errors import DreamlakeError, UsageError

__all__ = [
    "MAX_CONCURRENCY", "TRIES", "Budget", "BulkEvent", "BulkOptions", "CostEstimate", "FailedRow", "PredictOptions",
    "PredictResult", "idempotency_key",
]  # fmt: skip

TRIES = 3
MAX_CONCURRENCY = 256


@dataclass(frozen=True)
class PredictOptions:
    """How rollouts are made; None leaves a choice to the model.

    Attributes:
        seed: of the noise.
        num_steps: of denoising.
        guidance: strength of the condition.

    Raises:
        UsageError: a value that cannot be.
    """

    seed: int | None = None
    num_steps: int | None = None
    guidance: float | None = None

    def __post_init__(self) -> None:
        if self.num_steps is not None and self.num_steps < 1:
            raise UsageError(f"num_steps is at least 1, and not {self.num_steps}")
        if self.guidance is not None and not math.isfinite(self.guidance):
            raise UsageError(f"guidance is a number, and not {self.guidance}")

    def fields(self) -> dict[str, str]:
        """The fields of the form, in text."""
        given = {"seed": self.seed, "num_steps": self.num_steps, "guidance": self.guidance}
        return {name: repr(value) for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class BulkOptions:
    """How the rows of a source are worked through.

    Attributes:
        concurrency: requests that are under way at once, at most.
        on_error: ``skip`` goes on without a row that fails, ``halt`` stops at the first.
        retry_failed: rows that failed in an earlier call are tried again.
        max_cost_usd: what the run may cost in all, with its earlier calls; None for no bound.

    Raises:
        UsageError: a value that cannot be.
    """

    concurrency: int = 4
    on_error: str = "skip"
    retry_failed: bool = True
    max_cost_usd: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise UsageError(f"1 to {MAX_CONCURRENCY} requests can be under way at once, and not {self.concurrency}")
        if self.on_error not in ("skip", "halt"):
            raise UsageError(f"on_error is 'skip' or 'halt', and not {self.on_error!r}")
        if self.max_cost_usd is not None and not 0 <= self.max_cost_usd < float("inf"):
            raise UsageError(f"max_cost_usd is a number of dollars, and not {self.max_cost_usd}")


@dataclass(frozen=True)
class FailedRow:
    """A row without a rollout.

    Attributes:
        row_id: of the row, as files and metadata would have it.
        error: what was wrong; print it, or ask what kind it is.
        attempts: requests that were made for it; 0 where the row itself could not be read.
    """

    row_id: str
    error: DreamlakeError
    attempts: int


@dataclass(frozen=True)
class PredictResult:
    """What became of the rows of a source.

    Attributes:
        ok: rows whose rollouts are in the sink, those of earlier calls of the run included.
        failed: rows that failed.
        failures: each of them.
        output_uri: where the rollouts are.
        resumed: how many of the ``ok`` rows an earlier call had finished; they were not sent again.
        cost_usd: what the rollouts cost, by what the engine said of each; those of earlier calls included.
    """

    ok: int
    failed: int
    failures: list[FailedRow] = field(repr=False)
    output_uri: str
    resumed: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True)
class CostEstimate:
    """What a source will cost.

    Attributes:
        rows: of the source; None where nobody knows.
        frames_per_row: of the first row's rollout: T+1.
        total_frames: of all rows, if they are like the first.
        price_per_frame_usd: USD.
        total_usd: USD; None where nobody knows how many rows there are.
    """

    rows: int | None
    frames_per_row: int
    total_frames: int | None
    price_per_frame_usd: float
    total_usd: float | None

    @classmethod
    def of(cls, rows: int | None, frames_per_row: int, price: float) -> CostEstimate:
        """The estimate for rows that are alike."""
        if rows is None:
            return cls(None, frames_per_row, None, price, None)
        return cls(rows, frames_per_row, rows * frames_per_row, price, rows * frames_per_row * price)


@dataclass
class Budget:
    """What may still be spent: nothing is begun that could cost more.

    Attributes:
        most: USD; None for no bound.
        spent: USD.
        reserved: USD that may be spent on what is under way.
    """

    most: float | None
    spent: float = 0.0
    reserved: float = 0.0

    def reserve(self, cost: float) -> bool:
        """Set so much aside; False where there is not as much left."""
        # Sums of cents in binary are off by a little, which must not cost the last row.
        if self.most is not None and self.spent + self.reserved + cost > self.most * (1 + 1e-9):
            return False
        self.reserved += cost
        return True

    def settle(self, cost: float, spent: float) -> None:
        """What was set aside has become what was spent."""
        self.reserved -= cost
        self.spent += spent


class BulkEvent(Struct, frozen=True):
    """How far bulk inference is.

    Attributes:
        ok: rows with a rollout, of this call.
        failed: rows without, of this call.
        resumed: rows that earlier calls had finished, as far as they were met.
        total: rows of the source; None where nobody knows.
        cost_usd: USD that this call has cost so far.
    """

    ok: int
    failed: int
    resumed: int
    total: int | None
    cost_usd: float

    @property
    def seen(self) -> int:
        """Rows that need nothing more."""
        return self.ok + self.failed + self.resumed


def idempotency_key(run: str, row_id: str, content: bytes) -> str:
    """The key of all requests for one row, in this run and after a crash.

    The content is in it: a row that was changed meanwhile is another prediction.

    Args:
        run: id of the run.
        row_id: of the row.
        content: digest of what is sent.
    """
    return sha256(b"\0".join((run.encode(), row_id.encode(), content))).hexdigest()[:40]
