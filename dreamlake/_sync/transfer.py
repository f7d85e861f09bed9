# Generated from dreamlake/_async/transfer.py by scripts/unasync.py. Edit that file, then run it.
"""The transfer of one file into the staging pool: steps 2 to 6 of seed 4.

What was sent is remembered after every part, so that the next run of the same upload goes on where this one ended,
however it ended.
"""

from __future__ import annotations

import base64
from contextlib import closing
from functools import partial

from dreamlake._sync._runtime import Shared, Slots, map_unordered
from dreamlake._sync.connection import Body
from dreamlake._sync.journal import Journal
from dreamlake._sync.lake import Lake
from dreamlake._sync.localfile import LocalFile, Report
from dreamlake.config import home
from dreamlake.core.events import UploadEvent
from dreamlake.core.kinds import Kind, content_type
from dreamlake.core.parts import CompletedPart, Part, UploadState, checksum_headers, plan_parts
from dreamlake.core.retry import RETRYABLE
from dreamlake.core.wireuploads import CompleteUpload, InitUpload, SignParts, UploadStarted
from dreamlake.errors import (
    AccessError,
    FileChangedError,
    LakeError,
    LakeUnreachableError,
    NotFoundError,
    RequestError,
    ServerError,
    UploadPausedError,
)

__all__ = ["Transfer"]

SIGNED = 8  # parts in one request: few enough that no URL grows old before its turn
COMPLETE_SPEED = 20e6  # bytes/s that a lake joins and hashes at least


