"""When to try again, and after how long. Values only: callers bring the clock and the chance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["RETRYABLE", "Backoff", "parse_retry_after"]

RETRYABLE = frozenset({408, 429, *range(500, 600)})
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, given as seconds or as a date (RFC 9110, 10.2.3).

    Args:
        value: of the header; None or nonsense gives None.
        now: seconds since the epoch.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return float(value)
    try:
        when = parsedate_to_datetime(value)
        if when.tzinfo is None:  # the old spelling of C's asctime is in GMT too
            when = when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter, half of it by chance, bounded in tries and in length.

    Attributes:
        attempts: tries in all, the first included.
        base: seconds before the second try, at most; doubled each time.
        cap: seconds, the longest wait.
    """

    attempts: int = 5
    base: float = 0.25
    cap: float = 15.0

    def delay(self, failures: int, chance: float, retry_after: float | None = None) -> float | None:
        """Seconds to wait after so many failures; None to give up.

        Args:
            failures: how many tries have failed.
            chance: a random number in [0, 1).
            retry_after: what the server asked for; waited for when it is not longer than 120 s.
        """
        if failures >= self.attempts:
            return None
        if retry_after is not None:
            return retry_after if retry_after <= 120 else None
        return min(self.cap, self.base * 2.0 ** min(failures - 1, 100)) * (0.5 + chance / 2)
