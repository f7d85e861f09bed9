"""Progress bars for people: rich's, in terminals and notebooks, and nothing at all elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dreamlake.core.bulk import BulkEvent
from dreamlake.core.events import Stage, UploadEvent

__all__ = [
    "BulkProgress", "Progress", "bars", "bulk_progress", "lines", "many_bars", "many_progress", "upload_progress",
]  # fmt: skip

Progress = bool | Callable[[UploadEvent], None] | None
"""``None`` shows a bar where somebody can see it, ``True`` always, ``False`` never; a callable gets the events."""

BulkProgress = bool | Callable[[BulkEvent], None] | None
"""The same of bulk inference."""

_TITLES: dict[Stage, str] = {"hash": "reading", "upload": "sending", "process": "processing", "download": "fetching"}


@contextmanager
def upload_progress(progress: Progress, title: str) -> Iterator[Callable[[UploadEvent], None]]:
    """What an upload reports to: the caller's own function, a bar, or nothing."""
    if callable(progress):
        yield progress
    elif progress or (progress is None and _watched()):
        with bars(title) as report:
            yield report
    else:
        yield lambda _: None


@contextmanager
def many_progress(progress: Progress, files: int) -> Iterator[Callable[[UploadEvent], None]]:
    """What an upload of many files reports to: the caller's own function, bars, or nothing."""
    if callable(progress):
        yield progress
    elif progress or (progress is None and _watched()):
        with many_bars(files) as report:
            yield report
    else:
        yield lambda _: None


@contextmanager
def many_bars(files: int) -> Iterator[Callable[[UploadEvent], None]]:
    """A bar for all files, and one for each that is under way."""
    from pathlib import PurePath

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    finished: set[str] = set()
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        whole = shown.add_task("files", total=files)

        def report(event: UploadEvent) -> None:
            file = event.file or ""
            if event.stage == "process" or file in finished:
                return
            if event.stage == "failed" or (event.stage == "upload" and event.done >= event.total):
                if file in tasks:
                    shown.remove_task(tasks.pop(file))
                finished.add(file)
                shown.advance(whole)
                return
            if file not in tasks:
                tasks[file] = shown.add_task(PurePath(file).name, total=event.total)
            shown.update(tasks[file], completed=event.done, total=event.total)

        yield report


@contextmanager
def bars(title: str) -> Iterator[Callable[[UploadEvent], None]]:
    """A bar for each stage of one upload; they disappear when it is over."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[Stage, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def report(event: UploadEvent) -> None:
            # Shares are shown in thousandths, so that one column serves bytes and shares.
            scale = 1000 if event.stage == "process" else 1
            if event.stage not in tasks:
                tasks[event.stage] = shown.add_task(f"{_TITLES[event.stage]} {title}", total=event.total * scale)
            shown.update(tasks[event.stage], completed=event.done * scale, total=event.total * scale)

        yield report


@contextmanager
def bulk_progress(progress: BulkProgress, total: int | None) -> Iterator[Callable[[BulkEvent], None]]:
    """What bulk inference reports to: the caller's own function, a bar, or nothing."""
    if callable(progress):
        yield progress
    elif progress or (progress is None and _watched()):
        with _bulk_bar(total) as report:
            yield report
    else:
        yield lambda _: None


@contextmanager
def _bulk_bar(total: int | None) -> Iterator[Callable[[BulkEvent], None]]:
    """One bar: rows, how many failed, how many a second, how long it takes still, and the cost so far."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("rows"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}", markup=False),
        TimeRemainingColumn(),
    )
    begun = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("rows", total=total, said="")

        def report(event: BulkEvent) -> None:
            rate = (event.ok + event.failed) / max(time.monotonic() - begun, 1e-9)
            said = f"{event.failed} failed, {rate:.1f}/s, ${event.cost_usd:.4f}"
            shown.update(task, completed=event.seen, total=event.total, said=said)

        yield report


def lines(title: str, say: Callable[[str], None]) -> Callable[[UploadEvent], None]:
    """A line for the beginning of each stage, for logs."""
    begun: set[Stage] = set()

    def report(event: UploadEvent) -> None:
        if event.stage not in begun:
            begun.add(event.stage)
            size = "" if event.stage == "process" else f" ({event.total / 1e6:.1f} MB)"
            say(f"{title}: {_TITLES[event.stage]}{size}")

    return report


def _watched() -> bool:
    """Whether somebody can see a bar: a terminal, or a notebook."""
    if "ipykernel" in sys.modules:
        return True
    return sys.stderr is not None and sys.stderr.isatty()
