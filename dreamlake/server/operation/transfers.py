"""How much each namespace may send at once, so that none takes the whole server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dreamlake.server.errors import Refused

if TYPE_CHECKING:
    from dreamlake.server.operation.metrics import Metrics

__all__ = ["Transfers"]


class Transfers:
    """The parts that are being received.

    Args:
        limit: of one namespace.
        metrics: that count them.
    """

    def __init__(self, limit: int, metrics: Metrics | None) -> None:
        self._limit = limit
        self._metrics = metrics
        self._running: Counter[str] = Counter()

    @contextmanager
    def one_more(self, namespace: str) -> Iterator[None]:
        """Receive a part while the block runs.

        Raises:
            Refused: 429, the namespace sends too many at once.
        """
        if self._running[namespace] >= self._limit:
            if self._metrics is not None:
                self._metrics.refused("transfers")
            raise Refused(429, f"{namespace} sends {self._limit} parts already; try again", {"Retry-After": "1"})
        self._count(namespace, 1)
        try:
            yield
        finally:
            self._count(namespace, -1)

    def _count(self, namespace: str, more: int) -> None:
        self._running[namespace] += more
        if not self._running[namespace]:
            del self._running[namespace]
        if self._metrics is not None:
            self._metrics.transfers.inc(more)
