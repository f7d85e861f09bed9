"""Collecting what nothing refers to any more: ``dreamlake gc``.

Nothing is taken that was written, touched or used within the last day. What is taken is first made impossible to
use, in a transaction of the database or behind a lock, and then deleted; a run that is interrupted is finished by the
next one.
"""

from dreamlake.server.gc.collector import collect

__all__ = ["collect"]
