"""What the commands share: exit statuses, running to the end, lines for machines."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import typer

from dreamlake.errors import (
    AccessError,
    AuthError,
    DreamError,
    DreamlakeError,
    EngineUnreachableError,
    FrameIndexError,
    LakeError,
    LakeUnreachableError,
    MissingExtraError,
    ModelNotFoundError,
    NotFoundError,
    ProcessingError,
    SourceError,
    UploadPausedError,
    UsageError,
)

__all__ = ["EXIT_STATUS", "Host", "Json", "LogFormat", "LogLevel", "Port", "finish", "say", "status_of"]

T = TypeVar("T")

EXIT_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (UsageError, 2),
    (FrameIndexError, 2),
    (MissingExtraError, 2),
    (SourceError, 3),
    (NotFoundError, 4),
    (AccessError, 5),
    (LakeUnreachableError, 6),
    (UploadPausedError, 7),
    (ProcessingError, 8),
    (LakeError, 9),
    (ModelNotFoundError, 4),
    (AuthError, 5),
    (EngineUnreachableError, 6),
    (DreamError, 9),
    (DreamlakeError, 1),
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]

# Of those that serve.
Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(help="The port; 0 for one that is free.", min=0, max=65535)]
LogFormat = Annotated[
    Literal["json", "text"] | None, typer.Option(help="Of the log on stderr [default: text on a terminal].")
]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], typer.Option(help="The least that is logged.")]


def status_of(error: DreamlakeError) -> int:
    """The exit status that an error is told by."""
    return next(status for kind, status in EXIT_STATUS if isinstance(error, kind))


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end; Ctrl-C cancels what is under way and waits for no network."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        typer.echo("dreamlake: interrupted", err=True)
        raise typer.Exit(130) from None


def say(event: dict[str, Any]) -> None:
    """A line for machines."""
    typer.echo(msgspec.json.encode(event).decode())
