"""Encoders that make their caller a realtime thread, and how it stops being one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ordinary_priority"]


@contextmanager
def ordinary_priority() -> Iterator[None]:
    """Give this thread back the scheduling it came with.

    SVT-AV1 asks for SCHED_FIFO on behalf of whoever calls it and never takes that back. Where it is allowed to, as root
    in a container is, everything that is decoded or started afterwards would push all else off the machine, and two
    such threads that wait for each other in a loop, as libvpx's do, would hold it up for minutes.
    """
    if not hasattr(os, "sched_setscheduler"):  # macOS
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
