"""How long rows take: from being read to being committed, and from the event that they tell of to being committed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

#: Seconds over which the slowest is kept: as long as the finest sample of the console.
WINDOW: Final = 10.0


class Slowest:
    """The largest value noted within the last one to two windows; None where nothing was noted."""

    def __init__(self, now: float | None = None) -> None:
        self._began = time.monotonic() if now is None else now
        self._before: float | None = None
        self._present: float | None = None

    def note(self, value: float, now: float | None = None) -> None:
        self._turn(now)
        self._present = value if self._present is None else max(self._present, value)

    def value(self, now: float | None = None) -> float | None:
        self._turn(now)
        noted = [value for value in (self._before, self._present) if value is not None]
        return max(noted, default=None)

    def _turn(self, now: float | None) -> None:
        now = time.monotonic() if now is None else now
        if now - self._began < WINDOW:
            return
        self._before = self._present if now - self._began < 2 * WINDOW else None
        self._present, self._began = None, now


def seconds_of(value: Any) -> float | None:
    """Return the time that a value of an event-time column tells, in seconds since the epoch; None: it tells none.

    Numbers are seconds, milliseconds or microseconds by their size; texts are ISO 8601, in UTC where they name no zone.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        for most, unit in ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6)):
            if 0 < value < most:
                return value / unit
        return None
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
