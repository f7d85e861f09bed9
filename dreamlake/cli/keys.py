"""``dreamlake keys``: the API keys of a lake, and the key that it signs URLs with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.core.keys import SCOPES, Scope
from dreamlake.core.wirekeys import CreateKey, KeyInfo
from dreamlake.errors import UsageError

if TYPE_CHECKING:
    from dreamlake._async.lake import AsyncLake

__all__ = ["keys"]

keys = typer.Typer(name="keys", help="Make, list and revoke API keys.", no_args_is_help=True)


@keys.command()
def create(
    namespace: Annotated[
        str | None, typer.Argument(help="That the key is for [default: that of whoever makes it].")
    ] = None,
    scope: Annotated[str, typer.Option(help="What it may do: read, write or admin.")] = "write",
    label: Annotated[str, typer.Option(help="What you will know it by.")] = "",
    json: Json = False,
) -> None:
    """Make a key. It is shown this once; from the first one on a server answers nobody without."""
    body = CreateKey(_scope(scope), label, namespace)
    made = finish(_lake().create_key(body))
    if json:
        say(msgspec.to_builtins(made))
        return
    typer.echo(f"a key for {made.namespace}, to {made.scope}; keep it, it is not shown again:", err=True)
    typer.echo(made.key)


@keys.command("ls")
def listing(json: Json = False) -> None:
    """List the keys, without their secrets."""
    found = finish(_all())
    if json:
        for one in found:
            say(msgspec.to_builtins(one))
        return
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table

    table = Table("key", "namespace", "scope", "label", "made", "revoked", box=None, header_style="dim")
    for one in found:
        days = [
            datetime.fromtimestamp(time).astimezone().strftime("%Y-%m-%d") if time else ""
            for time in (one.created_at, one.revoked_at)
        ]
        table.add_row(f"dlk_{one.id}…", one.namespace, one.scope, one.label, *days)
    Console().print(table)


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The key as ls shows it: dlk_ and 8 characters.")]) -> None:
    """End a key, for good."""
    plain = key_id.removeprefix("dlk_").rstrip("…")
    finish(_lake().revoke_key(plain))
    typer.echo(f"dlk_{plain}… is revoked")


@keys.command()
def rotate(
    at_once: Annotated[
        bool, typer.Option("--at-once", help="End all URLs that were given out, as after a leak.")
    ] = False,
) -> None:
    """Sign presigned URLs with a new key. Old URLs hold until they expire."""
    left = finish(_lake().rotate_signing(at_once=at_once)).keys
    typer.echo(f"a new key signs from now on; {left} verify" if not at_once else "all URLs given out so far have ended")


async def _all() -> list[KeyInfo]:
    found: list[KeyInfo] = []
    cursor: str | None = None
    while True:
        page = await _lake().keys(cursor)
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found


def _scope(text: str) -> Scope:
    for scope in SCOPES:
        if scope == text:
            return scope
    raise UsageError(f"a key is for {', '.join(SCOPES)}, not {text!r}")


def _lake() -> AsyncLake:
    from dreamlake._async.lake import AsyncLake
    from dreamlake.config import current_lake

    return AsyncLake(current_lake())
