"""What goes over the wire about who may do what: API keys, and the keys that sign URLs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from dreamlake.core.keys import Scope

__all__ = ["CreateKey", "KeyInfo", "KeyMade", "KeyPage", "Me", "RotateSigning", "SigningRotated"]


class Me(Struct, rename="camel"):
    """Who the caller is: the namespace that is used when none is named, and what its key may do there."""

    namespace: str
    scope: Scope = "admin"
    key_id: str | None = None


class CreateKey(Struct, rename="camel"):
    """The body that makes an API key."""

    scope: Scope = "write"
    label: Annotated[str, Meta(max_length=100)] = ""
    namespace: str | None = None


class KeyInfo(Struct, rename="camel"):
    """An API key, without its secret; times in seconds since the epoch."""

    id: str
    namespace: str
    scope: Scope
    label: str
    created_at: float
    revoked_at: float | None = None


class KeyMade(KeyInfo, rename="camel", kw_only=True):
    """A key that was just made, with its text, which is not kept."""

    key: str


class KeyPage(Struct, rename="camel"):
    """Some keys, and where the next page begins; None after the last."""

    items: list[KeyInfo]
    next_cursor: str | None = None


class RotateSigning(Struct, rename="camel"):
    """The body that has presigned URLs signed with a new key; ``at_once`` ends all that were given out."""

    at_once: bool = False


class SigningRotated(Struct, rename="camel"):
    """How many keys verify presigned URLs now."""

    keys: int
