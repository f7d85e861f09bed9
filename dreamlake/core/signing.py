"""Signed URLs: HMAC-SHA256 over method, path, namespace, expiry, key id and whatever else the URL carries.

A signed URL needs no ``Authorization`` header, so it can be handed to a player, to a worker or to another process.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from urllib.parse import urlencode

__all__ = ["SignatureError", "Signer"]

_RESERVED = ("expires", "key", "namespace", "signature")


class SignatureError(Exception):
    """A URL whose signature is missing, altered or expired."""


class Signer:
    """Signs and verifies URLs.

    Args:
        keys: key id to secret; all of them verify.
        current: the id of the key that signs, so that keys can be rotated.
    """

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        self._keys = dict(keys)
        self._current = current

    def query(
        self, method: str, path: str, namespace: str, expires: int, extra: Mapping[str, str] | None = None
    ) -> str:
        """The query string that makes the URL valid.

        Args:
            method: of HTTP; a signature for GET is also good for HEAD.
            path: of the URL, decoded.
            namespace: whose objects it reaches.
            expires: seconds since the epoch.
            extra: further parameters, signed too.
        """
        fields = {**(extra or {}), "expires": str(expires), "key": self._current, "namespace": namespace}
        signature = self._digest(self._keys[self._current], method, path, fields)
        return f"{_encoded(tuple(fields.items()))}&signature={signature}"

    def verify(self, method: str, path: str, query: Mapping[str, str], now: float) -> str:
        """The namespace that a URL was signed for.

        Raises:
            SignatureError: missing, altered or expired.
        """
        fields = {name: value for name, value in query.items() if name != "signature"}
        secret = self._keys.get(fields.get("key", ""))
        if secret is None or any(name not in query for name in _RESERVED):
            raise SignatureError("the URL is not signed by this lake")
        signed_as = ("HEAD", "GET") if method == "HEAD" else (method,)
        given = query["signature"].encode(errors="surrogatepass")
        digests = [self._digest(secret, name, path, fields).encode() for name in signed_as]
        if not any(hmac.compare_digest(digest, given) for digest in digests):
            raise SignatureError("the URL's signature is wrong")
        if not fields["expires"].isdecimal() or int(fields["expires"]) < now:
            raise SignatureError("the URL has expired")
        return fields["namespace"]

    @staticmethod
    def _digest(secret: bytes, method: str, path: str, fields: Mapping[str, str]) -> str:
        # Lengths keep the boundaries: no two different requests give the same text.
        text = _measured((method, path)) + _listed(tuple(sorted(fields.items())))
        return hmac.digest(secret, text.encode(errors="surrogatepass"), "sha256").hex()


def _measured(parts: Iterable[str]) -> str:
    return "".join(f"{len(part)}:{part}\n" for part in parts)


# The URLs of a playlist differ in their paths alone.


@lru_cache(maxsize=64)
def _listed(fields: tuple[tuple[str, str], ...]) -> str:
    return _measured(chain.from_iterable(fields))


@lru_cache(maxsize=64)
def _encoded(fields: tuple[tuple[str, str], ...]) -> str:
    return urlencode(fields)
