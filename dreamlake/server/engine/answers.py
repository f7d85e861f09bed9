"""Answers that say no: problem details as the engine's clients know them, whose ``detail`` may be more than a text."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from dreamlake.core.wireengine import CreditsNeeded, EngineProblem
from dreamlake.errors import MediaError, UsageError
from dreamlake.server.engine.billing import CreditsRefused
from dreamlake.server.errors import Refused

__all__ = ["EXCEPTION_HANDLERS"]

log = logging.getLogger(__name__)


def _problem(status: int, detail: CreditsNeeded | str, headers: dict[str, str] | None = None) -> Response[bytes]:
    problem = EngineProblem(detail, title=HTTPStatus(status).phrase, status=status)
    return Response(
        msgspec.json.encode(problem), status_code=status, media_type="application/problem+json", headers=headers
    )


def _refused(_: Request[Any, Any, Any], error: Refused) -> Response[bytes]:
    return _problem(error.status, error.detail, error.headers)


def _credits(_: Request[Any, Any, Any], error: CreditsRefused) -> Response[bytes]:
    return _problem(error.status, error.credits)


def _input(_: Request[Any, Any, Any], error: UsageError | MediaError) -> Response[bytes]:
    return _problem(422, str(error))


def _http(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    return _problem(error.status_code, error.detail, error.headers)


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(500, "the engine failed to answer this request; its log says why")


EXCEPTION_HANDLERS: Any = {
    CreditsRefused: _credits,
    Refused: _refused,
    UsageError: _input,
    MediaError: _input,
    HTTPException: _http,
    Exception: _unexpected,
}