class Transfer:
    """Brings the bytes of one file into the staging pool.

    Args:
        lake: that takes them.
        kind: of the file.
        local: the file.
        owner: the namespace, and
        project: the space whose pool it is.
        slots: for the parts that are under way at once, of all files that share them.
        timeout: seconds that the storage may take to acknowledge a part.
        report: told how many bytes are there.
    """

    def __init__(
        self,
        lake: Lake,
        kind: Kind,
        local: LocalFile,
        owner: str,
        project: str,
        slots: Slots,
        timeout: float,
        report: Report,
    ) -> None:
        self._lake = lake
        self._kind = kind
        self._local = local
        self._owner = owner
        self._project = project
        self._slots = slots
        self._timeout = timeout
        self._report = report
        self._urls: dict[int, str] = {}
        self._signing: Shared[None] = Shared()
        self._earlier: UploadState | None = None
        self._journal = Journal(home() / "uploads" / f"{local.hash}.json")

    def run(self) -> str:
        """Send what the storage does not have yet.

        Returns:
            The name of the file in the pool.

        Raises:
            FileChangedError: the file is not what it was when it was hashed.
            UploadPausedError: the lake or its storage went away; the next run resumes.
            LakeError: the lake refused it.
        """
        try:
            state = self._resume()
            for last in (False, False, True):
                if state is None:
                    started = self._lake.init_upload(self._kind, self.announcement())
                    if started.exists:
                        if self._earlier is not None:  # it was completed, and the answer was lost
                            self._journal.clear(self._earlier)
                        return self._done(started.key)
                    state = self._state(started)
                    self._journal.write(state)
                self._local.hash_parts()
                try:
                    return self._finish(state)
                except NotFoundError:
                    # Somebody else was sending the same file, and has completed or aborted the upload that we shared.
                    if last:
                        raise
                    state = None
        except (LakeUnreachableError, LakeError) as error:
            if isinstance(error, LakeError) and error.status not in RETRYABLE:
                raise
            name = self._local.path.name
            raise UploadPausedError(f"{name}: upload paused — re-run to resume ({error})") from error
        raise AssertionError("the last try returns or raises")

    def _done(self, key: str) -> str:
        self._say(self._local.size)
        return key.rsplit("/", 1)[-1]

    def announcement(self) -> InitUpload:
        """What is asked for: an upload, and the URLs of the parts that are sent first."""
        local = self._local
        first = enumerate(local.parts[: self._slots.count], 1)
        return InitUpload(
            owner=self._owner,
            project=self._project,
            hash=local.hash,
            content_type=content_type(self._kind, local.path.name),
            sha256=local.sha256,
            size=local.size,
            part_size=local.part_size,
            checksums={str(number): _base64(digest) for number, digest in first},
        )

    def send(self, started: UploadStarted) -> CompleteUpload:
        """Send all parts of an upload that was begun, for somebody else to complete it.

        Raises:
            FileChangedError: the file is not what it was when it was hashed.
            LakeError: the storage refused a part.
        """
        state = self._state(started)
        for part in plan_parts(self._local.size, self._local.part_size):
            with self._slots:
                state.completed_parts.append(CompletedPart(part.number, self._put(state, part)))
        self._local.check()
        return CompleteUpload(upload_id=state.upload_id, key=state.key, parts=state.completed_parts)

    def _state(self, started: UploadStarted) -> UploadState:
        local = self._local
        self._urls = {int(number): url for number, url in started.parts.items()}
        return UploadState(
            upload_id=started.upload_id,
            key=started.key,
            total_parts=len(plan_parts(local.size, local.part_size)),
            completed_parts=[],
            sha256=local.sha256,
            size=local.size,
            part_size=local.part_size,
            lake=str(self._lake.address),
            mtime_ns=local.stat.st_mtime_ns,
            inode=local.stat.st_ino,
        )

    def _resume(self) -> UploadState | None:
        """The state of an earlier run, if it is about these bytes and these parts and the storage still knows it."""
        state = self._journal.read()
        local = self._local
        expected = (local.sha256, local.size, local.part_size, str(self._lake.address))
        if state is None or (state.sha256, state.size, state.part_size, state.lake) != expected:
            return None
        if not state.key.startswith(f"{self._owner}/{self._project}/"):
            return None
        self._earlier = state
        try:
            there = self._lake.parts_done(self._kind, state.upload_id, state.key)
        except (NotFoundError, RequestError):
            return None
        if there.expired:
            return None
        state.missing((part.part_number, part.etag, part.size) for part in there.parts)
        return state

    def _finish(self, state: UploadState) -> str:
        """Send the rest of an upload and complete it."""
        local = self._local
        done = {part.part_number for part in state.completed_parts}
        missing = [part for part in plan_parts(local.size, local.part_size) if part.number not in done]
        sent = local.size - sum(part.size for part in missing)
        self._say(sent)
        if missing:
            # More than there are slots: some parts are signed, and some noted, while the others are sent.
            sending = map_unordered(partial(self._send, state), missing, self._slots.count + 2)
            with closing(sending) as finished:
                for size in finished:
                    sent += size
                    self._say(sent)
        local.check()
        parts = sorted(state.completed_parts, key=lambda part: part.part_number)
        wait = max(self._timeout, 60 + local.size / COMPLETE_SPEED)
        try:
            self._lake.complete_upload(self._kind, state.upload_id, state.key, parts, wait)
        except RequestError:
            for part in plan_parts(local.size, local.part_size):
                self._refuse_change(part)
            raise
        self._journal.clear(state)
        return self._done(state.key)

    def _send(self, state: UploadState, part: Part) -> int:
        self._url(state, part)
        with self._slots:
            etag = self._put(state, part)
        self._journal.add(state, CompletedPart(part.number, etag))
        return part.size

    def _put(self, state: UploadState, part: Part) -> str:
        """Send a part until the storage has it; returns its etag."""
        digest = self._local.parts[part.number - 1]
        body = Body(part.size, partial(self._local.pieces, part))
        for last in (False, False, True):
            url = self._url(state, part)
            try:
                etag = self._lake.put_part(url, body, checksum_headers(url, digest), self._timeout)
                self._local.check()
                return etag
            except AccessError:
                if last:  # two refusals may be for the URL's age
                    raise
                self._urls.pop(part.number, None)
            except RequestError:
                self._refuse_change(part)
                if last:  # the bytes did not come as they were sent
                    raise
            except ServerError:
                # An answer may have been lost, and a storage that has a part need not take it twice.
                if (there := self._acknowledged(state, part)) is None:
                    raise
                return there
        raise AssertionError("the last try returns or raises")

    def _url(self, state: UploadState, part: Part) -> str:
        """A URL to send a part to: signed only now, so that it cannot expire while earlier parts are sent."""
        while (url := self._urls.get(part.number)) is None:
            self._signing.call("sign", partial(self._sign, state, part))
        return url

    def _sign(self, state: UploadState, part: Part) -> None:
        """Have this part signed, and the next ones with it."""
        done = {completed.part_number for completed in state.completed_parts} | self._urls.keys()
        ahead = range(part.number, min(part.number + SIGNED, len(self._local.parts) + 1))
        numbers = [number for number in ahead if number not in done]
        if not numbers:
            return  # somebody else has had it signed meanwhile
        body = SignParts(
            upload_id=state.upload_id,
            key=state.key,
            part_numbers=numbers,
            checksums={str(number): _base64(self._local.parts[number - 1]) for number in numbers},
        )
        signed = self._lake.sign_parts(self._kind, body)
        self._urls.update({int(number): url for number, url in signed.items()})

    def _acknowledged(self, state: UploadState, part: Part) -> str | None:
        there = self._lake.parts_done(self._kind, state.upload_id, state.key)
        etags = {known.part_number: known.etag for known in there.parts if known.size == part.size}
        return etags.get(part.number)

    def _refuse_change(self, part: Part) -> None:
        if self._local.has_changed(part):
            name = self._local.path.name
            raise FileChangedError(f"{name}: changed while it was uploaded; nothing was registered")

    def _say(self, done: int) -> None:
        self._report(UploadEvent("upload", done, self._local.size))


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
