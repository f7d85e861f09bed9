# Generated from dreamlake/_async/trackwriting.py by scripts/unasync.py. Edit that file, then run it.
"""Flushing a track: the entries that it has and the new ones become its next version, under the same id.

A version is made of the one before, and the lake takes it only while that is still the newest: whoever comes late makes
another one, of what there is by then. So any number of writers may flush to one track, and nothing is lost. Whether a
version that nobody heard of again was taken shows in the next: its bytes begin with those.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path

from dreamlake._sync._runtime import offload, open_file, sleep
from dreamlake._sync.lake import Lake
from dreamlake._sync.localfile import LocalFile
from dreamlake._sync.trackbuffer import Sent
from dreamlake._sync.uploader import Uploader
from dreamlake.core.kinds import Kind
from dreamlake.core.prefix import Place
from dreamlake.core.targets import Space
from dreamlake.core.uploads import UploadOptions
from dreamlake.core.wireassets import TrackMeta
from dreamlake.core.wireuploads import NewVersion
from dreamlake.errors import IntegrityError, LakeError, NotFoundError, ServerError, UsageError

__all__ = ["Append", "Base"]

TRIES = 200  # of a writer whom others are always faster than
PAUSE = 0.05  # seconds; longer with every try, up to forty times that
CHANGED = 412
SHARED = 409


@dataclass(frozen=True)
class Base:
    """The version that there is: of which asset, its SHA-256 in hex, and its size in bytes."""

    object_id: str
    sha256: str
    size: int


@dataclass
class Append:
    """Appends entries to one track.

    Args:
        lake: that has it.
        kind: of the track.
        place: its name, the space complete; None for a track that is known by its id alone.
        name: of the track.
        object_id: of the track, if it is known by its id.
        sent: versions that were under way before, and that the lake may have taken.
    """

    lake: Lake
    kind: Kind
    place: Place | None
    name: str
    object_id: str | None
    sent: list[Sent] = field(default_factory=list)
    _registered: str | None = None
    _shared: bool = False
    _padding: bytes = b""

    def newest(self) -> Base | None:
        """The version that there is now.

        Raises:
            UsageError: what is there is something else.
        """
        if self.place is None:
            assert self.object_id is not None
            meta = self.lake.asset(self.kind, self.object_id)
            return Base(meta.id, meta.sha256, meta.size)
        try:
            found = self.lake.find(None, self.place.space, self.place.folder)
        except NotFoundError:
            return None
        if found.kind != self.kind.name:
            raise UsageError(f"{self.place.folder} is a {found.kind}, and no {self.kind.name}")
        return Base(found.bss_id, found.sha256, found.size)

    def run(self, lines: Sequence[bytes], note: partial[None]) -> str:
        """Append entries.

        Args:
            lines: the entries, as JSON.
            note: told of a version that is about to be sent.

        Returns:
            The ObjectId of the track.

        Raises:
            UsageError: the track is of a format that nothing can be appended to.
            LakeError: the lake refused it. Otherwise as ``upload``.
        """
        for attempt in range(TRIES):
            with tempfile.TemporaryDirectory(prefix="dreamlake-") as folder:
                done = self._try(Path(folder) / "track.jsonl", lines, note)
            if done is not None:
                return done
            sleep(random.random() * PAUSE * min(attempt + 1, 40))  # noqa: S311 (no secret)
        raise ServerError(f"{self.name}: others have changed it {TRIES} times while it was flushed")

    def contains(self, path: Path, base: Base) -> int:
        """How many of the entries are in a version already, of which this is to be a copy; it is fetched.

        Args:
            path: where it goes.
            base: the version.
        """
        digests = {sent.size: sha256() for sent in self.sent}
        whole, have = sha256(), 0
        with (
            open_file(path, "wb") as file,
            closing(self.lake.read(self.kind, base.object_id, 0, base.size)) as coming,
        ):
            for piece in coming:
                file.write(piece)
                whole.update(piece)
                for size, digest in digests.items():
                    digest.update(piece[: max(0, size - have)])
                have += len(piece)
        if whole.hexdigest() != base.sha256:
            raise IntegrityError(f"{self.name}: what came does not match its hash")
        there = [
            sent.count for sent in self.sent if sent.size <= have and digests[sent.size].hexdigest() == sent.sha256
        ]
        return max(there, default=0)

    def _try(self, path: Path, lines: Sequence[bytes], note: partial[None]) -> str | None:
        """One version; the ObjectId, or None when somebody was faster."""
        base = self.newest()
        known = 0
        if base is not None:
            if not self._shared:
                self._check_format(base)
            try:
                known = self.contains(path, base)
            except (IntegrityError, LakeError):
                if self.newest() != base:
                    return None  # it was changed while it was read
                raise
            if known >= len(lines):
                return base.object_id
        offload(partial(_append, path, [*lines[known:], *([self._padding] if self._padding else [])]))
        uploader = Uploader(UploadOptions())
        space = Space(None, None) if self.place is None else self.place.space
        if self.place is None:
            assert base is not None
            meta = self.lake.asset(self.kind, base.object_id)
            space = Space(meta.owner, meta.project)
        uploader.open(Place(space, "/"))
        local = LocalFile.read(path, None, lambda _: None)
        sent = Sent(local.sha256, local.size, len(lines))
        self.sent.append(sent)
        offload(partial(note, sent))
        staged = uploader.transfer(local, self.kind, lambda _: None).run()
        if base is None or self._shared:
            return self._create(uploader, local, staged, base)
        try:
            self.lake.new_version(self.kind, base.object_id, NewVersion(staged, base.sha256))
        except LakeError as error:
            if error.status == SHARED and self.place is not None:
                self._shared = True
                return None
            if error.status in (CHANGED, 404):
                return None
            raise
        if self.place is not None:  # the catalog says how large it is
            naming = uploader.naming(local, self.kind, self.name, base.object_id)
            with suppress(LakeError):  # it has its name
                self.lake.create_asset(self.kind, {**naming, "replaces": base.object_id})
        return base.object_id

    def _create(self, uploader: Uploader, local: LocalFile, staged: str, base: Base | None) -> str | None:
        """A track of its own."""
        registered, known = self.lake.register(self.kind, uploader.registration(local, self.name, staged))
        if known and registered.id != self._registered:
            # Somebody else's, of the same entries: a blank line tells this one from it.
            self._padding += b" "
            return None
        self._registered = registered.id
        naming = uploader.naming(local, self.kind, self.name, registered.id)
        try:
            body = {**naming, "replaces": base.object_id if base is not None else ""}
            created = self.lake.create_asset(self.kind, body)
        except LakeError as error:
            with suppress(LakeError):
                self.lake.delete_asset(self.kind, registered.id)
            self._registered = None
            if error.status == CHANGED:
                return None
            raise
        if created.lambda_url is not None:
            self.lake.trigger(created.lambda_url)
        return registered.id

    def _check_format(self, base: Base) -> None:
        meta = self.lake.asset(self.kind, base.object_id)
        form = meta.format if isinstance(meta, TrackMeta) else None
        last = self.name.rpartition(".")[2].lower()
        if (form or last) in ("vtt", "srt", "csv"):
            raise UsageError(f"{self.name} is a {(form or last).upper()} file: entries can be added to JSONL alone")


def _append(path: Path, lines: Sequence[bytes]) -> None:
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.writelines(line + b"\n" for line in lines)
