"""``dreamlake search`` and ``dreamlake index``: vector indexes on the command line."""

from __future__ import annotations

import base64
import io
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.core.wirevectors import IndexInfo
from dreamlake.errors import DreamlakeError, UsageError

if TYPE_CHECKING:
    import PIL.Image

    from dreamlake._async.searchresult import AsyncSearchResult
    from dreamlake._async.vectors import AsyncVectorIndex

__all__ = ["index", "search"]

ROWS = 6  # of text that a thumbnail is as high as
HEIGHT = 120  # pixels
PIECE = 4096  # bytes of a picture in one of kitty's sequences

NameArgument = Annotated[str, typer.Argument(help="The index: its name, or its path.")]
SpaceOption = Annotated[str | None, typer.Option(help="space@namespace, such as robotics@alice.")]

index = typer.Typer(name="index", help="List, look at and delete vector indexes.", no_args_is_help=True)


def search(
    text: Annotated[str, typer.Argument(help="Words that captions have.")],
    name: Annotated[str, typer.Option("--index", help="The index: its name, or its path.")],
    space: SpaceOption = None,
    limit: Annotated[int, typer.Option(help="Show no more than this.", min=1, max=1000)] = 10,
    where: Annotated[
        list[str] | None, typer.Option(help="name=value, of what was added with a vector; may be said again.")
    ] = None,
    thumbnails: Annotated[
        bool, typer.Option(help="Show the middle frame of each clip, where the terminal shows pictures.")
    ] = True,
    json: Json = False,
) -> None:
    """Find clips by the words of their captions."""
    finish(_search(text, name, space, limit, _conditions(where or []), thumbnails, json))


@index.command("ls")
def listing(
    prefix: Annotated[str | None, typer.Argument(help="Only those below this folder.")] = None,
    space: SpaceOption = None,
    json: Json = False,
) -> None:
    """List the vector indexes of a space."""
    found = finish(_list(prefix, space))
    if json:
        for one in found:
            say(msgspec.to_builtins(one))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("index", "vectors", "dim", "encoder", "made", box=None, header_style="dim")
    for one in found:
        path = f"{one.prefix.rstrip('/')}/{one.name}" if one.prefix != "/" else one.name
        table.add_row(path, f"{one.count}", f"{one.dim}", one.encoder or "", one.created_at[:10])
    Console().print(table)


@index.command()
def info(name: NameArgument, space: SpaceOption = None, json: Json = False) -> None:
    """Say what is known of an index."""
    facts = msgspec.to_builtins(finish(_info(name, space)))
    if json:
        say(facts)
        return
    ann = facts.pop("ann", None)
    search_by = "comparing all vectors"
    if ann is not None and ann["probes"]:
        search_by = f"an approximate index over {ann['rows']} vectors, which finds {ann['recall']:.1%} of the nearest"
    for key, value in {**facts, "search": search_by}.items():
        if value is not None:
            typer.echo(f"{key:<10} {value}")


@index.command()
def rm(
    name: NameArgument,
    space: SpaceOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete an index with all of its vectors."""
    found = finish(_info(name, space))
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{name} has {found.count} vectors: say --yes where nobody can be asked")
        typer.confirm(f"Delete {name} with its {found.count} vectors?", abort=True, err=True)
    finish(_drop(name, space))
    typer.echo(f"deleted {name}")


def _open(name: str, space: str | None) -> AsyncVectorIndex:
    import dreamlake.aio as adl

    return adl.vec_index(name, space=space)


async def _list(prefix: str | None, space: str | None) -> list[IndexInfo]:
    import dreamlake.aio as adl

    return [one async for one in adl.vec_indexes(prefix, space=space)]


async def _info(name: str, space: str | None) -> IndexInfo:
    return await _open(name, space).info()


async def _drop(name: str, space: str | None) -> None:
    await _open(name, space).drop()


async def _search(
    text: str, name: str, space: str | None, limit: int, where: dict[str, Any], thumbnails: bool, json: bool
) -> None:
    show = _pictures() if thumbnails and not json else None
    for found in await _open(name, space).search(text, limit, where=where):
        if json:
            say(_as_event(found))
            continue
        place = f"  {found.video_id} {found.st:.2f}-{found.et:.2f} s" if found.video_id is not None else ""
        extra = "".join(f"  {key}={value}" for key, value in found.extra.items())
        typer.echo(f"{found.score:8.4f}  {found.caption}{place}{extra}")
        if show is not None and found.video is not None:
            with suppress(DreamlakeError):  # the clip may be gone, or its host; it was found all the same
                for piece in show(await found.video.thumbnail):
                    sys.stdout.write(piece)
                typer.echo()


def _as_event(found: AsyncSearchResult) -> dict[str, Any]:
    return {
        "id": found.id, "score": found.score, "caption": found.caption, "videoId": found.video_id, "st": found.st,
        "et": found.et, "fs": found.fs, "fe": found.fe, "extra": found.extra, "matchedBy": list(found.matched_by),
    }  # fmt: skip


def _conditions(texts: list[str]) -> dict[str, Any]:
    """What is said by ``--where``: values are JSON where they can be, and else texts."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--where is name=value, not {text!r}")
        try:
            said = msgspec.json.decode(value)
        except msgspec.MsgspecError:
            said = value
        if name in ("st", "et"):
            found[name] = said
        else:
            found.setdefault(name, []).append(said)
    return found


# -- pictures in a terminal --------------------------------------------------------------------------------------------


def _pictures() -> Any:
    """How this terminal is told to show a picture; None where it is not known to."""
    if not sys.stdout.isatty() or os.environ.get("TMUX") or os.environ.get("STY"):
        return None  # those in between do not pass pictures on
    program, term = os.environ.get("TERM_PROGRAM", ""), os.environ.get("TERM", "")
    if "KITTY_WINDOW_ID" in os.environ or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return _for_kitty
    return _for_iterm if program in ("iTerm.app", "WezTerm") else None


def _png(image: PIL.Image.Image) -> str:
    image.thumbnail((4 * HEIGHT, HEIGHT))
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _for_kitty(image: PIL.Image.Image) -> Iterator[str]:
    """The graphics protocol of kitty: a PNG, in pieces."""
    data = _png(image)
    for at in range(0, len(data), PIECE):
        head = f"a=T,f=100,r={ROWS}," if at == 0 else ""
        yield f"\x1b_G{head}m={int(at + PIECE < len(data))};{data[at : at + PIECE]}\x1b\\"


def _for_iterm(image: PIL.Image.Image) -> Iterator[str]:
    """The inline images of iTerm2."""
    yield f"\x1b]1337;File=inline=1;height={ROWS}:{_png(image)}\a"
