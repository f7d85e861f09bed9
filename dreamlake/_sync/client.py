# Generated from dreamlake/_async/client.py by scripts/unasync.py. Edit that file, then run it.
"""The client of an engine: predictions one by one, in batches, and for all rows of a source."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dreamlake._sync._runtime import offload, take
from dreamlake._sync.bulk import Bulk
from dreamlake._sync.engine import Engine, rollout_of
from dreamlake._sync.jobs import Jobs
from dreamlake.config import engine_at
from dreamlake.core.bulk import BulkOptions, CostEstimate, PredictOptions, PredictResult
from dreamlake.core.wireengine import EngineStatus, Model, ModelPage, SpecPage
from dreamlake.errors import EngineError, ModelNotFoundError, RowError, UsageError
from dreamlake.io.rows import load_actions
from dreamlake.io.sink import RolloutSink
from dreamlake.io.source import IterableSource, as_source, rows_of
from dreamlake.media.rollout import Rollout
from dreamlake.progress import BulkProgress, bulk_progress

if TYPE_CHECKING:
    import httpx

__all__ = ["Client"]

LOOKED_AT = 10  # rows of a source, until one of them says how long rollouts are
_END: Any = object()


class Client:
    """The client of an engine.

    Args:
        api_key: None for ``DREAM_API_KEY``.
        base_url: None for ``DREAM_BASE_URL``, or http://localhost:10434.
        timeout: seconds for which nothing may come of an answer; a large model may take minutes to start.

    Attributes:
        jobs: bulk inference that the engine does on its own.

    Raises:
        UsageError: not a URL.

    Example:
        >>> client = dl.Client()
        >>> rollout = client.predict("start.png", actions, spec="dreamdojo-2b-gr1")
        >>> rollout.frames.shape
        (49, 480, 640, 3)
    """

    def __init__(self, *, api_key: str | None = None, base_url: str | None = None, timeout: float = 300.0) -> None:
        if not 0 < timeout < float("inf"):
            raise UsageError(f"a timeout is a number of seconds, and not {timeout}")
        self._engine = Engine(engine_at(base_url, api_key), timeout)
        self.jobs = Jobs(self._engine)

    @property
    def base_url(self) -> str:
        """The URL of the engine."""
        return self._engine.address.url

    # -- single predictions ------------------------------------------------------------------------------------------

    def predict(
        self,
        frame: Any,
        actions: Any,
        *,
        spec: str | None = None,
        seed: int | None = None,
        num_steps: int | None = None,
        guidance: float | None = None,
        idempotency_key: str | None = None,
    ) -> Rollout:
        """Predict what a sequence of actions leads to.

        Args:
            frame: to start from: PNG or JPEG bytes, a path, (H, W, 3) uint8, a PIL image, a Video of one frame.
            actions: (T, A) numbers, ``.npy`` bytes, or the path of such a file.
            spec: the model; None for the one that the engine has.
            seed: of the noise; None, here and below, leaves it to the model.
            num_steps: of denoising.
            guidance: strength of the condition.
            idempotency_key: the same key is the same prediction, billed once; None for a new one. Whatever it is, it
                stays the same over the three tries.

        Returns:
            A rollout of T+1 frames.

        Raises:
            RowError: a frame or actions that cannot be sent.
            DreamError: the engine said no, or nothing.
        """
        options = PredictOptions(seed, num_steps, guidance)
        form = self._engine.form("/v1/predict", frame, [actions], spec, options)
        key = idempotency_key or secrets.token_hex(20)
        return self._engine.predicted(form, key, partial(_rollout, spec))

    def predict_batch(
        self,
        frame: Any,
        actions: Sequence[Any],
        *,
        spec: str | None = None,
        seed: int | None = None,
        num_steps: int | None = None,
        guidance: float | None = None,
        idempotency_key: str | None = None,
    ) -> list[Rollout]:
        """Predict what several sequences of actions lead to, all from one frame, in one request.

        Args:
            frame: as of ``predict``.
            actions: of each rollout, as of ``predict``; such as one array (K, T, A).
            spec: as of ``predict``, and so are the others.
            seed: as of ``predict``.
            num_steps: as of ``predict``.
            guidance: as of ``predict``.
            idempotency_key: as of ``predict``.

        Returns:
            K rollouts, in the order of the actions.

        Raises:
            RowError: a frame or actions that cannot be sent.
            DreamError: the engine said no, or nothing.
        """
        options = PredictOptions(seed, num_steps, guidance)
        form = self._engine.form("/v1/predict/batch", frame, list(actions), spec, options)
        key = idempotency_key or secrets.token_hex(20)
        return self._engine.predicted(form, key, partial(_rollouts, spec, len(actions)))

    # -- what the engine has -----------------------------------------------------------------------------------------

    def models(self) -> list[Model]:
        """The models of the engine: what they take, what they give, what they cost."""
        return self._engine.call("GET", "/v1/models", ModelPage).data

    def specs(self) -> SpecPage:
        """What can be asked for as ``spec``, and what a frame of it costs."""
        return self._engine.call("GET", "/v1/specs", SpecPage)

    def status(self) -> EngineStatus:
        """Whether the engine works, and how much waits for it."""
        return self._engine.call("GET", "/v1/status", EngineStatus)

    # -- all rows of a source ----------------------------------------------------------------------------------------

    def estimate_cost(
        self, src: IterableSource | Iterable[Any], *, spec: str, frames_per_row: int | None = None
    ) -> CostEstimate:
        """What ``predict_many`` would cost, if all rows are like the first.

        Of the source only as many rows are read as it takes, and ``predict_many`` has them too.

        Args:
            src: the source.
            spec: the model.
            frames_per_row: of each rollout; None to look at the first row, whose rollout has T+1 frames.

        Returns:
            The estimate. ``rows`` and the totals are None where nobody knows how many rows there are; set
            ``src.rows_hint`` if you do.

        Raises:
            ModelNotFoundError: the engine does not know the spec, so nobody knows what it costs.
            RowError: none of the first ten rows can be read, or there are none.
        """
        source = as_source(src)
        price = self._price(spec)
        if frames_per_row is None:
            frames_per_row = _frames_per_row(source)
        return CostEstimate.of(source.rows_hint, frames_per_row, price)

    def predict_many(
        self,
        src: IterableSource | Iterable[Any],
        sink: RolloutSink,
        *,
        spec: str,
        concurrency: int = 4,
        on_error: str = "skip",
        progress: BulkProgress = None,
        seed: int | None = None,
        num_steps: int | None = None,
        guidance: float | None = None,
        retry_failed: bool = True,
        max_cost_usd: float | None = None,
    ) -> PredictResult:
        """Predict a rollout for every row of a source, and write it to a sink.

        Each row is tried three times on 429, 5xx and network errors. Every try for a row has the same Idempotency-Key,
        also after a crash, so an engine that keeps to it bills no row twice. The same call again goes on where an
        earlier one has stopped: what is done is not sent again. Ctrl-C waits up to 10 s for what the engine works on.

        Args:
            src: the source; rows are told by their ids when a call goes on.
            sink: where rollouts and their metadata go.
            spec: the model.
            concurrency: requests that are under way at once, at most; after 429 there are fewer for a while. Twice as
                many rows are in memory.
            on_error: ``skip`` leaves rows that fail to ``failures``, ``halt`` stops at the first of them. Whichever it
                is, 401, 403 and 402 stop it, and so does it when most rows fail.
            progress: None shows a bar where somebody can see it, True always, False never; or a function that is called
                with every BulkEvent.
            seed: of the noise; None, here and below, leaves it to the model.
            num_steps: of denoising.
            guidance: strength of the condition.
            retry_failed: whether rows that failed in an earlier call are tried again.
            max_cost_usd: what all calls of this run may cost together; before it could be more, it stops.

        Returns:
            How many rows there are rollouts of and how many failed, the failures, and where the output is.

        Raises:
            DreamError: it stopped before the end of the source. Requests that were under way were waited for, and what
                is done is written; ``result`` of the error says what had become of the rows until then.
            UsageError: arguments that cannot mean anything; or the sink holds the rollouts of another run.

        Example:
            >>> src = frames_from_dir("./episodes")
            >>> result = client.predict_many(src, RolloutSink.dir("./out"), spec="dreamdojo-2b-gr1")
            >>> result.ok, result.failed
            (16, 0)
        """
        source = as_source(src)
        options = BulkOptions(concurrency, on_error, retry_failed, max_cost_usd)
        predict = PredictOptions(seed, num_steps, guidance)
        if not isinstance(sink, RolloutSink):
            raise UsageError(
                f"a sink is a RolloutSink, such as RolloutSink.dir('./out'), and not {type(sink).__name__}"
            )
        price = None if max_cost_usd is None else self._price(spec)
        with bulk_progress(progress, source.rows_hint) as report:
            return Bulk(self._engine, source, sink, spec, predict, options, price, report).run()

    def _price(self, spec: str) -> float:
        """USD of a frame.

        Raises:
            ModelNotFoundError: the engine does not know the spec.
        """
        known = {item.slug: item.price_per_frame_usd for item in self.specs().specs}
        if spec not in known:
            have = ", ".join(sorted(known)) or "none"
            raise ModelNotFoundError(f"the engine has no spec {spec!r}, so nobody knows what it costs; it has {have}")
        return known[spec]

    # -- the client itself -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections; the next request opens others. Nothing need be closed at exit."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"


def _frames_per_row(source: IterableSource) -> int:
    """T+1 of the first row that can be read; the source has its rows still."""
    rows = rows_of(source)
    rows.look()
    failure: RowError | None = None
    try:
        for _ in range(LOOKED_AT):
            try:
                row = take(rows, _END)
                if row is _END:
                    break
                return len(offload(partial(load_actions, row.actions))) + 1
            except RowError as error:
                failure = error
    finally:
        rows.put_back()
    raise failure or RowError("the source has no rows, so nobody knows how long its rollouts are")


def _rollout(spec: str | None, answer: httpx.Response) -> Rollout:
    return rollout_of(answer.content, answer.headers, spec)


def _rollouts(spec: str | None, count: int, answer: httpx.Response) -> list[Rollout]:
    videos = _untar(answer.content)
    if len(videos) != count:
        raise EngineError(f"the engine sent {len(videos)} rollouts for {count} sequences of actions")
    return [rollout_of(video, answer.headers, spec, rollouts=count) for video in videos]


def _untar(data: bytes) -> list[bytes]:
    """The files of a tar, in their order."""
    videos = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None:
                    videos.append(file.read())
    except (tarfile.TarError, EOFError) as error:
        raise EngineError(f"the engine sent no tar: {error}") from error
    return videos
