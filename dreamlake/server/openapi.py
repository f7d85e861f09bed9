"""The description of the interface: what the framework reads off the routes, and what it cannot see there.

It knows neither the answers that say no, nor bytes, nor signed queries; and of the structs of the wire msgspec
knows more, because it is what checks them.
"""

from __future__ import annotations

import inspect
import re
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Litestar

from dreamlake.core import wire, wireassets, wirecatalog, wirekeys, wireupkeep, wireuploads, wirevectors
from dreamlake.core.arrowrows import ARROW

__all__ = ["describe"]

# Any route may answer with any of these: limits, keys, hosts and failures are before and below all of them.
REFUSALS = (400, 401, 403, 404, 409, 412, 413, 414, 416, 421, 429, 431, 500, 503, 507)
_REF = "#/components/schemas/{name}"
_SIGNED = ("expires", "key", "namespace", "signature")
_BYTES = {
    "/raw": "*/*",
    "/frames.npz": "application/octet-stream",
    "/samples.npz": "application/octet-stream",
    "/chunks/{name}": "*/*",
}
_PLAYLIST = "application/vnd.apple.mpegurl"
_ID_FIELDS = ("videoId", "audioId", "textTrackId", "labelId")


def describe(app: Litestar) -> dict[str, Any]:
    """The OpenAPI 3.1 document of an application."""
    schema = msgspec.json.encode(app.openapi_schema.to_schema())
    # Litestar names a page of a listing after the module of what it lists, which is nobody's business.
    document: dict[str, Any] = msgspec.json.decode(re.sub(rb"\bAssetPage_[\w.]+\.(\w+)_\b", rb"AssetPage_\1", schema))
    schemas = document["components"]["schemas"]
    known = {
        name: kind
        for module in (wire, wireassets, wirecatalog, wirekeys, wireupkeep, wireuploads, wirevectors)
        for name in module.__all__
        if isinstance(kind := getattr(module, name), type)
    }
    structs = [kind for kind in known.values() if issubclass(kind, msgspec.Struct) and kind is not wireassets.AssetPage]
    _, exact = msgspec.json.schema_components(structs, ref_template=_REF)
    schemas.update({name: _described(schema) for name, schema in exact.items()})
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}}
    document["components"]["responses"] = {
        str(status): {"description": HTTPStatus(status).phrase, "content": problem} for status in REFUSALS
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _complete(path, method, operation)
    return document


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"])
    return schema


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """Add to an operation what its handler does not say."""
    answers: dict[str, Any] = operation["responses"]
    content: dict[str, Any]
    for status in REFUSALS:
        answers[str(status)] = {"$ref": f"#/components/responses/{status}", "description": HTTPStatus(status).phrase}
    parameters: list[dict[str, Any]] = operation.setdefault("parameters", [])
    for ending, media_type in _BYTES.items():
        if path.endswith(ending):
            _answers_bytes(answers, media_type)
    if path.endswith("/stream/{name}"):
        answers["200"] = {"description": "The playlist.", "content": {_PLAYLIST: {"schema": {"type": "string"}}}}
    elif path == "/metrics":
        answers["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif method == "post" and "201" in answers and not path.startswith("/assets/"):
        answers["200"] = {**answers["201"], "description": "It was there already."}
    if path.endswith("/vectors") and method in ("get", "post"):
        content = {ARROW: {"schema": {"type": "string", "format": "binary"}}}
        if method == "get":
            answers["200"]["content"] = content
        else:
            operation["requestBody"] = {"content": content, "required": True}
    if path == "/uploads/{upload_id}/{number}":
        answers["200"] = {"description": "The part is there.", "headers": {"ETag": {"schema": {"type": "string"}}}}
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"content": content, "required": True}
        parameters += [_query("target", required=True), _query("sha256")]
    if path == "/lambdas/{action}":
        fields = {name: {"type": "string"} for name in _ID_FIELDS}
        content = {"application/json": {"schema": {"type": "object", "properties": fields}}}
        operation["requestBody"] = {"content": content, "required": False}
        parameters += [_query(name) for name in _SIGNED]
    elif path.startswith(("/uploads/", "/chunks/")):
        parameters += [_query(name, required=True) for name in _SIGNED]


def _answers_bytes(answers: dict[str, Any], media_type: str) -> None:
    content: Any = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    answers["200"] = {"description": "The bytes.", "content": content}
    answers["206"] = {"description": "The range of bytes that was asked for.", "content": content}
    answers["304"] = {"description": "They have not changed."}
    answers["307"] = {"description": "Where the storage gives the bytes."}


def _query(name: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": {"type": "string"}}
