"""What a server counts about itself, for Prometheus. No label comes from a client: their number is bounded."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from sqlalchemy import func, select

from dreamlake.server.schema import jobs, uploads

if TYPE_CHECKING:
    from dreamlake.server.database import Database

__all__ = ["Metrics", "RequestMetrics"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_JOB_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400)


class RequestMetrics:
    """What any server counts of its requests, and of itself."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        request = ("method", "route", "status")
        self._requests = Counter("dreamlake_requests", "Requests answered.", request, registry=registry)
        self._seconds = Histogram(
            "dreamlake_request_seconds", "Time to the end of an answer.", ("method", "route"), registry=registry
        )
        self._came = Counter("dreamlake_received_bytes", "Bytes of request bodies.", registry=registry)
        self._went = Counter("dreamlake_sent_bytes", "Bytes of answers.", registry=registry)
        self.running = Gauge("dreamlake_requests_running", "Requests being answered.", registry=registry)
        self._refused = Counter("dreamlake_refused", "Requests over a limit.", ("limit",), registry=registry)
        self._cut = Counter("dreamlake_cut_connections", "Slow clients cut off.", ("reason",), registry=registry)
        build = Gauge("dreamlake_build_info", "What runs.", ("version", "python"), registry=registry)
        build.labels(_version(), platform.python_version()).set(1)
        ProcessCollector(registry=registry)

    def request(self, method: str, route: str, status: int, seconds: float, came: int, went: int) -> None:
        """A request was answered.

        Args:
            method: of HTTP.
            route: its template, such as ``/videos/{asset_id}``.
            status: of the answer.
            seconds: that it took.
            came: bytes of the body.
            went: bytes of the answer's body.
        """
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        self._came.inc(came)
        self._went.inc(went)

    def refused(self, limit: str) -> None:
        """A request was over a limit."""
        self._refused.labels(limit).inc()

    def cut(self, reason: str) -> None:
        """A slow client was cut off."""
        self._cut.labels(reason).inc()


class Metrics(RequestMetrics):
    """The metrics of a lake."""

    def __init__(self) -> None:
        super().__init__()
        registry = self.registry
        self.transfers = Gauge("dreamlake_transfers_running", "Parts being received.", registry=registry)
        self._storage_errors = Counter("dreamlake_storage_errors", "Failures of the storage.", registry=registry)
        self._job_seconds = Histogram(
            "dreamlake_job_seconds", "Time of one try of a job, by what became of it.", ("action", "state"),
            registry=registry, buckets=_JOB_SECONDS,
        )  # fmt: skip
        self._jobs = Gauge("dreamlake_jobs", "Jobs that are not finished.", ("action", "state"), registry=registry)
        self._uploads = Gauge("dreamlake_uploads", "Uploads under way.", registry=registry)

    def storage_failed(self) -> None:
        """The storage has failed a request."""
        self._storage_errors.inc()

    def job(self, action: str, state: str, seconds: float) -> None:
        """A try of a job has ended."""
        self._job_seconds.labels(action, state).observe(seconds)

    async def page(self, database: Database) -> bytes:
        """All of it in the text format, with what the database knows."""
        unfinished = (
            select(jobs.c.action, jobs.c.state, func.count())
            .where(jobs.c.state.in_(("queued", "running")))
            .group_by(jobs.c.action, jobs.c.state)
        )
        async with database.read() as connection:
            rows = (await connection.execute(unfinished)).all()
            under_way = await connection.scalar(select(func.count()).select_from(uploads))
        self._jobs.clear()
        for action, state, number in rows:
            self._jobs.labels(action, state).set(number)
        self._uploads.set(under_way or 0)
        return generate_latest(self.registry)


def _version() -> str:
    try:
        return version("dreamlake")
    except PackageNotFoundError:
        return "unknown"
