"""What the parts of one run share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

from dreamlake.core.wireupkeep import Freed, GcReport
from dreamlake.server.gc.marks import Marks
from dreamlake.server.lake import Lake
from dreamlake.server.storage import Listed
from dreamlake.server.taskpool import to_the_end

__all__ = ["PAGE", "Run", "pages"]

T = TypeVar("T")

PAGE = 100  # rows and objects that are looked at together
MAX_PROBLEMS = 20  # that are told


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        lake: to collect in.
        before: what is as old as this is collected, seconds since the epoch.
        dry_run: whether nothing is to be changed.
        report: what was found.
        marks: what is in use.
    """

    lake: Lake
    before: float
    dry_run: bool
    report: GcReport
    marks: Marks

    async def delete_old(self, found: Listed, freed: Freed) -> None:
        """Delete an object that nobody uses, unless it is not old any more."""
        if self.dry_run or await to_the_end(lambda: self.lake.storage.delete_if_older(found.key, self.before)):
            freed.add(found.size)

    def problem(self, text: str) -> None:
        """Something was left alone, and this is why."""
        if len(self.report.problems) < MAX_PROBLEMS:
            self.report.problems.append(text)


async def pages(items: AsyncIterator[T], size: int = PAGE) -> AsyncIterator[list[T]]:
    """The items, some at a time."""
    page: list[T] = []
    async for item in items:
        page.append(item)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page
