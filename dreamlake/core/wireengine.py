"""What goes over the wire between the engine and its clients: JSON in snake_case, as engines of this kind speak it.

``POST /v1/predict`` and ``/v1/predict/batch`` take multipart forms and answer with mp4 and tar: their names and headers
are constants here. Everything else is JSON, and these structs are its only definition. Unknown fields are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

__all__ = [
    "ACTIONS", "BATCH_SIZE", "CHARGE", "CUSTOMER", "FRAME", "GUIDANCE", "IDEMPOTENCY_KEY", "MODEL", "NUM_STEPS",
    "REQUEST_ID", "SEED", "WALL_MS", "CreateJob", "CreditsNeeded", "EngineProblem", "EngineSpec", "EngineStatus", "Job",
    "JobCounts", "JobFailure", "JobOptions", "JobPage", "JobSink", "JobSource", "JobStarted", "JobStatus", "Model",
    "ModelPage", "ModelSpec", "SpecPage",
]  # fmt: skip

# The form of a prediction: two files, and fields in text.
FRAME = "frame"  # PNG or JPEG
ACTIONS = "actions"  # .npy of (T, A) float32; once for each rollout of a batch
SEED = "seed"
NUM_STEPS = "num_steps"
GUIDANCE = "guidance"
MODEL = "model"

# Its headers.
IDEMPOTENCY_KEY = "Idempotency-Key"  # the same key is the same prediction: done once, billed once
REQUEST_ID = "X-DreamEngine-Request-Id"
WALL_MS = "X-DreamEngine-Engine-Wall-Ms"
CHARGE = "X-DreamEngine-Estimated-Charge-USD"
CUSTOMER = "X-DreamEngine-Customer-Id"
BATCH_SIZE = "X-DreamEngine-Batch-Size"

Count = Annotated[int, Meta(ge=0)]
Dollars = Annotated[float, Meta(ge=0, description="USD")]
Name = Annotated[str, Meta(min_length=1, max_length=1024)]


class CreditsNeeded(Struct):
    """What a 402 says in ``detail``, in mils (hundredths of a cent): what there is, and what it takes."""

    balance_mils: int
    requested_mils: int


class EngineProblem(Struct):
    """An error of the engine; ``detail`` is text, or what the status says more exactly."""

    detail: CreditsNeeded | str
    title: str = ""
    status: int = 0
    type: str = "about:blank"


class EngineSpec(Struct, kw_only=True):
    """A kind of rollout that can be asked for, and what it costs."""

    slug: Name
    price_per_frame_usd: Dollars


class SpecPage(Struct):
    """All specs, and what a frame costs where a spec does not say it."""

    specs: list[EngineSpec]
    default_price_usd_per_frame: Dollars


class ModelSpec(Struct, kw_only=True):
    """What a model takes and gives.

    Attributes:
        action_dim: A, numbers of one action.
        resolution: height and width of its frames, pixels.
        chunk_size: actions that it takes at once; longer sequences are rolled out chunk by chunk.
        default_num_steps: of denoising.
        default_guidance: strength of the condition.
    """

    action_dim: Annotated[int, Meta(ge=1)]
    resolution: tuple[int, int]
    chunk_size: Annotated[int, Meta(ge=1)]
    default_num_steps: Annotated[int, Meta(ge=1)]
    default_guidance: float


class Model(Struct, kw_only=True):
    """A model of the engine."""

    slug: Name
    name: str
    provider: str
    price_per_frame_usd: Dollars
    active: bool
    spec: ModelSpec


class ModelPage(Struct):
    """All models."""

    data: list[Model]


class EngineStatus(Struct, kw_only=True):
    """Whether the engine works, and how much waits for it."""

    status: str
    version: str = ""
    queued: Count = 0
    running: Count = 0


# -- jobs: the same rows, predicted by the engine on its own -------------------------------------------------------

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobSource(Struct, kw_only=True, omit_defaults=True):
    """Where the engine finds the rows: what ``frames_from_hf`` and its like were told.

    Attributes:
        type: of the source.
        location: the repository, ``s3://bucket/prefix``, a folder of the engine's machine, or ids of the lake.
        options: what else that function was told, such as ``frame_field``, ``actions_field``, ``split``.
        token: that opens the source; sent once, and never in an answer.
    """

    type: Literal["hf", "s3", "dir", "lake"]
    location: Name
    options: dict[str, Any] = {}
    token: str | None = None
    rows_hint: Count | None = None


class JobSink(Struct, kw_only=True, omit_defaults=True):
    """Where the engine puts the rollouts.

    Attributes:
        type: of the sink.
        location: the repository, ``s3://bucket/prefix``, a folder of the engine's machine, or the space of the lake.
        options: what else ``RolloutSink`` was told, such as ``private`` or ``prefix``.
        token: that opens the sink; sent once, and never in an answer.
    """

    type: Literal["hf", "s3", "dir", "lake"]
    location: Name
    options: dict[str, Any] = {}
    token: str | None = None


class JobOptions(Struct, kw_only=True, omit_defaults=True):
    """How rows are predicted; of the same names and meanings as arguments of ``predict_many``."""

    concurrency: Annotated[int, Meta(ge=1, le=256)] = 4
    on_error: Literal["skip", "halt"] = "skip"
    seed: int | None = None
    num_steps: Annotated[int, Meta(ge=1)] | None = None
    guidance: float | None = None
    retry_failed: bool = True
    max_cost_usd: Dollars | None = None


class CreateJob(Struct, kw_only=True):
    """Begin a job. An ``Idempotency-Key`` header makes a repeated request the same job."""

    source: JobSource
    sink: JobSink
    spec: Name
    options: JobOptions = field(default_factory=JobOptions)


class JobStarted(Struct):
    """The job that was begun."""

    id: str
    status: JobStatus


class JobCounts(Struct, kw_only=True):
    """Rows of a job; ``total`` is None while nobody knows it."""

    ok: Count = 0
    failed: Count = 0
    total: Count | None = None


class JobFailure(Struct, kw_only=True):
    """A row without a rollout: its id, why, and how many requests were made for it."""

    row_id: str
    error: str
    attempts: Count


class Job(Struct, kw_only=True):
    """A job as it stands; ``error`` says why it failed as a whole, times are ISO 8601 in UTC."""

    id: str
    status: JobStatus
    spec: str
    source: JobSource
    sink: JobSink
    options: JobOptions = field(default_factory=JobOptions)
    counts: JobCounts = field(default_factory=JobCounts)
    failures: list[JobFailure] = []
    cost_usd: Dollars = 0.0
    output_uri: str | None = None
    error: str | None = None
    created_at: str = ""
    started_at: str | None = None
    finished_at: str | None = None


class JobPage(Struct):
    """One page of jobs, newest first; ``next_cursor`` asks for the next one."""

    data: list[Job]
    next_cursor: str | None = None
