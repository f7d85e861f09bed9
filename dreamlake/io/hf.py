"""Rows out of a dataset of Hugging Face, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from dreamlake.core.wireengine import JobSource
from dreamlake.errors import MissingExtraError, RowError, UsageError
from dreamlake.io.source import IterableSource, SourceRow

__all__ = ["frames_from_hf"]


def frames_from_hf(
    repo: str,
    *,
    frame_field: str = "start_frame",
    actions_field: str = "action_sequence",
    id_field: str | None = None,
    split: str = "train",
    revision: str | None = None,
    token: str | None = None,
    rows_hint: int | None = None,
) -> IterableSource:
    """Rows out of a dataset of Hugging Face, of which no more is downloaded than the rows that are read.

    Pictures are sent as they are stored where they are PNG or JPEG. All columns but these two are metadata.

    Args:
        repo: ``owner/name`` on the Hub, or a local folder that ``datasets`` can load.
        frame_field: the column of the starting frames: images, (H, W, 3) uint8, or paths.
        actions_field: the column of the actions: (T, A) numbers.
        id_field: the column that says what rows are called; None for their numbers.
        split: of the dataset.
        revision: a branch, a tag or a commit.
        token: for private datasets; None for the one that ``hf auth login`` has kept, or ``HF_TOKEN``.
        rows_hint: how many rows there are; None to ask the dataset's own description.

    Returns:
        The source. Its ``rows_hint`` is None where the dataset does not say how many rows it has; set it if you know.

    Raises:
        MissingExtraError: without the extra ``hf``.
        UsageError: there is no such dataset, split or column.

    Example:
        >>> src = frames_from_hf("kingJulio/dream-engine-example-frames", frame_field="start_frame",
        ...                      actions_field="action_sequence")
        >>> src.rows_hint
        16
    """
    return _Dataset(repo, frame_field, actions_field, id_field, split, revision, token, rows_hint)


class _Dataset(IterableSource):
    def __init__(
        self,
        repo: str,
        frame_field: str,
        actions_field: str,
        id_field: str | None,
        split: str,
        revision: str | None,
        token: str | None,
        rows_hint: int | None,
    ) -> None:
        self._repo = repo
        self._frame = frame_field
        self._actions = actions_field
        self._id = id_field
        self._split = split
        self._revision = revision
        self._token = token
        self.rows_hint = rows_hint
        self._found = self._load()
        if rows_hint is None:
            with suppress(AttributeError, KeyError, TypeError):  # where the dataset says nothing of its splits
                self.rows_hint = self._found.info.splits[split].num_examples or None

    @property
    def identity(self) -> str:
        """The dataset, and what of it."""
        which = f"{self._repo}@{self._revision}" if self._revision else self._repo
        return f"hf: {which} {self._split} ({self._frame}, {self._actions})"

    def describe(self) -> JobSource:
        """The source as a job of the engine is told of it."""
        told = {"frame_field": self._frame, "actions_field": self._actions, "split": self._split}
        told |= {} if self._id is None else {"id_field": self._id}
        told |= {} if self._revision is None else {"revision": self._revision}
        return JobSource(type="hf", location=self._repo, options=told, token=self._token, rows_hint=self.rows_hint)

    def __iter__(self) -> Iterator[SourceRow]:
        for number, row in enumerate(self._load()):
            row_id = f"row_{number:08d}" if self._id is None else str(row[self._id])
            metadata = {name: value for name, value in row.items() if name not in (self._frame, self._actions)}
            frame = partial(_present, row[self._frame], self._frame)
            yield SourceRow(row_id, frame, partial(_present, row[self._actions], self._actions), metadata)

    def _load(self) -> Any:
        try:
            import datasets
        except ImportError as error:
            raise MissingExtraError("hf", "frames_from_hf") from error
        try:
            found = datasets.load_dataset(
                self._repo, split=self._split, streaming=True, revision=self._revision, token=self._token
            )
            features = found.features
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise UsageError(f"{self._repo}: {error}") from error
        for name in (self._frame, self._actions, self._id):
            if features is not None and name is not None and name not in features:
                raise UsageError(f"{self._repo} has no column {name!r}; it has {', '.join(features)}")
        for name, feature in (features or {}).items():
            if isinstance(feature, datasets.Image):  # a picture that cannot be decoded is an error of its row alone
                found = found.cast_column(name, datasets.Image(decode=False))
        return found


def _present(value: Any, column: str) -> Any:
    if value is None:
        raise RowError(f"there is nothing in the column {column!r}")
    return value
