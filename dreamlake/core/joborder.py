"""What an engine and the process that works on a job say to each other: one order, and then lines of reports."""

from __future__ import annotations

from msgspec import Struct, field

from dreamlake.core.wireengine import CreateJob, JobCounts, JobFailure

__all__ = ["JobOrder", "JobReport"]


class JobOrder(Struct, kw_only=True):
    """Work through a job. It comes with its tokens and its key on stdin: arguments can be seen by others.

    Attributes:
        job: what was asked for.
        base_url: of the engine.
        api_key: that the engine knows for as long as the job runs.
    """

    job: CreateJob
    base_url: str
    api_key: str


class JobReport(Struct, kw_only=True, omit_defaults=True):
    """How far it is, and in the last line what became of it.

    Attributes:
        counts: of rows, those that an earlier process has finished included.
        cost_usd: USD.
        failures: rows without a rollout; at the end alone.
        output_uri: where the rollouts are; at the end alone.
        ended: whether this is the end.
        error: why it failed as a whole.
        interrupted: it was asked to stop, and has.
    """

    counts: JobCounts = field(default_factory=JobCounts)
    cost_usd: float = 0.0
    failures: list[JobFailure] = []
    output_uri: str | None = None
    ended: bool = False
    error: str | None = None
    interrupted: bool = False
