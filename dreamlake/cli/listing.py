"""``dreamlake ls`` and ``dreamlake tree``: what is in a lake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.cli.completion import complete_place
from dreamlake.core.entries import Entry
from dreamlake.core.wirecatalog import EPISODE, FOLDER
from dreamlake.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["as_event", "ls", "tree"]

ROWS = 200  # of a table; a longer listing is several, so that the first is there at once
LIMIT = 1000  # entries that are shown on a terminal, or as a tree, when nothing else is said

PlaceArgument = Annotated[
    str | None,
    typer.Argument(
        help="A folder, as namespace@space:episode//path, or a path in your own default space [default: its root].",
        autocompletion=complete_place,
    ),
]
SpaceOption = Annotated[str | None, typer.Option(help="space@namespace, such as robotics@alice.")]
EpisodeOption = Annotated[str | None, typer.Option(help="namespace@space:episode, such as alice@robotics:run-042.")]
LimitOption = Annotated[int | None, typer.Option(help="Show no more entries than this.", min=1)]


def ls(
    place: PlaceArgument = None,
    space: SpaceOption = None,
    episode: EpisodeOption = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Only these: video, audio, image, label-track, text-track, folder or episode."),
    ] = None,
    find: Annotated[
        str | None, typer.Option(help="Only what has this in its name, or fits a pattern such as 'front*.mp4'.")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Also what is in the folders below.")] = False,
    spaces: Annotated[bool, typer.Option("--spaces", help="List your spaces, or the namespace PLACE's.")] = False,
    limit: LimitOption = None,
    json: Json = False,
) -> None:
    """List what is in a folder of the lake."""
    if spaces:
        finish(_spaces(place, limit, json))
        return
    options = {"space": space, "episode": episode, "kind": kind}
    finish(_ls(_place(place), find, recursive, limit, json, options))


def tree(
    place: PlaceArgument = None,
    space: SpaceOption = None,
    episode: EpisodeOption = None,
    limit: LimitOption = None,
    json: Json = False,
) -> None:
    """Show the folders of the lake, with all that is in them, as a tree."""
    options = {"space": space, "episode": episode, "kind": None}
    if json:
        finish(_ls(_place(place), None, True, limit, json, options))
    else:
        finish(_tree(_place(place), limit or LIMIT, options))


def as_event(entry: Entry) -> dict[str, Any]:
    """An entry as a line for machines."""
    return {
        "name": entry.name, "kind": entry.kind, "id": entry.id, "size": entry.size, "created": entry.created,
        "namespace": entry.namespace, "space": entry.space, "episode": entry.episode, "target": entry.target,
    }  # fmt: skip


def _place(text: str | None) -> str | None:
    """A space may be named alone: ``alice@robotics`` is ``alice@robotics//``."""
    alone = text is not None and "/" not in text and ("@" in text or ":" in text)
    return f"{text}//" if alone else text


async def _ls(
    place: str | None, find: str | None, recursive: bool, limit: int | None, json: bool, options: dict[str, Any]
) -> None:
    import dreamlake.aio as adl
    from dreamlake.core.prefix import resolve_name

    if find is not None:
        found = adl.find(find, prefix=place, **options)
    else:
        found = adl.ls(place, recursive=recursive, **options)
    where = resolve_name(place, space=options["space"], episode=options["episode"])
    with _output(json) as (console, write):
        shown = 0
        async for entry in _bounded(found, limit or (LIMIT if console is not None else None)):
            write(entry, where.space.episode is None)
            shown += 1
    if not shown and where.folder != "/" and find is None and options["kind"] is None:
        from dreamlake._async.catalog import AsyncCatalog
        from dreamlake.config import current_lake

        await AsyncCatalog(current_lake()).lookup(where)  # which says so where there is no such folder


async def _bounded(entries: AsyncIterator[Entry], limit: int | None) -> AsyncIterator[Entry]:
    shown = 0
    async for entry in entries:
        if limit is not None and shown == limit:
            typer.echo(f"dreamlake: these are the first {limit}; --limit shows more", err=True)
            return
        yield entry
        shown += 1


