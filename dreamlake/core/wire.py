"""What all that goes over the wire is made of; these structs are the only definition that client and server have.

JSON is camelCase. Unknown fields are ignored, because older and newer clients exist; wrong types are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["MAX_BATCH", "AssetStatus", "ObjectId", "Problem", "Size", "Slug", "Success", "Text", "decode_json"]

# A plain $ would let a line break through at the end.
Slug = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$(?!\n)")]
ObjectId = Annotated[str, Meta(pattern=r"^[0-9a-f]{24}$(?!\n)")]
Size = Annotated[int, Meta(ge=0, le=5 * 1024**4, description="bytes")]
Text = Annotated[str, Meta(min_length=1, max_length=1024)]

AssetStatus = Literal["uploaded", "processing", "ready", "failed"]

MAX_BATCH = 256


class Problem(Struct, rename="camel"):
    """An error as RFC 9457 problem details; ``requestId`` is what the server's log calls the request."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    request_id: str | UnsetType = UNSET


class Success(Struct, rename="camel"):
    """It is done."""

    success: bool = True


def decode_json(data: bytes, kind: Any) -> Any:
    """Read JSON into a struct; a thin door so that callers need no encoder of their own."""
    return msgspec.json.decode(data, type=kind)
