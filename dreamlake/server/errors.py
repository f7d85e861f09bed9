"""Answers that say no, as RFC 9457 problem details."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import UNSET

from dreamlake.core.wire import Problem
from dreamlake.errors import MissingExtraError, UsageError
from dreamlake.server.database import DatabaseDown
from dreamlake.server.operation.logs import request_id
from dreamlake.server.storage.base import StorageDown

__all__ = ["EXCEPTION_HANDLERS", "Refused"]

log = logging.getLogger(__name__)


class Refused(Exception):
    """A request that is answered with an error status.

    Args:
        status: of HTTP.
        detail: one sentence that says what was wrong and what to do.
        headers: that go with the answer.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    @property
    def problem(self) -> Problem:
        """What its body says; of a failure of ours, which line of the log says more."""
        known = request_id.get() if self.status >= 500 else None
        title = HTTPStatus(self.status).phrase
        return Problem(title=title, status=self.status, detail=self.detail, request_id=known or UNSET)


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response[bytes]:
    problem = Refused(status, detail).problem
    return Response(
        msgspec.json.encode(problem), status_code=status, media_type="application/problem+json", headers=headers
    )


def _refused(_: Request[Any, Any, Any], error: Refused) -> Response[bytes]:
    return _problem(error.status, error.detail, error.headers)


def _usage(_: Request[Any, Any, Any], error: UsageError) -> Response[bytes]:
    return _problem(400, str(error))


def _missing(_: Request[Any, Any, Any], error: MissingExtraError) -> Response[bytes]:
    return _problem(409, f"this lake cannot do that: {error}")  # nothing that trying again would change


def _http(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    extra = error.extra if isinstance(error.extra, list) else []
    reasons = "; ".join(f"{item.get('key', 'body')}: {item.get('message')}" for item in extra if isinstance(item, dict))
    return _problem(error.status_code, reasons or error.detail, error.headers)


def _storage(request: Request[Any, Any, Any], error: OSError) -> Response[bytes]:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    _count(request)
    return _problem(507, f"the lake's storage failed: {error.strerror or error}")


def _down(request: Request[Any, Any, Any], error: StorageDown) -> Response[bytes]:
    log.error("%s %s failed: %s", request.method, request.url.path, error.strerror or error)
    _count(request)
    return _problem(503, f"the lake's storage failed: {error.strerror or error}", {"Retry-After": "1"})


def _database_down(request: Request[Any, Any, Any], error: DatabaseDown) -> Response[bytes]:
    log.error("%s %s failed: the database: %s", request.method, request.url.path, error)
    return _problem(503, "the lake's database does not answer, or cannot now; try again", {"Retry-After": "1"})


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _problem(500, "the lake failed to answer this request; its log says why")


def _count(request: Request[Any, Any, Any]) -> None:
    if (metrics := request.state.metrics) is not None:
        metrics.storage_failed()


EXCEPTION_HANDLERS: Any = {
    Refused: _refused,
    UsageError: _usage,
    MissingExtraError: _missing,
    HTTPException: _http,
    StorageDown: _down,
    DatabaseDown: _database_down,
    OSError: _storage,
    Exception: _unexpected,
}
