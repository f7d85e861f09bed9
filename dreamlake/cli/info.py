"""``dreamlake info``: what is known of an asset, a folder, or a video file."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.cli.completion import complete_name
from dreamlake.cli.listing import as_event
from dreamlake.core.wirecatalog import FOLDER

__all__ = ["info"]


def info(
    source: Annotated[
        str,
        typer.Argument(
            help="A resource id, a bss:// URI, namespace@space:episode//path, or a video file.",
            autocompletion=complete_name,
        ),
    ],
    json: Json = False,
) -> None:
    """Say what is known of an asset, a folder, or a video file."""
    facts = finish(_facts(source))
    if json:
        say(facts)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        if value not in (None, []):
            lines = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
            table.add_row(f"[dim]{key}[/]", escape(lines))
    Console().print(table)


async def _facts(text: str) -> dict[str, Any]:
    """What ``info`` shows, in the order it shows it."""
    import dreamlake.aio as adl
    from dreamlake._async.asset import locate
    from dreamlake._async.catalog import AsyncCatalog, info_of
    from dreamlake.core.targets import FileUri, is_target, parse_source

    if not is_target(text) and isinstance(parse_source(text), FileUri):
        video = await adl.load_video(text)
        names = ("uri", "fps", "duration", "frames", "width", "height")
        return {name: getattr(video, name) for name in names}
    if is_target(text):
        entry = await info_of(text)
        if entry.kind == FOLDER:
            return as_event(entry)
    asset = await locate(text)
    facts = {**msgspec.to_builtins(await asset.metadata()), "id": asset.id, "uri": asset.uri}
    return {**facts, "names": await AsyncCatalog(asset.lake.address).names_of(asset)}
