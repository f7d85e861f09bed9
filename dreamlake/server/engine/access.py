"""Who is let in to an engine: its keys, and on a loopback address without any, programs of this machine."""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from litestar import Request

from dreamlake.server.errors import Refused

__all__ = ["LOCAL", "PUBLIC", "EngineAccess"]

PUBLIC = {"access": "public"}
LOCAL = "local"  # the customer without a key, where none is needed
_NO_KEY = {"WWW-Authenticate": 'Bearer realm="dream-engine"'}


class EngineAccess:
    """Finds out who makes a request.

    Args:
        keys: that are let in; none lets in everybody.
        hosts: that requests may be for; None for any.
    """

    def __init__(self, keys: tuple[str, ...], hosts: frozenset[str] | None) -> None:
        self._hosts = hosts
        self._customers = {_digest(key): f"cus_{_digest(key)[:16]}" for key in keys}
        self._needed = bool(keys)

    @property
    def customers(self) -> frozenset[str]:
        """Who has a key."""
        return frozenset(self._customers.values()) if self._needed else frozenset({LOCAL})

    def grant(self, customer: str) -> str:
        """A key for a job of a customer's, known to this process alone.

        Args:
            customer: who pays for what the job predicts.
        """
        key = f"job_{secrets.token_urlsafe(32)}"
        self._customers[_digest(key)] = customer
        return key

    def withdraw(self, key: str) -> None:
        """The job has ended."""
        self._customers.pop(_digest(key), None)

    def check(self, request: Request[Any, Any, Any]) -> str:
        """The customer who makes a request.

        Raises:
            Refused: 401 without a good key; 403 for a page of another site; 421 for another host.
        """
        host = urlsplit(f"//{request.headers.get('host', '')}")
        if self._hosts is not None and host.hostname not in self._hosts:
            raise Refused(421, f"this engine is not {host.hostname}")
        if request.route_handler.opt.get("access") == "public":
            return LOCAL
        presented = request.headers.getall("authorization", [])
        if not self._needed and not presented:
            # A browser sends forms anywhere without asking, in the name of whoever sits before it.
            origin = request.headers.get("origin")
            if origin is not None and urlsplit(origin).netloc != host.netloc:
                raise Refused(403, "pages of other sites are not let in; start the engine with an API key")
            return LOCAL
        customer = self._of(presented)
        if customer is None and not self._needed:
            return LOCAL
        if customer is None:
            said = "is not known here" if presented else "is wanted: Authorization: Bearer …"
            raise Refused(401, f"an API key {said}", _NO_KEY)
        return customer

    def _of(self, presented: list[str]) -> str | None:
        if len(presented) != 1:
            return None
        scheme, _, text = presented[0].partition(" ")
        digest = _digest(text.strip(" "))
        for known, customer in self._customers.items():
            if hmac.compare_digest(known, digest) and scheme.lower() == "bearer":
                return customer
        return None


def _digest(key: str) -> str:
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
