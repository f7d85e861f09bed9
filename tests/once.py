"""What takes long to make is made once in a run of the tests, for all of its processes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

__all__ = ["computed_once", "keep", "made_once"]

_folder: Path | None = None  # without one, as in the benchmarks, all is made anew


def keep(folder: Path) -> None:
    """Keep what is made in a folder, which the processes of a run share."""
    global _folder
    folder.mkdir(exist_ok=True)
    _folder = folder


def made_once(recipe: object, path: Path, write: Callable[[Path], object]) -> Path:
    """Have a file at a path: a copy of the one that the same recipe has given before, if there is one.

    Args:
        recipe: its repr says all that the bytes depend on.
        path: of the file, whose extension may decide too.
        write: writes a file that is not there yet.
    """
    if _folder is None:
        write(path)
        return path
    kept = _folder / f"{sha256(repr(recipe).encode()).hexdigest()[:24]}{path.suffix}"
    if not kept.exists():
        with TemporaryDirectory(dir=_folder) as folder:
            new = Path(folder) / path.name
            write(new)
            new.replace(kept)  # another process may have made it too: it is the same
    return Path(shutil.copyfile(kept, path))


def computed_once(recipe: object, compute: Callable[[], NDArray[np.generic]]) -> NDArray[np.generic]:
    """An array, read from a file where the same recipe has given it before; nobody can write to that one.

    Args:
        recipe: its repr says all that the array depends on.
        compute: gives the array.
    """
    if _folder is None:
        return compute()
    kept = _folder / f"{sha256(repr(recipe).encode()).hexdigest()[:24]}.npy"
    if not kept.exists():
        with TemporaryDirectory(dir=_folder) as folder:
            new = Path(folder) / "array.npy"
            np.save(new, compute())
            new.replace(kept)
    return np.load(kept, mmap_mode="r").view(np.ndarray)
