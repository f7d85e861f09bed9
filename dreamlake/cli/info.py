"""``dreamlake info``: what is known of a video."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.errors import InvalidIdError

__all__ = ["info"]


def info(
    video: Annotated[str, typer.Argument(help="A resource id (v-…), a bss:// URI, or a video file.")],
    json: Json = False,
) -> None:
    """Say what is known of a video."""
    facts = finish(_facts(video))
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
    from dreamlake._async.lake import AsyncLake
    from dreamlake.config import current_lake, lake_at
    from dreamlake.core.ids import resource_id
    from dreamlake.core.kinds import VIDEO
    from dreamlake.core.targets import AssetUri, bss_uri, parse_source

    target = parse_source(text)
    if not isinstance(target, AssetUri):
        video = await adl.load_video(text)
        names = ("uri", "fps", "duration", "frames", "width", "height")
        return {name: getattr(video, name) for name in names}
    lake = AsyncLake(current_lake() if target.host is None else lake_at(target.host))
    if target.kind != VIDEO:
        raise InvalidIdError(f"{text!r} is {target.kind.phrase}, and a video is wanted here")
    meta = await lake.video(target.object_id)
    shown = {"id": resource_id(VIDEO, meta.id), "uri": bss_uri(lake.address.host, VIDEO, meta.id)}
    return {**msgspec.to_builtins(meta), **shown}
