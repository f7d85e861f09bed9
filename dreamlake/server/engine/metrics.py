"""What an engine counts about itself, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge, generate_latest

from dreamlake.server.engine.batching import Batcher
from dreamlake.server.operation.metrics import RequestMetrics

__all__ = ["EngineMetrics"]


class EngineMetrics(RequestMetrics):
    """The metrics of an engine; models are the only labels of its own."""

    def __init__(self) -> None:
        super().__init__()
        label = ("model",)
        self.rollouts = Counter("dreamlake_rollouts", "Rollouts predicted.", label, registry=self.registry)
        self.replayed = Counter("dreamlake_replayed", "Answers given again for their key.", registry=self.registry)
        self._waiting = Gauge("dreamlake_rollouts_waiting", "Rollouts in no batch yet.", label, registry=self.registry)
        self._running = Gauge("dreamlake_rollouts_running", "Rollouts in batches.", label, registry=self.registry)
        self._batches = Gauge("dreamlake_batches", "Batches predicted since the start.", label, registry=self.registry)

    def page(self, batchers: Iterable[Batcher]) -> bytes:
        """All of it in the text format."""
        for batcher in batchers:
            slug = batcher.model.slug
            self._waiting.labels(slug).set(batcher.waiting)
            self._running.labels(slug).set(batcher.running)
            self._batches.labels(slug).set(batcher.batches)
        return generate_latest(self.registry)
