"""Resource ids and ObjectIds, and the way from one to the other (seed 1, "Resource ID").

A record has a 24-hex ObjectId: 4 bytes of seconds, 5 random bytes, a 3-byte counter. Its resource id is a kind's
prefix and the same 96 bits as 16 base62 digits, so ``v-BV1bW411n7fY9x01`` needs no table to be resolved.
Digits run 0-9A-Za-z and are padded with zeros, so that the order of the texts is the order of creation.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dreamlake.core.kinds import KINDS, Kind
from dreamlake.errors import InvalidIdError

__all__ = ["ResourceId", "base62", "is_object_id", "make_object_id", "object_id", "parse_resource_id", "resource_id"]

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
WIDTH = 16
_VALUE = {digit: value for value, digit in enumerate(DIGITS)}
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


class ResourceId(NamedTuple):
    """A parsed resource id: what it names, and the ObjectId behind it."""

    kind: Kind
    object_id: str


def make_object_id(seconds: int, random: bytes, counter: int) -> str:
    """Compose an ObjectId from its three parts.

    Args:
        seconds: seconds since the epoch, 32 bits.
        random: 5 bytes, drawn once per process.
        counter: a count that the process keeps; its low 24 bits are used.

    Returns:
        24 lower-case hex digits.
    """
    if not 0 <= seconds < 1 << 32 or len(random) != 5:
        raise InvalidIdError(f"an ObjectId holds 32 bits of seconds and 5 random bytes, not {seconds}, {len(random)}")
    return f"{seconds:08x}{random.hex()}{counter & 0xFFFFFF:06x}"


def is_object_id(text: str) -> bool:
    """Whether the text is 24 lower-case hex digits."""
    return _OBJECT_ID.fullmatch(text) is not None


def resource_id(kind: Kind, object_id: str) -> str:
    """The globally unique id that users see, such as ``v-BV1bW411n7fY9x01``.

    Raises:
        InvalidIdError: not an ObjectId, or one from after 2051, whose 96 bits no longer fit 16 base62 digits.
    """
    if not is_object_id(object_id):
        raise InvalidIdError(f"{object_id!r} is not an ObjectId (24 hex digits)")
    number = int(object_id, 16)
    if number >= 62**WIDTH:
        raise InvalidIdError(f"ObjectId {object_id} does not fit 16 base62 digits (its time is after the year 2051)")
    return f"{kind.prefix}-{base62(number, WIDTH)}"


def base62(number: int, width: int) -> str:
    """The last digits of a number, padded with zeros."""
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))


def parse_resource_id(text: str) -> ResourceId:
    """Read a resource id of any kind.

    Raises:
        InvalidIdError: unknown prefix, wrong length, or a foreign character.
    """
    prefix, dash, digits = text.partition("-")
    kind = next((kind for kind in KINDS if kind.prefix == prefix), None)
    if not dash or kind is None:
        known = ", ".join(f"{kind.prefix}-" for kind in KINDS)
        raise InvalidIdError(f"{text!r} is not a resource id: it begins with one of {known}")
    if len(digits) != WIDTH or any(digit not in _VALUE for digit in digits):
        raise InvalidIdError(f"{text!r} is not a resource id: 16 characters of 0-9A-Za-z follow {prefix}-")
    number = 0
    for digit in digits:
        number = number * 62 + _VALUE[digit]
    return ResourceId(kind, f"{number:024x}")  # 16 base62 digits always fit the 96 bits, and not the other way round


def object_id(text: str, kind: Kind) -> str:
    """The ObjectId behind an id of one kind, given as resource id or as ObjectId.

    Raises:
        InvalidIdError: malformed, or the id of another kind.
    """
    if is_object_id(text):
        return text
    parsed = parse_resource_id(text)
    if parsed.kind != kind:
        raise InvalidIdError(f"{text!r} is the id of {parsed.kind.phrase}, and {kind.phrase} is wanted here")
    return parsed.object_id
