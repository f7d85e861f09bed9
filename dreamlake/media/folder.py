"""The files that paths, folders and patterns name."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from dreamlake.core.kinds import kind_of
from dreamlake.core.uploads import Found, is_excluded, is_pattern
from dreamlake.errors import SourceError, SourceNotFoundError, UnsupportedTypeError

__all__ = ["find_files"]


def find_files(
    paths: Iterable[str | os.PathLike[str]], *, recursive: bool, exclude: Iterable[str] = (), any_type: bool = False
) -> tuple[list[Found], list[Path]]:
    """The files to upload, and those that are left out because Dreamlake does not know their type.

    Files of a folder keep their paths below it. Links to files are followed, links to folders are not, because they may
    lead in circles; what is hidden is left out.

    Args:
        paths: of files and folders, or patterns such as ``runs/**/*.mp4``.
        recursive: whether folders are searched.
        exclude: patterns of what is left out of folders.
        any_type: whether files of folders are taken whatever their type, because the caller says what they are.

    Raises:
        SourceNotFoundError: a path or pattern that names nothing.
        SourceError: a folder, and it is not to be searched.
    """
    exclude = tuple(exclude)
    found: dict[Path, Found] = {}
    left_out: list[Path] = []
    for given in paths:
        text = os.fspath(given)
        path = Path(text).expanduser()
        if not os.path.lexists(path) and is_pattern(text):
            matches = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 (pathlib follows no ** into links)
            if not matches:
                raise SourceNotFoundError(f"{text}: no file has such a name")
            files = [(Path(match), PurePath(Path(match).name), True) for match in matches if not Path(match).is_dir()]
        elif path.is_dir():
            if not recursive:
                raise SourceError(f"{text}: is a folder; its files are uploaded when you ask for it (recursive)")
            files = [(file, file.relative_to(path), False) for file in _walk(path)]
        else:
            files = [(path, PurePath(path.name), True)]
        for file, relative, named in files:
            if is_excluded(relative, exclude):
                continue
            if not named and not any_type and not _is_known(file):
                left_out.append(file)
            else:
                found.setdefault(file, Found(file, relative, named))
    return list(found.values()), left_out


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(root, name)


def _is_known(path: Path) -> bool:
    try:
        kind_of(path.name)
    except UnsupportedTypeError:
        return False
    return True
