"""``dreamlake info``: what is known of an asset, or of a video file."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from dreamlake.cli.common import Json, finish, say

__all__ = ["info"]


def info(
    source: Annotated[
        str, typer.Argument(help="A resource id, a bss:// URI, namespace@space:episode//path, or a video file.")
    ],
    json: Json = False,
) -> None:
    """Say what is known of an asset, or of a video file."""
    facts = finish(_facts(source))
    if json:
        say(facts)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        if value is not None:
            table.add_row(f"[dim]{key}[/]", escape(str(value)))
    Console().print(table)


async def _facts(text: str) -> dict[str, Any]:
    """What ``info`` shows, in the order it shows it."""
    import dreamlake.aio as adl
    from dreamlake._async.asset import locate
    from dreamlake.core.targets import FileUri, parse_source

    if ("//" not in text or "://" in text) and isinstance(parse_source(text), FileUri):
        video = await adl.load_video(text)
        names = ("uri", "fps", "duration", "frames", "width", "height")
        return {name: getattr(video, name) for name in names}
    asset = await locate(text)
    return {**msgspec.to_builtins(await asset.metadata()), "id": asset.id, "uri": asset.uri}
