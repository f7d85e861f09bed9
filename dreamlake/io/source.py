"""Sources of bulk inference: rows of a starting frame and a sequence of actions, one after the other."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dreamlake.core.wireengine import JobSource
from dreamlake.errors import BrokenSourceError, RowError, UsageError

__all__ = ["IterableSource", "SourceRow", "as_row", "as_source", "rows_of"]


@dataclass(frozen=True, eq=False)
class SourceRow:
    """One row.

    Attributes:
        row_id: what the row is called, and then its rollout; None for its place in the source.
        frame: to start from: PNG or JPEG bytes, a path, (H, W, 3) uint8, a PIL image, a Video of the lake, or a
            function that gives one of these when it is the row's turn.
        actions: (T, A) numbers, ``.npy`` bytes, a path, or a function that gives one of these.
        metadata: goes into the metadata of the rollout.
    """

    row_id: str | None
    frame: Any = field(repr=False)
    actions: Any = field(repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict)


class IterableSource:
    """Rows out of anything that can be iterated over; or a class of your own that has ``__iter__``.

    Args:
        rows: an iterable, an asynchronous one (for the async client), or a function that gives a fresh one for each
            pass. Its items are SourceRows, mappings with ``frame``, ``actions`` and perhaps ``row_id`` (what else is in
            them is metadata), or pairs of a frame and actions.
        rows_hint: how many rows there are, if that is known and ``len`` does not tell.
        name: tells this source from others, so that a later call can go on where one stopped.

    Attributes:
        rows_hint: may be set at any time.

    Example:
        >>> src = IterableSource([{"frame": frame, "actions": actions} for frame, actions in pairs])
    """

    rows_hint: int | None = None
    _rows: Any = None
    _name = ""

    def __init__(self, rows: Any, *, rows_hint: int | None = None, name: str = "rows") -> None:
        if not callable(rows) and not hasattr(rows, "__iter__") and not hasattr(rows, "__aiter__"):
            raise UsageError(f"a source is an iterable of rows, and not {type(rows).__name__}")
        self._rows = rows
        self._name = name
        self._begun = False
        self._ahead: list[Any] = []  # what was read of a source that can be read once, and only looked at
        sized = hasattr(rows, "__len__") and not callable(rows)
        self.rows_hint = len(rows) if rows_hint is None and sized else rows_hint

    @property
    def identity(self) -> str:
        """What tells this source from others, in the journal of a run."""
        return self._name or f"{type(self).__module__}.{type(self).__qualname__}"

    def describe(self) -> JobSource:
        """The source as a job of the engine is told of it.

        Raises:
            UsageError: it is in the memory of this process, where the engine cannot reach it.
        """
        raise UsageError("rows in the memory of this process cannot be reached by a job; use predict_many")

    def __iter__(self) -> Iterator[SourceRow]:
        rows = self._open()
        if not isinstance(rows, _Rows):
            raise UsageError("an asynchronous source is iterated over with `async for`")
        return rows

    def __aiter__(self) -> AsyncIterator[SourceRow]:
        rows = self._open()
        if isinstance(rows, _Rows):
            raise UsageError("this source is iterated over with `for`")
        return rows

    def _open(self) -> _Rows | _AsyncRows:
        """A pass, from the first row on."""
        rows = self._rows() if callable(self._rows) else self._rows
        later = hasattr(rows, "__aiter__") and not hasattr(rows, "__iter__")
        items = rows.__aiter__() if later else iter(rows)
        once = items is self._rows
        if once and self._begun:
            raise UsageError("this source can be read once; give a list, or a function that gives fresh iterators")
        self._begun = once
        kind = _AsyncRows if later else _Rows
        return kind(items, self._ahead if once else [], self._put_back if once else None)

    def _put_back(self, items: list[Any]) -> None:
        self._ahead[:0] = items
        self._begun = False

    def __len__(self) -> int:
        if self.rows_hint is None:
            raise TypeError("nobody knows how many rows there are; set rows_hint")
        return self.rows_hint

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.identity!r}, rows_hint={self.rows_hint})"


def as_source(source: Any) -> IterableSource:
    """A source, or rows as one.

    Raises:
        UsageError: neither.
    """
    return source if isinstance(source, IterableSource) else IterableSource(source)


def rows_of(source: IterableSource) -> _Rows | _AsyncRows:
    """A pass over a source, from the first row on: with ``__next__``, or for asynchronous ones ``__anext__``."""
    own = type(source)
    if own.__iter__ is IterableSource.__iter__ and own.__aiter__ is IterableSource.__aiter__:
        return source._open()
    if own.__aiter__ is not IterableSource.__aiter__:
        return _AsyncRows(source.__aiter__(), [], None)
    return _Rows(iter(source), [], None)


class _Pass:
    """One pass over the rows of a source.

    Args:
        items: what is iterated over.
        ahead: items that come before.
        put_back: takes items that were only looked at, where the source cannot give them again.
    """

    def __init__(self, items: Any, ahead: list[Any], put_back: Callable[[list[Any]], None] | None) -> None:
        self._items = items
        self._ahead = ahead
        self._put_back = put_back
        self._seen: list[Any] | None = None

    def look(self) -> None:
        """What comes from now on is only looked at."""
        self._seen = []

    def put_back(self) -> None:
        """The next pass has what was looked at, too."""
        if self._put_back is not None:
            self._put_back(self._seen or [])

    def _row(self, item: Any) -> SourceRow:
        if self._seen is not None:
            self._seen.append(item)
        return as_row(item)

    def _failure(self, error: Exception) -> RowError | BrokenSourceError:
        """What an error of the iteration means: an iterator may go on after it, a generator has ended."""
        text = str(error) or type(error).__name__
        if inspect.isgenerator(self._items) or inspect.isasyncgen(self._items):
            return BrokenSourceError(f"the source broke: {text}")
        return RowError(f"the source has no row here: {text}")


class _Rows(_Pass):
    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> SourceRow:
        if self._ahead:
            return self._row(self._ahead.pop(0))
        try:
            item = next(self._items)
        except StopIteration:
            raise
        except Exception as error:
            raise self._failure(error) from error
        return self._row(item)


class _AsyncRows(_Pass):
    def __aiter__(self) -> _AsyncRows:
        return self

    async def __anext__(self) -> SourceRow:
        if self._ahead:
            return self._row(self._ahead.pop(0))
        try:
            item = await self._items.__anext__()
        except StopAsyncIteration:
            raise
        except Exception as error:
            raise self._failure(error) from error
        return self._row(item)


def as_row(item: Any) -> SourceRow:
    """An item of an iterable as a row.

    Raises:
        RowError: it is none.
    """
    if isinstance(item, SourceRow):
        return item
    if isinstance(item, Mapping):
        rest = dict(item)
        try:
            frame, actions = rest.pop("frame"), rest.pop("actions")
        except KeyError as error:
            raise RowError(f"a row has a frame and actions, and this one no {error}") from None
        row_id = rest.pop("row_id", None)
        return SourceRow(None if row_id is None else str(row_id), frame, actions, rest)
    if isinstance(item, tuple) and len(item) == 2:
        return SourceRow(None, *item)
    raise RowError(f"a row is a SourceRow, a mapping or a pair of frame and actions, and not {type(item).__name__}")