@contextmanager
def _output(json: bool) -> Iterator[tuple[Console | None, Any]]:
    """What writes entries: tables on a terminal, and else lines. It is told whether to name their episodes."""
    from rich.console import Console

    console = Console()
    if json:
        yield None, lambda entry, _: say(as_event(entry))
        return
    if not console.is_terminal:
        yield None, lambda entry, episode: typer.echo("\t".join(_columns(entry, episode)))
        return
    rows: list[tuple[str, ...]] = []

    def write(entry: Entry, episode: bool) -> None:
        rows.append(_columns(entry, episode, people=True))
        if len(rows) == ROWS:
            _print_table(console, rows)
            rows.clear()

    yield console, write
    if rows:
        _print_table(console, rows)


def _columns(entry: Entry, episode: bool, people: bool = False) -> tuple[str, ...]:
    """Id, kind, size, time and name; sizes in bytes and times in UTC where it is not for people."""
    from rich.filesize import decimal

    size = "" if entry.size is None else decimal(entry.size) if people else str(entry.size)
    moment = entry.created.astimezone() if people else entry.created
    time = moment.strftime("%Y-%m-%d %H:%M") if people else moment.isoformat(timespec="seconds")
    return entry.id if entry.size is not None or not people else "", entry.kind, size, time, _name(entry, episode)


def _name(entry: Entry, episode: bool) -> str:
    """The path, with the episode before it where it is not clear which."""
    if entry.kind == EPISODE:
        return f"{entry.name}//"
    name = f"{entry.name}/" if entry.kind == FOLDER else entry.name
    return f"{entry.episode}/{name}" if episode and entry.episode is not None else name


def _print_table(console: Console, rows: list[tuple[str, ...]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for asset, kind, size, time, name in rows:
        table.add_row(f"[dim]{asset}[/]", kind, size, f"[dim]{time}[/]", escape(name))
    console.print(table)


async def _tree(place: str | None, limit: int, options: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.filesize import decimal
    from rich.markup import escape
    from rich.tree import Tree

    import dreamlake.aio as adl
    from dreamlake.core.prefix import resolve_name

    where = resolve_name(place, space=options["space"], episode=options["episode"])
    console = Console()
    root = Tree(escape(place or where.folder), guide_style="dim")
    branches = {(where.space.episode, where.folder.rstrip("/")): root}
    found = adl.ls(place, recursive=True, **options)
    shown = 0
    async for entry in _bounded(found, limit):
        shown += 1
        path = "" if entry.kind == EPISODE else entry.name
        parent = (None, "") if entry.kind == EPISODE else (entry.episode, path.rpartition("/")[0])
        name = _name(entry, episode=False).rstrip("/").rpartition("/")[2]
        label = escape(name) + ("/" if entry.kind == FOLDER else "//" if entry.kind == EPISODE else "")
        if console.is_terminal:
            size = "" if entry.size is None else f"  [dim]{decimal(entry.size)}[/]"
            branches[entry.episode, path] = branches.get(parent, root).add(f"{label}{size}")
        else:
            depth = path.count("/") - where.folder.rstrip("/").count("/")
            deeper = entry.episode is not None and where.space.episode is None
            plain = name + ("/" if entry.kind == FOLDER else "//" if entry.kind == EPISODE else "")
            typer.echo("  " * (max(depth, 1) - 1 + (deeper and entry.kind != EPISODE)) + plain)
    if not shown and where.folder != "/":
        raise NotFoundError(f"there is nothing in {place}", 404)
    if console.is_terminal:
        console.print(root)


async def _spaces(namespace: str | None, limit: int | None, json: bool) -> None:
    from dreamlake._async.catalog import AsyncCatalog
    from dreamlake.config import current_lake
    from dreamlake.core.targets import check_slug

    if namespace is not None and not namespace.rstrip("@"):
        raise UsageError("--spaces takes the name of a namespace")
    owner = None if namespace is None else check_slug(namespace.rstrip("@"), "a namespace")
    shown = 0
    async for whose, space in AsyncCatalog(current_lake()).spaces(owner):
        if limit is not None and shown == limit:
            return
        shown += 1
        if json:
            say({"namespace": whose, "space": space, "target": f"{whose}@{space}//"})
        else:
            typer.echo(f"{whose}@{space}")
