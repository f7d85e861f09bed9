"""Conditions on rows, in the SQL of LanceDB. What comes from outside is a literal in it, and never more."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dreamlake.core.vectors import check_extra, tag
from dreamlake.core.wirevectors import Where
from dreamlake.errors import UsageError

__all__ = ["any_of", "condition", "text"]


def condition(where: Where | None) -> str | None:
    """Which rows are meant; None for all.

    Raises:
        UsageError: it cannot be meant.
    """
    if where is None:
        return None
    parts = []
    if where.video_ids is not None:
        parts.append(any_of("`videoId`", where.video_ids))
    # A clip overlaps a range when it begins before the range's end, and ends behind its beginning.
    if where.st is not None:
        parts.append(f"(et > {_number(where.st)})")
    if where.et is not None:
        parts.append(f"(st < {_number(where.et)})")
    for name, values in where.extra.items():
        plain = [check_extra({name: value})[name] for value in values]
        # Only equal texts are equal, whatever is in them.
        parts.append("(" + (" OR ".join(f"array_has(tags, {text(tag(name, one))})" for one in plain) or "false") + ")")
    return " AND ".join(parts) or None


def any_of(column: str, values: Iterable[str]) -> str:
    """Whether a column is one of these texts."""
    return f"({column} IN ({', '.join(map(text, values))}))"


def text(value: str) -> str:
    """A text as a literal."""
    if "\0" in value:
        raise UsageError("a text holds U+0000, which is in no row")
    return "'" + value.replace("'", "''") + "'"


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise UsageError(f"{value} is not a time in seconds")
    return repr(float(value))
