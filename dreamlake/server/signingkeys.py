"""The keys that presigned URLs are signed with: in the database, where all servers of a lake find them.

A new key signs only when every server has had the time to learn of it, and the old ones verify what they have signed
until that has expired.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from contextlib import suppress
from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from dreamlake.core.signing import Signer
from dreamlake.server.database import Database
from dreamlake.server.schema import signing_keys

__all__ = ["SigningKeys"]

LEARN_SECONDS = 30.0  # how often a server looks whether there are others
DELAY_SECONDS = 120.0  # until a new one signs
KEY_BYTES = 32
FIRST = "0" * 8  # the id of the key of a new lake

log = logging.getLogger(__name__)


class SigningKeys:
    """The signing keys of one lake.

    Args:
        database: that has them.
        url_seconds: how long a URL is good for, at most.

    Attributes:
        signer: with the keys as they were last seen.
    """

    def __init__(self, database: Database, url_seconds: float) -> None:
        self._database = database
        self._url_seconds = url_seconds
        self.signer = Signer({}, "")

    async def load(self) -> None:
        """Learn the keys; a new lake gets its first."""
        async with self._database.read() as connection:
            rows = (await connection.execute(select(signing_keys))).all()
        if not rows:
            with suppress(IntegrityError):  # another server has opened the new lake at the same moment
                async with self._database.write() as connection:
                    await connection.execute(signing_keys.insert().values(**{**_new(), "id": FIRST}))
            return await self.load()
        rows = sorted(rows, key=lambda row: (row.created_at, row.id))
        known = [row for row in rows if row.created_at + DELAY_SECONDS <= time.time()]
        keys = {row.id: bytes.fromhex(row.secret) for row in rows}
        self.signer = Signer(keys, (known[-1] if known else rows[0]).id)
        return None

    async def rotate(self, *, at_once: bool = False) -> int:
        """Make a key that signs from now on, or nearly so.

        Args:
            at_once: forget all others: what they have signed does not hold any more. Other servers of the lake learn
                of it within half a minute.

        Returns:
            How many keys are left.
        """
        new, now = _new(), time.time()
        async with self._database.write() as connection:
            rows = (await connection.execute(select(signing_keys))).all()
            rows = sorted(rows, key=lambda row: (row.created_at, row.id))
            if at_once:
                over = [row.id for row in rows]
            else:
                # A key stops to sign when the next one begins, and its last URL expires a while later.
                end = now - DELAY_SECONDS - 2 * self._url_seconds
                over = [row.id for row, following in pairwise(rows) if following.created_at < end]
            await connection.execute(signing_keys.delete().where(signing_keys.c.id.in_(over)))
            await connection.execute(signing_keys.insert().values(**new))
        await self.load()
        return len(rows) - len(over) + 1

    async def keep_fresh(self) -> None:
        """Learn of other servers' keys, until it is cancelled."""
        while True:
            await asyncio.sleep(LEARN_SECONDS)
            try:
                await self.load()
            except Exception:
                log.exception("the signing keys cannot be read; trying again")


def _new() -> dict[str, object]:
    return {"id": secrets.token_hex(4), "secret": secrets.token_hex(KEY_BYTES), "created_at": time.time()}
