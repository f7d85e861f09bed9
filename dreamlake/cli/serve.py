"""``dreamlake serve``: a lake for other processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamlake.cli.common import Host, LogFormat, LogLevel, Port
from dreamlake.errors import MissingExtraError

__all__ = ["serve"]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 10234,
    data: Annotated[Path | None, typer.Option(help="The folder of the lake [default: ~/.dreamlake/lake].")] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where the bytes are, such as s3://bucket/prefix [default: the folder].", envvar="DREAMLAKE_STORAGE"
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            help="The database, such as postgresql://user:password@host/database [default: SQLite in the folder].",
            envvar="DREAMLAKE_DATABASE",
            show_envvar=True,
        ),
    ] = None,
    public_url: Annotated[str | None, typer.Option(help="What URLs in answers begin with.")] = None,
    grace: Annotated[
        float, typer.Option(help="Seconds that requests and jobs under way have after a signal to end.", min=0)
    ] = 10.0,
    log_format: LogFormat = None,
    log_level: LogLevel = "info",
) -> None:
    """Serve a lake to other processes of this machine."""
    from dreamlake.config import home, storage_location
    from dreamlake.core.targets import shown_database

    try:
        from dreamlake.server.serve import serve as run
        from dreamlake.server.settings import Settings
    except ImportError as error:
        raise MissingExtraError("lake", "dreamlake serve") from error

    folder = (data or home() / "lake").expanduser().absolute()
    place = storage_location(storage)
    public = public_url.rstrip("/") if public_url else None
    settings = Settings(folder, public_url=public, storage=place, grace_seconds=grace, database=database or None)
    over = (f" over {place}" if place else "") + (f" with {shown_database(database)}" if database else "")
    said = f"dreamlake: {folder} is served at "
    run(settings, host, port, lambda url: typer.echo(f"{said}{url}{over}"), log_format=log_format, log_level=log_level)
