"""The ASGI application of an engine: its models, their queues, jobs, and who may use them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import msgspec
from anyio import to_thread
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import NamedDependency, Provide
from litestar.openapi import OpenAPIConfig
from litestar.params import FromPath, FromQuery, QueryParameter

from dreamlake.core.wireengine import (
    IDEMPOTENCY_KEY,
    REQUEST_ID,
    CreateJob,
    EngineSpec,
    EngineStatus,
    Job,
    JobPage,
    JobStarted,
    ModelPage,
    SpecPage,
)
from dreamlake.errors import UsageError
from dreamlake.media.encode import RolloutEncoder
from dreamlake.server.engine.access import PUBLIC, EngineAccess
from dreamlake.server.engine.answers import EXCEPTION_HANDLERS
from dreamlake.server.engine.batching import Batcher
from dreamlake.server.engine.billing import Billing
from dreamlake.server.engine.jobplaces import JobPlaces
from dreamlake.server.engine.jobs import PAGE, Jobs
from dreamlake.server.engine.metrics import EngineMetrics
from dreamlake.server.engine.models import Served, check_slugs
from dreamlake.server.engine.openapi import describe
from dreamlake.server.engine.predict import Predictor, check_key
from dreamlake.server.engine.settings import EngineSettings
from dreamlake.server.engine.store import Answer, Store
from dreamlake.server.errors import Refused
from dreamlake.server.operation.logs import request_id, sane_request_id

__all__ = ["Engine", "create_engine"]

MAX_JOB_BYTES = 64 * 1024
_Any = Request[Any, Any, Any]


@dataclass(frozen=True)
class Engine:
    """The parts of a running engine."""

    models: dict[str, Served]
    batchers: dict[str, Batcher]
    predictor: Predictor
    jobs: Jobs
    places: JobPlaces
    metrics: EngineMetrics


OpenEngine = NamedDependency[Engine]


@get("/healthz", opt=PUBLIC)
async def healthz() -> EngineStatus:
    """The process is alive."""
    return EngineStatus(status="ok", version=_version())


@get("/readyz", opt=PUBLIC)
async def readyz(engine: OpenEngine) -> EngineStatus:
    """All models can predict: none has taken too long over a call that has not returned."""
    stuck = [slug for slug, batcher in engine.batchers.items() if batcher.stuck]
    if stuck:
        raise Refused(503, f"stuck in a call that does not return: {', '.join(stuck)}", {"Retry-After": "5"})
    return EngineStatus(status="ok", version=_version())


@get("/v1/status")
async def status(engine: OpenEngine) -> EngineStatus:
    """Whether the engine works, and how many rollouts wait."""
    queued = sum(batcher.waiting for batcher in engine.batchers.values())
    running = sum(batcher.running for batcher in engine.batchers.values())
    return EngineStatus(status="ok", version=_version(), queued=queued, running=running)


@get("/v1/models")
async def list_models(engine: OpenEngine) -> ModelPage:
    """What can be predicted with."""
    return ModelPage([model.facts for model in engine.models.values()])


@get("/v1/specs")
async def specs(engine: OpenEngine) -> SpecPage:
    """What can be asked for, and what it costs."""
    found = [
        EngineSpec(slug=slug, price_per_frame_usd=model.facts.price_per_frame_usd)
        for slug, model in engine.models.items()
    ]
    return SpecPage(found, found[0].price_per_frame_usd)


@post("/v1/predict", status_code=200)
async def predict(request: _Any, engine: OpenEngine) -> Response[bytes]:
    """A rollout, as mp4 of T+1 frames."""
    return _answered(await _predicted(request, engine, batch=False))


@post("/v1/predict/batch", status_code=200)
async def predict_batch(request: _Any, engine: OpenEngine) -> Response[bytes]:
    """Rollouts from one frame, as tar of mp4s in the order of their actions."""
    return _answered(await _predicted(request, engine, batch=True))


@post("/v1/jobs", status_code=202, request_max_body_size=MAX_JOB_BYTES)
async def create_job(request: _Any, engine: OpenEngine) -> JobStarted:
    """Begin a job."""
    try:
        asked = msgspec.json.decode(await request.body(), type=CreateJob)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Refused(422, str(error) or "the body is not JSON") from None
    if asked.spec not in engine.models:
        raise Refused(404, f"there is no model {asked.spec}; there are {', '.join(engine.models)}")
    engine.models[asked.spec].options(asked.options.num_steps, asked.options.guidance)
    asked = await to_thread.run_sync(engine.places.checked, asked)
    key = check_key(request.headers.get(IDEMPOTENCY_KEY))
    return await engine.jobs.create(request.state.customer, key, asked)


@get("/v1/jobs")
async def list_jobs(
    request: _Any,
    engine: OpenEngine,
    cursor: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE)] = PAGE,
) -> JobPage:
    """Jobs of this key, newest first; ``failures`` are with each job alone."""
    return await engine.jobs.page(request.state.customer, cursor, limit)


@get("/v1/jobs/{job_id:str}")
async def get_job(request: _Any, engine: OpenEngine, job_id: FromPath[str]) -> Job:
    """A job as it stands."""
    return await engine.jobs.get(request.state.customer, job_id)


@post("/v1/jobs/{job_id:str}/cancel", status_code=200)
async def cancel_job(request: _Any, engine: OpenEngine, job_id: FromPath[str]) -> JobStarted:
    """Begin no more rows of a job; answered when it has come to rest."""
    return await engine.jobs.cancel(request.state.customer, job_id)


@get("/metrics", media_type="text/plain")
async def metrics(engine: OpenEngine) -> Response[bytes]:
    """What the engine has counted, in the text format of Prometheus."""
    page = engine.metrics.page(engine.batchers.values())
    return Response(page, headers={"Content-Type": "text/plain; version=0.0.4"})


@get("/openapi.json", opt=PUBLIC, include_in_schema=False, sync_to_thread=True)
def openapi(request: _Any) -> Response[bytes]:
    """What this application answers, as OpenAPI."""
    return Response(msgspec.json.encode(describe(request.app)), media_type="application/json")


def create_engine(
    settings: EngineSettings, models: Sequence[Served], counting: EngineMetrics | None = None
) -> Litestar:
    """The application of an engine.

    Args:
        settings: of the engine.
        models: that it serves; the first is asked where a request names none.
        counting: the metrics; None for new ones.

    Raises:
        UsageError: no model, one whose frames cannot be encoded, or a place for jobs that is not there.
        ConfigError: two models of one name.
    """
    if not models:
        raise UsageError("an engine has a model")
    served = check_slugs(models)
    for model in models:
        RolloutEncoder(model.spec.resolution, model.fps, settings.encoding)  # finds out now whether it can
    places = JobPlaces(settings.jobs_roots)
    access = EngineAccess(settings.keys, settings.hosts)
    counting = counting or EngineMetrics()

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        store = await to_thread.run_sync(Store, settings.data, settings.answer_bytes, settings.answer_seconds)
        batchers = {
            slug: Batcher(
                model,
                encoding=settings.encoding,
                max_waiting=settings.max_waiting,
                max_bytes=settings.max_batch_bytes,
                linger=settings.linger_seconds,
                timeout=settings.model_seconds,
            )
            for slug, model in served.items()
        }
        billing = Billing(store, settings.budget_micros)
        predictor = Predictor(settings, batchers, billing, counting)
        jobs = Jobs(settings, store, access)
        app.state.engine = Engine(served, batchers, predictor, jobs, places, counting)
        for batcher in batchers.values():
            batcher.start()
        try:
            yield
        finally:
            await jobs.stop()
            await billing.stop()
            for batcher in batchers.values():
                await batcher.stop()
            await to_thread.run_sync(store.close)

    async def admit(request: _Any) -> None:
        request.state.customer = access.check(request)

    def engine(request: _Any) -> Engine:
        found: Engine = request.app.state.engine
        return found

    return Litestar(
        [
            healthz, readyz, status, list_models, specs, predict, predict_batch, create_job, list_jobs, get_job,
            cancel_job, metrics, openapi,
        ],
        dependencies={"engine": Provide(engine, sync_to_thread=False)},
        exception_handlers=EXCEPTION_HANDLERS,
        before_request=admit,
        before_send=[_with_request_id],
        lifespan=[lifespan],
        openapi_config=OpenAPIConfig("Dreamlake engine", "1", render_plugins=[]),
        request_max_body_size=settings.max_body_bytes,
        logging_config=None,
        state=State({}),
    )  # fmt: skip


async def _predicted(request: _Any, engine: Engine, *, batch: bool) -> Answer:
    return await engine.predictor.answer(
        request.state.customer,
        check_key(request.headers.get(IDEMPOTENCY_KEY)),
        await request.body(),
        request.headers.get("content-type", ""),
        request_id.get() or sane_request_id(None),
        batch=batch,
    )


def _answered(answer: Answer) -> Response[bytes]:
    return Response(answer.body, headers=answer.headers, media_type=answer.headers["Content-Type"])


async def _with_request_id(message: Any, scope: Any) -> None:
    """Every answer says which request it is of, those that say no too."""
    del scope
    known = request_id.get()
    if message["type"] == "http.response.start" and known is not None:
        headers = MutableScopeHeaders.from_message(message)
        if REQUEST_ID not in headers:
            headers[REQUEST_ID] = known


def _version() -> str:
    try:
        return version("dreamlake")
    except PackageNotFoundError:
        return ""
