"""``dreamlake download``: the original bytes of an asset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.cli.completion import complete_name
from dreamlake.cli.upload import reporter

__all__ = ["download"]


def download(
    source: Annotated[
        str,
        typer.Argument(
            help="A resource id, a bss:// URI, or namespace@space:episode//path.", autocompletion=complete_name
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file, or a folder [default: the current one].")
    ] = None,
    json: Json = False,
) -> None:
    """Fetch the original file of an asset. Run it again after any failure: it resumes."""
    import dreamlake.aio as adl

    async def run() -> Path:
        with reporter(source, json) as report:
            return await adl.download(source, out, progress=report)

    path = finish(run())
    if json:
        say({"event": "done", "file": str(path)})
    else:
        typer.echo(str(path))
