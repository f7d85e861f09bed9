"""``dreamlake upload``: files, folders and patterns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from dreamlake.cli.common import Json, finish, say, status_of
from dreamlake.core.events import UploadEvent
from dreamlake.core.kinds import LABEL_TRACK, TEXT_TRACK
from dreamlake.core.parts import CONCURRENCY, PUT_SECONDS
from dreamlake.core.uploads import is_pattern

__all__ = ["reporter", "upload"]

TRACKS = (LABEL_TRACK.name, TEXT_TRACK.name)


def upload(
    paths: Annotated[list[str], typer.Argument(help="Files, folders (with --recursive), or patterns in quotes.")],
    episode: Annotated[
        str | None, typer.Option(help="namespace@space:episode, such as alice@robotics:run-042.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="The folder it goes to, such as /camera/front.")] = None,
    space: Annotated[str | None, typer.Option(help="space@namespace, such as robotics@alice.")] = None,
    kind: Annotated[
        str | None,
        typer.Option("--type", help="video, audio, image, label-track or text-track, whatever the extension says."),
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Upload the files of folders.")] = False,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out of folders what fits, such as '*.jpg'. May be repeated.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until the lake has processed it.")] = True,
    concurrency: Annotated[int, typer.Option(help="Parts that are sent at once.")] = CONCURRENCY,
    part_size: Annotated[
        int | None, typer.Option(help="Bytes of a part; 10 MB if not said, and more for very large files.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(help="Seconds that the storage may take to acknowledge a part.")
    ] = PUT_SECONDS,
    skip_bad_lines: Annotated[
        bool, typer.Option("--skip-bad-lines", help="Leave out lines of tracks that cannot be read, and count them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be uploaded, and do nothing.")] = False,
    json: Json = False,
) -> None:
    """Upload files. Run it again after any failure: it resumes, and skips what is done."""
    place: dict[str, Any] = {"space": space, "path": to, "episode": episode, "kind": kind}
    search: dict[str, Any] = {"recursive": recursive, "exclude": exclude or []}
    sending: dict[str, Any] = {
        "wait": wait, "concurrency": concurrency, "part_size": part_size, "timeout": timeout,
        "skip_bad_lines": skip_bad_lines,
    }  # fmt: skip
    file = Path(paths[0]).expanduser()
    if dry_run:
        status = finish(_plan(paths, json, **place, **search))
    elif len(paths) == 1 and not file.is_dir() and (file.exists() or not is_pattern(paths[0])):
        status = finish(_one(file, json, **place, **sending))
    else:
        status = finish(_many(paths, json, **place, **search, **sending))
    raise typer.Exit(status)


async def _one(file: Path, json: bool, **options: Any) -> int:
    import dreamlake.aio as adl

    with reporter(file.name, json) as report:
        asset = await adl.upload(file, progress=report, **options)
    skipped = await _skipped(asset, options)
    if json:
        say({"event": "done", "id": asset.id, "uri": asset.uri, **skipped})
    else:
        typer.echo(f"{asset.id}  {asset!r}" if options["wait"] else f"{asset.id}  {asset.uri}")
        _say_skipped(file.name, skipped)
    return 0


async def _skipped(asset: Any, options: dict[str, Any]) -> dict[str, int]:
    """How many lines of a track were left out; nothing where that was not asked for, or is not known yet."""
    if not options["skip_bad_lines"] or not options["wait"] or getattr(asset, "kind", "") not in TRACKS:
        return {}
    return {"skippedLines": (await asset.metadata()).skipped_lines or 0}


def _say_skipped(name: str, skipped: dict[str, int]) -> None:
    if count := skipped.get("skippedLines"):
        typer.echo(f"dreamlake: {name}: {count} bad line{'s were' if count > 1 else ' was'} skipped", err=True)


async def _many(paths: list[str], json: bool, **options: Any) -> int:
    import dreamlake.aio as adl

    progress = _say_progress if json else None
    report = await adl.upload_many(paths, progress=progress, **options)
    for result in report.results:
        said = {"file": str(result.path), "name": result.name}
        if json and result.error is not None:
            say({"event": "failed", **said, "error": type(result.error).__name__, "message": str(result.error)})
        elif json and result.asset is not None:
            done = {"id": result.asset.id, "uri": result.asset.uri, "known": result.known}
            say({"event": "done", **said, **done, **await _skipped(result.asset, options)})
        elif result.error is not None:
            typer.echo(f"dreamlake: {result.error}", err=True)
        elif result.asset is not None:
            typer.echo(f"{result.asset.id}  {result.name}")
            _say_skipped(str(result.name), await _skipped(result.asset, options))
    counts = {"ok": report.ok, "known": report.known, "failed": report.failed, "skipped": len(report.skipped)}
    if json:
        say({"event": "summary", **counts})
    else:
        words = {"known": "there before", "failed": "failed", "skipped": "left out (unknown types)"}
        more = "".join(f", {counts[key]} {word}" for key, word in words.items() if counts[key])
        typer.echo(f"{report.ok} of {len(report.results)} files are in the lake{more}", err=True)
    # What can be mended by running it again is told first.
    statuses = [status_of(result.error) for result in report.failures if result.error is not None]
    return 7 if 7 in statuses else 6 if 6 in statuses else statuses[0] if statuses else 0


async def _plan(
    paths: list[str], json: bool, *, space: str | None, path: str | None, episode: str | None, **options: Any
) -> int:
    from dreamlake._async.uploadmany import plan_uploads
    from dreamlake.core.prefix import resolve_place

    place = resolve_place(space=space, path=path, episode=episode)
    results, skipped = await plan_uploads(paths, place.folder, **options)
    for result in results:
        if json:
            said = {"event": "would-upload", "file": str(result.path), "name": result.name}
            kind = None if result.kind is None else result.kind.name
            say({**said, "kind": kind, "error": None if result.error is None else str(result.error)})
        elif result.error is not None or result.kind is None:
            typer.echo(f"dreamlake: {result.error}", err=True)
        else:
            typer.echo(f"{result.path}  →  {result.name}  ({result.kind.name})")
    for left_out in skipped:
        if json:
            say({"event": "left-out", "file": str(left_out)})
        else:
            typer.echo(f"{left_out}  is left out", err=True)
    errors = [result.error for result in results if result.error is not None]
    return status_of(errors[0]) if errors else 0


@contextmanager
def reporter(title: str, json: bool) -> Iterator[Callable[[UploadEvent], None]]:
    """Bars in a terminal, lines elsewhere, JSON for machines."""
    from dreamlake.progress import bars, lines

    if json:
        yield lambda event: _say_progress(msgspec.structs.replace(event, file=title))
    elif sys.stderr.isatty():
        with bars(title) as report:
            yield report
    else:
        yield lines(title, lambda line: typer.echo(line, err=True))


def _say_progress(event: UploadEvent) -> None:
    say({"event": "progress", **msgspec.structs.asdict(event)})
