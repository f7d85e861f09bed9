"""Who holds a job, and whether the holder is still alive.

A holder is named ``host/pid/nonce``. On the same host a process that is gone is seen at once, so that whoever opens the
lake next goes on with its jobs; for other hosts, and for a number that another process has got since, the lease's end
decides. A job may run twice that way, and does no harm: lambdas are idempotent.
"""

from __future__ import annotations

import os
import secrets
import socket

__all__ = ["LEASE_SECONDS", "is_gone", "new_holder", "retire"]

LEASE_SECONDS = 30.0

_mine: set[str] = set()


def new_holder() -> str:
    """A name for a holder in this process."""
    holder = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
    _mine.add(holder)
    return holder


def retire(holder: str) -> None:
    """This process's holder holds nothing any more."""
    _mine.discard(holder)


def is_gone(holder: str) -> bool:
    """Whether the holder is certainly gone: False when it cannot be known from here."""
    host, _, rest = holder.rpartition("/")[0].rpartition("/")
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    if int(rest) == os.getpid():
        return holder not in _mine
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
