# Generated from dreamlake/_async/engine.py by scripts/unasync.py. Edit that file, then run it.
"""The engine as its clients see it: single requests, and what their answers mean."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from dreamlake._sync._runtime import close_client, http_client, offload, settle, sleep
from dreamlake.config import EngineAddress
from dreamlake.core.boxes import count_samples
from dreamlake.core.bulk import TRIES, PredictOptions
from dreamlake.core.retry import Backoff, parse_retry_after
from dreamlake.core.wireengine import CHARGE, CUSTOMER, IDEMPOTENCY_KEY, REQUEST_ID, WALL_MS, CreditsNeeded
from dreamlake.errors import (
    AuthError,
    DreamError,
    DreamlakeError,
    EngineError,
    EngineUnreachableError,
    InsufficientCreditsError,
    MediaError,
    ModelNotFoundError,
    RateLimitError,
    RowError,
    ValidationError,
)
from dreamlake.io.form import Form, make_form
from dreamlake.media.rollout import Rollout

if TYPE_CHECKING:
    import httpx

__all__ = ["BACKOFF", "Engine", "passes", "rollout_of"]

T = TypeVar("T")

KEPT = 64  # connections that wait for requests
BACKOFF = Backoff(attempts=TRIES, base=0.5)


def passes(error: Exception) -> bool:
    """Whether trying again can help."""
    return isinstance(error, RateLimitError | EngineError | EngineUnreachableError)


class Engine:
    """One engine.

    Args:
        address: of the engine.
        timeout: seconds for which nothing may come of an answer.
    """

    def __init__(self, address: EngineAddress, timeout: float) -> None:
        self.address = address
        self._timeout = timeout
        self._key = ("engine", address, timeout)

    def form(self, route: str, frame: Any, sequences: Sequence[Any], spec: str | None, options: PredictOptions) -> Form:
        """Read and encode what is asked for.

        Args:
            route: ``/v1/predict`` or ``/v1/predict/batch``.
            frame: as of ``make_form``, and so are the others.
            sequences: as of ``make_form``.
            spec: as of ``make_form``.
            options: as of ``make_form``.

        Raises:
            RowError: what cannot be sent.
        """
        build = partial(self._client().build_request, "POST", self.address.url + route)
        try:
            if hasattr(frame, "numpy"):  # a Video, whose pixels may have to be awaited
                frame = settle(frame.numpy)
        except DreamlakeError as error:
            raise RowError(f"frame: {error}") from error
        return offload(partial(make_form, build, frame, sequences, spec, options))

    def post_form(self, form: Form, key: str) -> httpx.Response:
        """Ask for a prediction, once.

        Args:
            form: what is asked for.
            key: the same for all tries of the same prediction.

        Raises:
            DreamError: whatever kept it from being answered.
        """
        form.request.headers[IDEMPOTENCY_KEY] = key
        return self._once(form.request)

    def predicted(self, form: Form, key: str, read: Callable[[httpx.Response], T]) -> T:
        """The same, with all its tries.

        Args:
            form: as of ``post_form``.
            key: as of ``post_form``.
            read: makes of an answer what is wanted; an EngineError of it is tried again too.
        """

        def once() -> T:
            response = self.post_form(form, key)
            return offload(partial(read, response))

        return self._tried(once)

    def call(
        self, method: str, route: str, answer: type[T], body: Any = None, query: Mapping[str, str] | None = None
    ) -> T:
        """A request of JSON, with all its tries.

        Args:
            method: of HTTP.
            route: below the address of the engine.
            answer: the struct that comes.
            body: a struct; None for none.
            query: parameters of the URL.

        Raises:
            DreamError: the engine said no, or nothing.
        """
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if content is not None else {}
        if method == "POST":
            headers[IDEMPOTENCY_KEY] = secrets.token_hex(20)
        url = self.address.url + route
        request = self._client().build_request(method, url, content=content, headers=headers, params=query)
        response = self._tried(partial(self._once, request))
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.MsgspecError as error:
            raise EngineError(f"{self.address} answered what this client does not understand: {error}") from error

    def close(self) -> None:
        """Close the connections; the next request opens others."""
        close_client(self._key)

    def _tried(self, once: Callable[[], T]) -> T:
        failures = 0
        while True:
            try:
                return once()
            except DreamError as error:
                failures += 1
                chance = random.random()  # noqa: S311 (no secret)
                delay = BACKOFF.delay(failures, chance, error.retry_after) if passes(error) else None
                if delay is None:
                    raise
                sleep(delay)

    def _once(self, request: httpx.Request) -> httpx.Response:
        import httpx

        try:
            response = self._client().send(request)
        except (httpx.TooManyRedirects, httpx.DecodingError, httpx.InvalidURL) as error:
            raise EngineError(f"{self.address} answered with nonsense: {error}") from error
        except httpx.TransportError as error:
            why = str(error) or type(error).__name__
            raise EngineUnreachableError(f"no answer from {self.address}: {why}") from error
        if not response.is_success:
            raise _refusal(response)
        return response

    def _client(self) -> httpx.Client:
        return http_client(self._key, self._connection)

    def _connection(self) -> httpx.Client:
        import httpx

        headers = {"User-Agent": "dreamlake", "Accept-Encoding": "identity"}  # videos do not get smaller
        if self.address.api_key:
            headers["Authorization"] = f"Bearer {self.address.api_key}"
        # A pool decides how many requests there are at once, not the connections.
        return httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(self._timeout, connect=min(10.0, self._timeout), pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=KEPT),
            follow_redirects=True,
        )


def rollout_of(video: bytes, headers: Mapping[str, str], spec: str | None, *, rollouts: int = 1) -> Rollout:
    """An answer as a rollout.

    Args:
        video: the mp4.
        headers: of the answer.
        spec: that was asked for.
        rollouts: that share the answer and its charge.

    Raises:
        EngineError: not an mp4, or not all of it.
    """
    try:
        count_samples(video)
    except MediaError as error:
        raise EngineError(f"the engine sent no rollout: {error}", request_id=headers.get(REQUEST_ID)) from error
    charge, wall = _number(headers.get(CHARGE)), _number(headers.get(WALL_MS))
    return Rollout(
        video=video,
        spec=spec,
        request_id=headers.get(REQUEST_ID, ""),
        charge_usd=None if charge is None else charge / rollouts,
        wall_ms=wall,
        customer_id=headers.get(CUSTOMER, ""),
    )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _refusal(response: httpx.Response) -> DreamError:
    """The error that an answer means."""
    status = response.status_code
    detail = _detail(response.content)
    said = detail if isinstance(detail, str) else f"{response.request.url.path}: {status}"
    told = {
        "status_code": status,
        "request_id": response.headers.get(REQUEST_ID),
        "retry_after": parse_retry_after(response.headers.get("retry-after"), time.time()),
    }
    if status in (401, 403):
        return AuthError(f"the engine does not let this key in: {said}", **told)
    if status == 402:
        short = InsufficientCreditsError(f"the balance does not cover it: {said}", **told)
        if isinstance(detail, CreditsNeeded):
            short.balance_mils, short.requested_mils = detail.balance_mils, detail.requested_mils
            short.args = (f"a rollout takes {detail.requested_mils} mils, and the balance is {detail.balance_mils}",)
        return short
    if status == 404:
        return ModelNotFoundError(said, **told)
    if status == 429:
        return RateLimitError(f"too many requests: {said}", **told)
    # 409 with a time to come back: the first try with this key is still under way.
    if status >= 500 or status == 408 or (status == 409 and told["retry_after"] is not None):
        return EngineError(f"the engine failed ({status}): {said}", **told)
    return ValidationError(f"the engine cannot take it ({status}): {said}", **told)


def _detail(body: bytes) -> Any:
    """What a problem says in ``detail``: credits, text, or whatever else as text."""
    try:
        detail = msgspec.json.decode(body)["detail"]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError):
        return None
    if isinstance(detail, dict):
        try:
            return msgspec.convert(detail, CreditsNeeded)
        except msgspec.ValidationError:
            return msgspec.json.encode(detail).decode()
    return detail if isinstance(detail, str) else msgspec.json.encode(detail).decode()
