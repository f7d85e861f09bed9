"""``dreamlake login`` and ``dreamlake whoami``: which lake, and as whom."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from dreamlake.cli.common import Json, finish, say
from dreamlake.config import LakeAddress
from dreamlake.core.wirekeys import Me

__all__ = ["login", "whoami"]


def login(
    url: Annotated[str, typer.Argument(help="The lake, such as https://lake.example.org.")],
    key: Annotated[
        str | None,
        typer.Option(help="The API key; - reads it from standard input [default: it is asked for]."),
    ] = None,
) -> None:
    """Use a lake from now on, with an API key, which is kept where only you can read it."""
    from dreamlake.config import connect, log_in
    from dreamlake.core.keys import ApiKey

    if key is None:
        key = typer.prompt("API key", hide_input=True)
    elif key == "-":
        key = typer.get_text_stream("stdin").readline()
    key = ApiKey.parse(key.strip()).text
    me = finish(_ask(connect(url, api_key=key)))
    path = log_in(url, key)
    typer.echo(f"you are {me.namespace} at {url}, to {me.scope}; the key is kept in {path}")


def whoami(json: Json = False) -> None:
    """Say which lake is in use, and whom it takes you for."""
    from dreamlake.config import current_lake

    lake = current_lake()
    me = finish(_ask(lake))
    if json:
        say({"lake": str(lake), **msgspec.to_builtins(me)})
        return
    key = f" with the key dlk_{me.key_id}…" if me.key_id else ", without a key"
    typer.echo(f"{me.namespace} at {lake}, to {me.scope}{key}")


async def _ask(lake: LakeAddress) -> Me:
    from dreamlake._async.lake import AsyncLake

    return await AsyncLake(lake).me()
