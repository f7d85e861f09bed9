"""``python -m benchmarks [NAME ...] [--quick]``: run benchmarks and print one table."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

WORKS = {  # the name, and the module; its first line is the help
    "upload": "upload",
    "transfer": "transfer",
    "split": "split",
    "sequential": "sequential",
    "random": "random_frames",
    "open": "first_frame",
    "imports": "imports",
    "latency": "latency",
    "clips": "clips",
    "in-place": "in_place",
    "remote": "remote",
    "memory": "memory",
    "load": "load",
    "predict": "predict",
}
WIDTH = 150


def main() -> None:
    """Run what was asked for."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    asked = _arguments()
    for variable in [name for name in os.environ if name.startswith("DREAMLAKE_")]:
        del os.environ[variable]
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="dreamlake-bench-") as folder:
        os.environ["DREAMLAKE_HOME"] = str(Path(folder) / "home")  # nothing of the user's is read or written
        _run(asked, Path(folder), console)
    console.print(f"{time.perf_counter() - begun:.0f} s in all")


def _arguments() -> argparse.Namespace:
    lines = [f"  {name:<11} {_line(module)}" for name, module in WORKS.items()]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Ratios against peers, measured side by side. Names:\n\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to measure [default: everything]")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about 90 s for everything")
    parser.add_argument("--hour", action="store_true", help="memory: read an hour of 1080p, not 10 minutes")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in WORKS]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(WORKS)}")
    return arguments


def _line(module: str) -> str:
    """The first line of a module's docstring, read without importing what it needs."""
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    return source.split("\n", 1)[0].strip('"')


def _run(asked: argparse.Namespace, folder: Path, console: Console) -> None:
    import dreamlake as dl
    from benchmarks.bench import Bench
    from benchmarks.measure import Row, show
    from benchmarks.media import Media

    say = Console(stderr=True, highlight=False).print
    bench = Bench(folder, asked.quick, asked.hour, Media(folder, lambda text: say(f"[dim]{text}")))
    rows: list[Row] = []
    try:
        for name in asked.names or WORKS:
            begun = time.perf_counter()
            rows += import_module(f"benchmarks.{WORKS[name]}").measure(bench)
            say(f"[dim]{name}: {time.perf_counter() - begun:.0f} s")
    finally:
        dl.close()
    peers = ", ".join(
        f"{name} {_version(name)}" for name in ("av", "torchcodec", "decord2", "imageio-ffmpeg", "dream-engine")
    )
    console.print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {peers}; {'quick' if asked.quick else 'full'}"
    )
    show(rows, console)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
