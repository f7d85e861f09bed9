"""``dreamlake engine``: world models for other processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from dreamlake.cli.common import Host, LogFormat, LogLevel, Port
from dreamlake.errors import MissingExtraError, UsageError

__all__ = ["engine"]

REFERENCE = "dreamlake.server.engine.reference:ReferenceCamera"

engine = typer.Typer(name="engine", help="Serve world models.", no_args_is_help=True)


@engine.callback()
def _group() -> None:
    """Serve world models."""


@engine.command()
def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="package.module:Class; again for more, the first is the default "
            "[default: the reference model, a camera that actions move before a picture]."
        ),
    ] = None,
    slug: Annotated[str | None, typer.Option(help="What requests call the model, if not as it calls itself.")] = None,
    price: Annotated[float | None, typer.Option(help="USD for each frame, if not the model's own.", min=0)] = None,
    host: Host = "127.0.0.1",
    port: Port = 10434,
    data: Annotated[
        Path | None, typer.Option(help="The folder of answers, bills and jobs [default: ~/.dreamlake/engine].")
    ] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            help="A key that is let in; again for more. DREAM_ENGINE_KEYS, with commas between them, shows none to ps."
        ),
    ] = None,
    budget: Annotated[float | None, typer.Option(help="USD that each key may spend, ever.", min=0)] = None,
    encoding: Annotated[
        Literal["playable", "exact"],
        typer.Option(help="Of rollouts: H.264 for any player, or lossless RGB for those that compute with it."),
    ] = "playable",
    queue: Annotated[int, typer.Option(help="Rollouts that may wait; beyond, 429 is answered.", min=1)] = 64,
    model_timeout: Annotated[
        float,
        typer.Option(help="Seconds that one call of a model may take; then 504 is answered. 0 for any time.", min=0),
    ] = 600.0,
    jobs_root: Annotated[
        list[str] | None,
        typer.Option(help="What jobs may read and write here: a folder, s3://bucket/prefix, or lake; again for more."),
    ] = None,
    max_jobs: Annotated[int, typer.Option(help="Jobs that run at once.", min=1)] = 1,
    grace: Annotated[
        float, typer.Option(help="Seconds that requests under way have after a signal to end.", min=0)
    ] = 10.0,
    log_format: LogFormat = None,
    log_level: LogLevel = "info",
) -> None:
    """Serve world models to other processes of this machine, or with an API key of others."""
    from dreamlake.config import home

    try:
        from dreamlake.server.engine.models import load_model, serve_model
        from dreamlake.server.engine.serve import serve_engine
        from dreamlake.server.engine.settings import EngineSettings
    except ImportError as error:
        raise MissingExtraError("lake", "dreamlake engine serve") from error

    names = model or [REFERENCE]
    if len(names) > 1 and (slug is not None or price is not None):
        raise UsageError("--slug and --price are for one model")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it: models are in the folder that one works in
    models = [serve_model(load_model(name), slug=slug, price=price) for name in names]
    keys = [*(api_key or []), *os.environ.get("DREAM_ENGINE_KEYS", "").split(",")]
    settings = EngineSettings(
        (data or home() / "engine").expanduser().absolute(),
        keys=tuple(key.strip() for key in keys if key.strip()),
        budget_micros=None if budget is None else round(budget * 1_000_000),
        encoding=encoding,
        max_waiting=queue,
        max_rollouts=min(32, queue),
        model_seconds=model_timeout or None,
        jobs_roots=tuple(jobs_root or ()),
        max_jobs=max_jobs,
        grace_seconds=grace,
        worker=(sys.executable, "-m", "dreamlake.cli.jobworker"),
    )
    served = ", ".join(f"{one.slug} ({one.facts.name})" for one in models)
    said = f"dreamlake: {served} served at "
    serve_engine(
        settings, models, host, port, lambda url: typer.echo(f"{said}{url}"), log_format=log_format, log_level=log_level
    )
