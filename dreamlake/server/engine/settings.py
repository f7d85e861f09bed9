"""What an engine is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dreamlake.media.encode import Encoding
from dreamlake.server.settings import Limits

__all__ = ["EngineSettings"]


@dataclass(frozen=True)
class EngineSettings(Limits):
    """The settings of one engine.

    Attributes:
        data: the folder of what has to outlive the process: answers by their Idempotency-Keys, what was spent, jobs.
            One engine at a time has it.
        keys: that are let in; none lets in everybody who reaches it.
        hosts: that requests may be for; None for any.
        budget_micros: millionths of a dollar that each key may spend, ever; None for no bound.
        encoding: of rollouts.
        max_body_bytes: the largest body that is taken.
        max_pixels: of a starting frame.
        max_actions: T, of one rollout.
        max_rollouts: K, of one batch request.
        max_waiting: rollouts that wait for a model; beyond, requests are answered with 429.
        max_batch_bytes: of the frames that a model predicts at once.
        linger_seconds: that a model waits for more rollouts when a batch is not full.
        model_seconds: that one call of a model may take; None for any time.
        answer_bytes: of answers that are kept for their Idempotency-Keys.
        answer_seconds: that they are kept for.
        jobs_roots: what jobs may use besides datasets on the Hub, as ``JobPlaces`` takes it.
        max_jobs: that run at once.
        max_queued_jobs: of one key, that have not ended.
        job_seconds_to_stop: that a job may take to come to rest when it is cancelled, or the engine ends.
        worker: the command that works on a job, which it is told on stdin; None for an engine without jobs.
    """

    data: Path
    keys: tuple[str, ...] = field(default=(), repr=False)
    hosts: frozenset[str] | None = None
    budget_micros: int | None = None
    encoding: Encoding = "playable"
    max_body_bytes: int = 64 * 1024**2
    max_pixels: int = 16 * 1024**2
    max_actions: int = 512
    max_rollouts: int = 32
    max_waiting: int = 64
    max_batch_bytes: int = 512 * 1024**2
    linger_seconds: float = 0.005
    model_seconds: float | None = 600.0
    answer_bytes: int = 2 * 1024**3
    answer_seconds: float = 24 * 3600
    jobs_roots: tuple[str, ...] = ()
    max_jobs: int = 1
    max_queued_jobs: int = 100
    job_seconds_to_stop: float = 15.0
    worker: tuple[str, ...] | None = None
