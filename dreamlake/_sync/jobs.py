# Generated from dreamlake/_async/jobs.py by scripts/unasync.py. Edit that file, then run it.
"""Jobs: bulk inference that the engine does on its own, while this machine may be off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import quote

from dreamlake._sync._runtime import sleep
from dreamlake._sync.engine import Engine
from dreamlake.core.bulk import BulkOptions, FailedRow, PredictOptions, PredictResult
from dreamlake.core.wireengine import CreateJob, JobOptions, JobPage, JobStarted
from dreamlake.core.wireengine import Job as JobInfo
from dreamlake.errors import DreamError, JobFailedError
from dreamlake.io.sink import RolloutSink
from dreamlake.io.source import IterableSource

__all__ = ["Job", "Jobs"]

FIRST_POLL = 0.2
LAST_POLL = 10.0
ENDED = frozenset({"succeeded", "failed", "cancelled"})


class Job:
    """A job of the engine.

    Args:
        engine: that has it.
        info: what the engine said of it last.

    Attributes:
        info: counts, failures, cost and the rest, as of the last ``refresh``.
    """

    def __init__(self, engine: Engine, info: JobInfo) -> None:
        self._engine = engine
        self.info = info

    @property
    def id(self) -> str:
        """By which ``jobs.get`` finds it again."""
        return self.info.id

    @property
    def status(self) -> str:
        """``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``, as of the last ``refresh``."""
        return self.info.status

    def refresh(self) -> Job:
        """Ask how far it is; returns itself."""
        self.info = self._engine.call("GET", _route(self.id), JobInfo)
        return self

    def cancel(self) -> Job:
        """Have the engine begin no more rows of it; what is done stays. Returns itself."""
        self._engine.call("POST", f"{_route(self.id)}/cancel", JobStarted)
        return self.refresh()

    def wait(self, timeout: float | None = None) -> Job:
        """Wait until it has ended, well or not; returns itself.

        Args:
            timeout: seconds; None for as long as it takes.

        Raises:
            TimeoutError: it has not ended by then.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_POLL
        while self.refresh().status not in ENDED:
            left = LAST_POLL if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"the job {self.id} is {self.status} after {timeout} s")
            sleep(min(pause, left))
            pause = min(pause * 1.5, LAST_POLL)
        return self

    def result(self, timeout: float | None = None) -> PredictResult:
        """Wait until it has ended; returns what ``predict_many`` would have.

        Args:
            timeout: seconds; None for as long as it takes.

        Raises:
            JobFailedError: it failed or was cancelled; its ``result`` says what had become of the rows until then.
            TimeoutError: it has not ended by then.
        """
        info = self.wait(timeout).info
        result = PredictResult(
            ok=info.counts.ok,
            failed=info.counts.failed,
            failures=[FailedRow(row.row_id, DreamError(row.error), row.attempts) for row in info.failures],
            output_uri=info.output_uri or "",
            cost_usd=info.cost_usd,
        )
        if info.status != "succeeded":
            failure = JobFailedError(f"the job {self.id} {info.status}: {info.error or 'the engine does not say why'}")
            failure.result = result
            raise failure
        return result

    def __repr__(self) -> str:
        counts = self.info.counts
        total = "" if counts.total is None else f" of {counts.total}"
        return f"{type(self).__name__}({self.id}, {self.status}, {counts.ok} ok, {counts.failed} failed{total})"


class Jobs:
    """The jobs of an engine: ``client.jobs``.

    Args:
        engine: that has them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(
        self,
        source: IterableSource,
        sink: RolloutSink,
        *,
        spec: str,
        concurrency: int = 4,
        on_error: str = "skip",
        retry_failed: bool = True,
        max_cost_usd: float | None = None,
        seed: int | None = None,
        num_steps: int | None = None,
        guidance: float | None = None,
    ) -> Job:
        """Begin a job. The engine reads the source and writes to the sink itself; nothing goes through this machine.

        Args:
            source: that the engine can reach: ``frames_from_hf``, ``frames_from_s3``, or a folder of its machine.
            sink: that the engine can reach.
            spec: as of ``predict_many``, and so are the others.
            concurrency: as of ``predict_many``.
            on_error: as of ``predict_many``.
            retry_failed: as of ``predict_many``.
            max_cost_usd: as of ``predict_many``.
            seed: as of ``predict_many``.
            num_steps: as of ``predict_many``.
            guidance: as of ``predict_many``.

        Raises:
            UsageError: a source or a sink that the engine cannot reach.
            DreamError: the engine does not take it.

        Example:
            >>> job = client.jobs.create(src, RolloutSink.hf("my-org/rollouts"), spec="dreamdojo-2b-gr1")
            >>> (job.result()).ok
            16
        """
        BulkOptions(concurrency, on_error, retry_failed, max_cost_usd)
        PredictOptions(seed, num_steps, guidance)
        options = JobOptions(
            concurrency=concurrency,
            on_error="halt" if on_error == "halt" else "skip",
            seed=seed,
            num_steps=num_steps,
            guidance=guidance,
            retry_failed=retry_failed,
            max_cost_usd=max_cost_usd,
        )
        body = CreateJob(source=source.describe(), sink=sink.describe(), spec=spec, options=options)
        started = self._engine.call("POST", "/v1/jobs", JobStarted, body)
        return self.get(started.id)

    def get(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            ModelNotFoundError: there is none, or it is another key's.
        """
        return Job(self._engine, self._engine.call("GET", _route(job_id), JobInfo))

    def list(self) -> Iterator[Job]:
        """All jobs of this key, newest first."""
        cursor: str | None = None
        while True:
            query = {} if cursor is None else {"cursor": cursor}
            page = self._engine.call("GET", "/v1/jobs", JobPage, query=query)
            for info in page.data:
                yield Job(self._engine, info)
            cursor = page.next_cursor
            if cursor is None:
                return

    def cancel(self, job_id: str) -> Job:
        """Have the engine begin no more rows of a job."""
        self._engine.call("POST", f"{_route(job_id)}/cancel", JobStarted)
        return self.get(job_id)


def _route(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"
