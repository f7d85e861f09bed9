"""``dreamlake rm``: delete assets and folders."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.cli.completion import complete_name
from dreamlake.errors import UsageError

__all__ = ["rm"]


def rm(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Resource ids, bss:// URIs, namespace@space:episode//path, or paths in your own default space.",
            autocompletion=complete_name,
        ),
    ],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Delete folders with all that is in them; asks before it does.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete assets, and folders that are empty. By its id an asset goes with all of its names."""
    if recursive and not yes:
        if not sys.stdin.isatty():
            raise UsageError("--recursive deletes all that is in the folders: say --yes where nobody can be asked")
        typer.confirm(f"Delete {', '.join(names)} with all that is in there?", abort=True, err=True)
    finish(_remove(names, recursive, json))


async def _remove(names: list[str], recursive: bool, json: bool) -> None:
    import dreamlake.aio as adl

    for name in names:
        await adl.delete(name, recursive=recursive)
        if json:
            say({"event": "deleted", "name": name})
        else:
            typer.echo(f"deleted {name}")
