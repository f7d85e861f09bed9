"""``dreamlake mv``: move and rename assets and folders."""

from __future__ import annotations

from typing import Annotated

import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.cli.completion import complete_name, complete_place
from dreamlake.cli.listing import as_event
from dreamlake.core.entries import Entry

__all__ = ["mv"]


def mv(
    name: Annotated[
        str,
        typer.Argument(
            help="A resource id, a bss:// URI, namespace@space:episode//path, or a path in your own default space.",
            autocompletion=complete_name,
        ),
    ],
    to: Annotated[
        str,
        typer.Argument(
            help="Where it goes in the same space: a path, or namespace@space:episode//path. With a / at its end it is "
            "the folder that it goes into.",
            autocompletion=complete_place,
        ),
    ],
    json: Json = False,
) -> None:
    """Move or rename an asset, or a folder with all that is in it. Nothing is written over."""
    moved = finish(_move(name, to))
    if json:
        say({"event": "moved", **as_event(moved)})
    else:
        typer.echo(moved.target)


async def _move(name: str, to: str) -> Entry:
    import dreamlake.aio as adl

    return await adl.move(name, to)
