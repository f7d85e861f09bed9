"""The process that works on one job of an engine: ``predict_many`` against that engine, told and telling by pipes.

A process of its own keeps what a source or a sink does away from the models: its memory, its threads, a hub that does
not answer. It ends with the engine, whose end closes its stdin.
"""

from __future__ import annotations

import os
import sys
import threading
import time

import msgspec

from dreamlake.core.bulk import BulkEvent, PredictResult
from dreamlake.core.joborder import JobOrder, JobReport
from dreamlake.core.wireengine import JobCounts, JobFailure
from dreamlake.errors import DreamlakeError

__all__ = ["main"]

REPORT_SECONDS = 0.5
MAX_FAILURES = 1000  # all are in the journal of the sink


def main() -> None:
    """Read an order, work through it, and report."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=JobOrder)
    threading.Thread(target=_end_with_the_engine, daemon=True).start()
    _work(order, _Reports())


class _Reports:
    """What is said on stdout, not more often than somebody could want to know it."""

    def __init__(self) -> None:
        self.event = BulkEvent(0, 0, 0, None, 0.0)
        self._said = 0.0

    def progress(self, event: BulkEvent) -> None:
        """Rows have come to their end."""
        self.event = event
        now = time.monotonic()
        if now - self._said >= REPORT_SECONDS:
            self._said = now
            self.say(self.report())

    def report(self) -> JobReport:
        """How far it is."""
        event = self.event
        counts = JobCounts(ok=event.ok + event.resumed, failed=event.failed, total=event.total)
        return JobReport(counts=counts, cost_usd=event.cost_usd)

    def say(self, report: JobReport) -> None:
        """A line."""
        sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
        sys.stdout.buffer.flush()


def _work(order: JobOrder, reports: _Reports) -> None:
    from dreamlake._sync.client import Client
    from dreamlake.io.described import described_sink, described_source

    final = reports.report()
    result: PredictResult | None = None
    job, options = order.job, order.job.options
    try:
        source, sink = described_source(job.source), described_sink(job.sink)
        with Client(base_url=order.base_url, api_key=order.api_key) as client:
            result = client.predict_many(
                source,
                sink,
                spec=job.spec,
                progress=reports.progress,
                **msgspec.structs.asdict(options),
            )
    except KeyboardInterrupt:
        final = reports.report()
        final.interrupted = True
    except DreamlakeError as error:
        final = reports.report()
        final.error = f"{type(error).__name__}: {error}"
        result = getattr(error, "result", None)
    if not final.interrupted and result is not None:
        final.counts = JobCounts(ok=result.ok, failed=result.failed, total=reports.event.total)
        final.cost_usd = result.cost_usd
        final.output_uri = result.output_uri
        final.failures = [
            JobFailure(row_id=row.row_id, error=str(row.error), attempts=row.attempts)
            for row in result.failures[:MAX_FAILURES]
        ]
    final.ended = True
    reports.say(final)


def _end_with_the_engine() -> None:
    """What it has done is in its journal, and the engine that comes next goes on from there."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
