"""Rollouts in a dataset of Hugging Face, many in each commit.

The Hub takes so many commits an hour, and is slow with commits of many files. So rollouts wait in a folder of this
machine until there are enough of them for a commit, or no more come, and leave it when they are committed: it never
holds more than two commits of them. It outlives the process, and the next call commits what is in it.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dreamlake.core.pace import Window
from dreamlake.core.retry import Backoff
from dreamlake.core.wireengine import JobSink
from dreamlake.errors import MissingExtraError, SinkError
from dreamlake.io.sink import METADATA, SHARDS, VIDEOS, RolloutSink
from dreamlake.media.rollout import write_whole

__all__ = ["HfSink"]

FILES = 500  # in a commit; with metadata among them
COMMITS, SECONDS = 60, 3600.0
_BACKOFF = Backoff(attempts=4, base=1.0)


class HfSink(RolloutSink):
    """``videos/<row_id>.mp4`` and ``metadata.parquet`` in a dataset.

    Args:
        repo: ``owner/name``.
        token: None for the one that is kept.
        private: whether a dataset that is made is for its owners alone.
        endpoint: of a Hub other than huggingface.co.
    """

    def __init__(self, repo: str, *, token: str | None, private: bool, endpoint: str | None) -> None:
        try:
            from huggingface_hub import HfApi
        except ImportError as error:
            raise MissingExtraError("hf", "RolloutSink.hf") from error
        self._repo = repo
        self._token = token
        self._private = private
        self._hub = HfApi(endpoint=endpoint, token=token)
        self._lock = threading.Lock()  # of what is counted
        self._committing = threading.Lock()
        self._there: frozenset[str] = frozenset()
        self._waiting: set[str] = set()
        self._window = Window(COMMITS, SECONDS)
        self._folder = Path()

    @property
    def uri(self) -> str:
        """``hf://datasets/owner/name``."""
        return f"hf://datasets/{self._repo}"

    def describe(self) -> JobSink:
        """The dataset, which the engine commits to itself."""
        return JobSink(type="hf", location=self._repo, options={"private": self._private}, token=self._token)

    def open(self, folder: Path, *, resumed: bool) -> None:
        """Make the dataset where there is none, and see what is in it and what still waits to be committed."""
        self._folder = folder / "spool"
        (self._folder / VIDEOS).mkdir(parents=True, exist_ok=True)
        self._tried(
            lambda: self._hub.create_repo(self._repo, repo_type="dataset", private=self._private, exist_ok=True)
        )
        there = frozenset(self._tried(lambda: list(self._files())))
        if not resumed and METADATA in there:
            raise SinkError(f"{self.uri} has a {METADATA} already, which no journal knows of; write to another dataset")
        for part in self._folder.rglob(".*.part"):
            part.unlink(missing_ok=True)
        self._there = there
        self._waiting = {
            path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file()
        }
        with suppress(OSError, ValueError):  # then none is known of
            self._window.times = deque(json.loads((folder / "commits.json").read_text()))

    def has(self, row_id: str) -> bool:
        """Whether the file was committed, or waits for it."""
        name = f"{VIDEOS}/{row_id}.mp4"
        return name in self._there or name in self._waiting

    def write(self, row_id: str, video: bytes, record: Mapping[str, Any]) -> None:
        """Put a file beside those that wait; with enough of them, commit."""
        del record
        self._add(f"{VIDEOS}/{row_id}.mp4", lambda path: write_whole(path, video))
        while (waiting := self._ready()) >= 2 * FILES or (waiting >= FILES and not self._committing.locked()):
            self._commit(at_least=FILES)

    def write_metadata(self, name: str, path: Path) -> None:
        """Put a file beside those that wait."""

        def copy(target: Path) -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = target.with_name(f".{target.name}.part")
            shutil.copyfile(path, beside)
            beside.replace(target)

        self._add(name, copy)

    def finalize(self, shards: list[str]) -> str:
        """Commit what still waits, and then delete what is superfluous."""
        for name in shards:
            (self._folder / name).unlink(missing_ok=True)
            self._waiting.discard(name)
        while self._ready():  # so that the metadata never names what is not there
            self._commit(at_least=1)
        self._commit(at_least=1, delete=[name for name in shards if name in self._there])
        return self.uri

    def _ready(self) -> int:
        """How many files wait that may be committed before the end."""
        with self._lock:
            return len(self._waiting - {METADATA})

    def _add(self, name: str, write: Callable[[Path], None]) -> None:
        write(self._folder / name)
        with self._lock:
            self._waiting.add(name)

    def _commit(self, at_least: int, delete: list[str] | None = None) -> None:
        """Commit what waits, if it is at least so much, and at most what one commit holds."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        with self._committing:
            with self._lock:
                # Metadata in parts goes with the next rollouts; the whole of it goes alone, and last.
                names = sorted(self._waiting - {METADATA}, key=lambda name: not name.startswith(SHARDS))[:FILES]
                names = names or sorted(self._waiting)
            if len(names) < at_least and not delete:
                return
            operations: list[Any] = [CommitOperationAdd(name, str(self._folder / name)) for name in names]
            # More than fit are deleted a commit at a time, from the first on.
            gone = (delete or [])[: FILES - len(operations)]
            operations += [CommitOperationDelete(name) for name in gone]
            self._permit()
            self._tried(
                lambda: self._hub.create_commit(
                    self._repo,
                    operations,
                    commit_message=f"Add {sum(name.startswith(VIDEOS) for name in names)} rollouts",
                    repo_type="dataset",
                )
            )
            with self._lock:
                self._there |= set(names)
                self._there -= set(gone)
                self._waiting.difference_update(names)
            for name in names:
                (self._folder / name).unlink(missing_ok=True)
        if delete and len(delete) > len(gone):
            self._commit(at_least=0, delete=delete[len(gone) :])

    def _permit(self) -> None:
        """Wait until there may be another commit; those of earlier calls count too."""
        while (seconds := self._window.wait(time.time())) > 0:
            time.sleep(seconds)
        self._window.note(time.time())
        write_whole(self._folder.parent / "commits.json", json.dumps(list(self._window.times)).encode())

    def _files(self) -> Iterator[str]:
        for item in self._hub.list_repo_tree(self._repo, recursive=True, repo_type="dataset"):
            yield item.path

    def _tried(self, call: Callable[[], Any]) -> Any:
        """Call the Hub, again where that can help."""
        failures = 0
        while True:
            try:
                return call()
            except Exception as error:
                # What goes wrong in an upload comes within another error, which says which file it was.
                status = _status(error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error)
                if status is None:
                    raise
                failures += 1
                delay = _BACKOFF.delay(failures, 0.5) if status in (0, 429) or status >= 500 else None
                if delay is None:
                    raise SinkError(f"{self.uri}: {error}") from error
                time.sleep(delay)


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error is for; 0 where no answer came, None where it is no error of the Hub."""
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    # By name: which library the Hub's client speaks HTTP with differs between its versions.
    lost = any(kind.__name__ in ("TransportError", "ConnectionError") for kind in type(error).__mro__)
    return 0 if lost else None
