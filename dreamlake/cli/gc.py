"""``dreamlake gc``: give back the space of what nothing refers to."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.core.wireupkeep import GcReport

__all__ = ["gc"]

_CATEGORIES = {
    "uploads": "uploads that were abandoned",
    "staged": "uploaded files that no asset is made of",
    "chunks": "segments that no video uses",
    "leftovers": "objects of deleted assets",
    "temporary": "temporary files of crashes",
}


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    json: Json = False,
) -> None:
    """Delete what nothing refers to and nobody has used for a day."""
    report = finish(_collect(dry_run))
    if json:
        say(msgspec.to_builtins(report))
        return
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    freed = {text: getattr(report, name) for name, text in _CATEGORIES.items()}
    for text, one in freed.items():
        table.add_row(f"[dim]{text}[/]", str(one.count), decimal(one.size))
    Console().print(table)
    size = decimal(sum(one.size for one in freed.values()))
    typer.echo(f"{size} would be freed" if dry_run else f"{size} freed")
    for problem in report.problems:
        typer.echo(f"dreamlake: {problem}", err=True)


async def _collect(dry_run: bool) -> GcReport:
    from dreamlake._async.lake import AsyncLake
    from dreamlake.config import current_lake

    return await AsyncLake(current_lake()).gc(dry_run=dry_run)
