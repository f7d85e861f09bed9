"""Lists in pages: cursors name the last thing that was given, so what comes and goes meanwhile shifts nothing."""

from __future__ import annotations

import base64
import binascii
import unicodedata
from typing import Annotated

import msgspec
from litestar.params import FromQuery, QueryParameter

from dreamlake.core.targets import check_name, join_path
from dreamlake.server.errors import Refused

__all__ = ["MAX_PAGE", "Cursor", "Limit", "like", "page_size", "path_in", "read_cursor", "write_cursor"]

MAX_PAGE = 1000
MAX_PATTERN = 255
MAX_CURSOR = 4096

Limit = Annotated[int, QueryParameter(description=f"how many at most, and never more than {MAX_PAGE}")]
Cursor = FromQuery[str | None]


def page_size(limit: int) -> int:
    """How many there are on a page."""
    return max(1, min(limit, MAX_PAGE))


def write_cursor(*keys: str) -> str:
    """What asks for the page that begins after these keys."""
    return base64.urlsafe_b64encode(msgspec.json.encode(keys)).decode().rstrip("=")


def read_cursor(text: str | None, count: int) -> list[str] | None:
    """The keys in a cursor; None without one.

    Raises:
        Refused: 400, no cursor of ours.
    """
    if text is None:
        return None
    try:
        if len(text) > MAX_CURSOR:
            raise ValueError
        data = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        keys = msgspec.json.decode(data, type=list[str])
        if len(keys) != count or any("\0" in key for key in keys):
            raise ValueError
    except (ValueError, UnicodeError, binascii.Error, msgspec.MsgspecError):
        raise Refused(400, "the cursor is none that this lake gave out: begin again without one") from None
    return keys


def path_in(prefix: str | None) -> str:
    """The path that a prefix names; ``/`` for the root.

    Raises:
        InvalidTargetError: it is none.
    """
    path = join_path("/", prefix)
    return path if path == "/" else check_name(path)


def like(pattern: str) -> str:
    r"""The pattern of LIKE, escaped by ``\``, for a pattern with ``*`` and ``?``, or for a part of a name.

    Raises:
        Refused: 400, nothing that names could fit.
    """
    text = unicodedata.normalize("NFC", pattern)
    if len(text) > MAX_PATTERN or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise Refused(400, f"a pattern has up to {MAX_PATTERN} characters, and no control character")
    for letter in "\\%_":
        text = text.replace(letter, f"\\{letter}")
    if "*" not in text and "?" not in text:
        return f"%{text}%"
    return text.replace("*", "%").replace("?", "_")
