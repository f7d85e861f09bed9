"""Names of files for rows: whatever a source calls its rows, what is written stays inside of the output."""

from __future__ import annotations

import re
from hashlib import sha256

__all__ = ["file_id", "numbered_id", "positional_id"]

LONGEST = 120
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def file_id(source_id: str) -> str:
    """The id of a row, by which its files are called.

    It is what the source calls the row where that can be the name of a file everywhere. Otherwise what cannot be is
    replaced, and a hash keeps ``ep1/cam0`` apart from ``ep1_cam0``.

    Args:
        source_id: any text.
    """
    safe = _UNSAFE.sub("_", source_id)[:LONGEST].strip("._-") or "row"
    # Windows knows no files of its devices' names, whatever their extension.
    if safe == source_id and not re.fullmatch(r"(?i:con|prn|aux|nul|com\d|lpt\d)(\..*)?", safe):
        return safe
    digest = sha256(source_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{safe}-{digest[:10]}"


def positional_id(position: int) -> str:
    """The id of a row that its source gives no name.

    Args:
        position: in the source, from 0.
    """
    return f"row-{position:06d}"


def numbered_id(row_id: str, number: int) -> str:
    """The id of a row whose name others before it have: ``run-2`` for the second ``run``."""
    return f"{row_id}-{number}"
