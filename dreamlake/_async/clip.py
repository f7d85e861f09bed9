"""What clips of videos and of sound have in common: a source, what they are of it, and what is known of it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

from dreamlake._async._runtime import demand
from dreamlake._async.segments import AsyncSegments
from dreamlake.errors import FileChangedError
from dreamlake.progress import Progress

__all__ = ["AsyncClip"]

Source = TypeVar("Source", bound=AsyncSegments)
Chosen = TypeVar("Chosen")
Known = TypeVar("Known", bound=Any)


class AsyncClip(ABC, Generic[Source, Chosen, Known]):
    """A recording, or a clip of one. Nothing is fetched before it is needed."""

    NOT_LOADED: ClassVar[str]

    __slots__ = ("_facts", "_selection", "_source")

    def __init__(self, source: Source, selection: Chosen | None = None, facts: Known | None = None) -> None:
        self._source = source
        self._selection = selection
        self._facts = facts

    @property
    def id(self) -> str | None:
        """The resource id, such as ``v-BV1bW411n7fY9x01``, of a video's sound the video's; None outside of any lake."""
        return self._source.id

    @property
    def uri(self) -> str:
        """The URI, such as ``bss://localhost:10234/videos/{id}``; of a video's sound the video's, and ``#audio``."""
        return self._source.uri

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AsyncClip):
            return NotImplemented
        if self is other or self._source.key != other._source.key:
            return self is other
        return bool(self._selected() == other._selected() and self._facts == other._facts)

    def __hash__(self) -> int:
        return hash((self._source.key, self._selected()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._source.key, self._selection, self._facts)

    async def load(self) -> Self:
        """Get the index, waiting until the lake has processed the recording. ``load`` has done so already."""
        await self._source.load()
        self._settle()
        return self

    async def download(self, to: str | os.PathLike[str] | None = None, *, progress: Progress = None) -> Path:
        """Fetch the original file from its lake, all of it, whichever clip this is; of a video's sound the video.

        It resumes like ``upload``.

        Args:
            to: the file, or a folder for a file of the asset's own name; None for the current folder.
            progress: as of ``upload``.

        Returns:
            The path of the file.

        Raises:
            UsageError: it lies outside of any lake.
            IntegrityError: the bytes that came are not those that were uploaded.
        """
        return await self._source.download(to, progress)

    def _known(self) -> Known:
        if self._facts is None:
            demand(self.load, self.NOT_LOADED)
            self._settle()
        assert self._facts is not None
        return self._facts

    @abstractmethod
    def _selected(self) -> Chosen:
        """What the clip is of its recording."""

    @abstractmethod
    def _select(self, facts: Known) -> None:
        """Say what the clip is of its recording, if it was not known before the recording was."""

    def _settle(self) -> None:
        """Take over what the loaded source knows, or make sure that it is what this clip knows.

        Raises:
            FileChangedError: the clip was made of another version of its file.
        """
        if self._facts is None:
            self._facts = self._source.facts
        elif self._facts.version is not None and self._facts != self._source.facts:
            raise FileChangedError(f"{self.uri}: changed since this clip was made of it")
        self._select(self._facts)


def _restore(kind: type[AsyncClip[Any, Any, Any]], key: tuple[Any, ...], selection: Any, facts: Any) -> Any:
    return kind(AsyncSegments.find(key), selection, facts)
