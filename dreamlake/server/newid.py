"""New ids of records."""

from __future__ import annotations

import os
import secrets
import time

from dreamlake.core.ids import make_object_id

__all__ = ["new_id"]

_random = secrets.token_bytes(5)
_counter = secrets.randbelow(1 << 24)


def new_id() -> str:
    """A new ObjectId."""
    global _counter
    _counter += 1
    return make_object_id(int(time.time()), _random, _counter)


def _new_random() -> None:
    global _random
    _random = secrets.token_bytes(5)  # a forked child must not repeat its parent's ids


os.register_at_fork(after_in_child=_new_random)
