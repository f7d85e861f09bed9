"""The description of an engine's interface: what the framework reads off its routes, and the forms that it does not."""

from __future__ import annotations

import inspect
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar

from dreamlake.core import wireengine
from dreamlake.core.wireengine import (
    ACTIONS,
    BATCH_SIZE,
    CHARGE,
    CUSTOMER,
    FRAME,
    GUIDANCE,
    IDEMPOTENCY_KEY,
    MODEL,
    NUM_STEPS,
    REQUEST_ID,
    SEED,
    WALL_MS,
)

__all__ = ["describe"]

_REF = "#/components/schemas/{name}"
_ANY = (400, 401, 403, 404, 413, 414, 421, 422, 429, 431, 500, 503)
_PREDICT = (402, 504)
_TEXT = {"type": "string"}
_BYTES = {"type": "string", "format": "binary"}
_TAKES_KEY = ("/v1/predict", "/v1/predict/batch", "/v1/jobs")


def describe(app: Litestar) -> dict[str, Any]:
    """The OpenAPI 3.1 document of an engine."""
    document = app.openapi_schema.to_schema()
    found = [getattr(wireengine, name) for name in wireengine.__all__]
    structs = [kind for kind in found if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    _, exact = msgspec.json.schema_components(structs, ref_template=_REF)
    for schema in exact.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    document.setdefault("components", {}).setdefault("schemas", {}).update(exact)
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(name="EngineProblem")}}}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            refusals = (*_ANY, *_PREDICT) if path.startswith("/v1/predict") else _ANY
            for status in sorted(refusals):
                operation["responses"][str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
            if method == "post" and path in _TAKES_KEY:
                key = {"name": IDEMPOTENCY_KEY, "in": "header", "required": False, "schema": _TEXT}
                operation.setdefault("parameters", []).append(key)
    _prediction(document["paths"]["/v1/predict"]["post"], batch=False)
    _prediction(document["paths"]["/v1/predict/batch"]["post"], batch=True)
    job: Any = {"application/json": {"schema": {"$ref": _REF.format(name="CreateJob")}}}
    document["paths"]["/v1/jobs"]["post"]["requestBody"] = {"content": job, "required": True}
    document["paths"]["/metrics"]["get"]["responses"]["200"]["content"] = {"text/plain": {"schema": _TEXT}}
    return dict(document)


def _prediction(operation: dict[str, Any], *, batch: bool) -> None:
    actions = {"type": "array", "items": _BYTES} if batch else _BYTES
    fields = {
        FRAME: _BYTES, ACTIONS: actions, SEED: {"type": "integer", "minimum": 0},
        NUM_STEPS: {"type": "integer", "minimum": 1}, GUIDANCE: {"type": "number"}, MODEL: _TEXT,
    }  # fmt: skip
    form = {"type": "object", "properties": fields, "required": [FRAME, ACTIONS]}
    operation["requestBody"] = {"content": {"multipart/form-data": {"schema": form}}, "required": True}
    names = (REQUEST_ID, WALL_MS, CHARGE, CUSTOMER, *((BATCH_SIZE,) if batch else ()))
    operation["responses"]["200"] = {
        "description": "The rollouts, in the order of their actions." if batch else "The rollout: T+1 frames.",
        "headers": {name: {"schema": _TEXT} for name in names},
        "content": {"application/x-tar" if batch else "video/mp4": {"schema": _BYTES}},
    }
