"""How many cores there are to decode on, shared by all readers of a process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

__all__ = ["cores", "slot"]


def cores() -> int:
    """The cores this process may use; one in a worker of a torch DataLoader, where the workers share them."""
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is not None and torch_data.get_worker_info() is not None:
        return 1
    return _usable()


@cache  # asking the system takes as long as copying a small picture
def _usable() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def slot() -> Iterator[None]:
    """Wait until a core is free for one more decoder: more of them than cores only get into each other's way."""
    with _slots:
        yield


_slots = threading.BoundedSemaphore(cores())


def _start_anew() -> None:
    global _slots
    _slots = threading.BoundedSemaphore(cores())  # a forked child has its parent's, and nobody who gives back


os.register_at_fork(after_in_child=_start_anew)
