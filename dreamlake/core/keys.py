"""API keys: ``dlk_{id}_{secret}{checksum}``.

The prefix lets secret scanners find a key that was leaked, the id names it in lists and logs, and the checksum tells a
mistyped key from a revoked one without asking anybody, as GitHub's tokens do (research/upload.md, "HMAC and keys").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, get_args
from zlib import crc32

from dreamlake.core.ids import base62
from dreamlake.errors import InvalidKeyError

__all__ = ["SCOPES", "ApiKey", "Scope", "WhenAsked", "allows"]

Scope = Literal["read", "write", "admin"]
WhenAsked = Literal["never", "if there are keys", "always"]  # a lake wants one with every request
SCOPES: tuple[Scope, ...] = get_args(Scope)  # each may do what those before it may
ID_DIGITS, SECRET_DIGITS, CHECKSUM_DIGITS = 8, 32, 6  # of base62: 47 bits, 190 bits, 32 bits
_KEY = re.compile(r"dlk_([0-9A-Za-z]{8})_([0-9A-Za-z]{32})([0-9A-Za-z]{6})", re.ASCII)


@dataclass(frozen=True)
class ApiKey:
    """A key that somebody holds.

    Attributes:
        id: 8 base62 digits, no secret.
        secret: 32 base62 digits; the lake keeps its digest alone.
    """

    id: str
    secret: str = field(repr=False)

    @classmethod
    def make(cls, random: bytes) -> ApiKey:
        """A new key of 32 random bytes."""
        if len(random) != 32:
            raise ValueError(f"a key is made of 32 random bytes, not {len(random)}")
        numbers = int.from_bytes(random[:8]), int.from_bytes(random[8:])
        return cls(base62(numbers[0], ID_DIGITS), base62(numbers[1], SECRET_DIGITS))

    @classmethod
    def parse(cls, text: str) -> ApiKey:
        """Read a key as its holder has it.

        Raises:
            InvalidKeyError: it is none, or was mistyped. The text is not repeated.
        """
        match = _KEY.fullmatch(text)
        if match is None:
            raise InvalidKeyError("this is no API key: one is dlk_, 8 letters or digits, _, and 38 more")
        key = cls(match[1], match[2])
        if match[3] != key._checksum:
            raise InvalidKeyError("this API key is mistyped or cut: its checksum is not that of its digits")
        return key

    @property
    def text(self) -> str:
        """What its holder keeps."""
        return f"dlk_{self.id}_{self.secret}{self._checksum}"

    @property
    def digest(self) -> str:
        """What a lake keeps of it. The secret is random and long: a slow hash would add nothing."""
        return sha256(self.secret.encode()).hexdigest()

    @property
    def _checksum(self) -> str:
        return base62(crc32(f"dlk_{self.id}_{self.secret}".encode()), CHECKSUM_DIGITS)


def allows(scope: Scope, wanted: Scope) -> bool:
    """Whether a key of one scope may do what another is needed for."""
    return SCOPES.index(scope) >= SCOPES.index(wanted)
