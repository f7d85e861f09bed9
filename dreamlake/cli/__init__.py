"""The command ``dreamlake``: upload, download, ls, tree, info, mv, rm, search, index, gc, serve, keys, login, whoami,
doctor, demo, and for world models predict, jobs, engine.

Exit status: 0 done, 1 unexpected, 2 wrong arguments, 3 the file cannot be taken, 4 not found, 5 no access, 6 no lake
answers, 7 upload paused (run it again), 8 processing failed, 9 the lake refused or failed, 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from dreamlake.cli.common import EXIT_STATUS, say
from dreamlake.cli.demo import demo
from dreamlake.cli.doctor import doctor
from dreamlake.cli.download import download
from dreamlake.cli.engine import engine
from dreamlake.cli.gc import gc
from dreamlake.cli.info import info
from dreamlake.cli.jobs import jobs
from dreamlake.cli.keys import keys
from dreamlake.cli.listing import ls, tree
from dreamlake.cli.login import login, whoami
from dreamlake.cli.mv import mv
from dreamlake.cli.predict import predict
from dreamlake.cli.rm import rm
from dreamlake.cli.search import index, search
from dreamlake.cli.serve import serve
from dreamlake.cli.upload import upload
from dreamlake.errors import DreamlakeError

__all__ = ["app", "main"]

app = typer.Typer(help="Dreamlake: a video data lake.", no_args_is_help=True, pretty_exceptions_enable=False)
for command in (upload, download, ls, tree, info, mv, rm, search, gc, serve, login, whoami, doctor, demo):
    app.command()(command)
app.command()(predict)
app.add_typer(keys)
app.add_typer(index)
app.add_typer(jobs)
app.add_typer(engine)


def main() -> None:
    """Run the command line; every foreseen failure is one line and a documented exit status."""
    try:
        app(standalone_mode=True)
    except DreamlakeError as error:
        if "--json" in sys.argv:
            say({"event": "error", "error": type(error).__name__, "message": str(error)})
        typer.echo(f"dreamlake: {error}", err=True)
        sys.exit(next(status for kind, status in EXIT_STATUS if isinstance(error, kind)))
    except OSError as error:
        typer.echo(f"dreamlake: {error}", err=True)
        sys.exit(1)
