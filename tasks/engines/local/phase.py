"""The two phases of a run: full (what was in the source when it began) and incremental (what came since)."""

from __future__ import annotations

import time
from typing import Any

from tasks.engines.base import Phase


class Phases:
    """Begins with what the former attempt left in the run's state file."""

    def __init__(self, before: dict[str, Any] | None) -> None:
        self.shown = Phase(**before) if before else None

    def begin(self, start: str, waiting: tuple[int, str] | None) -> None:
        """Begin the run's first attempt. `waiting`: what was there, and its unit; None where that can't be told."""
        if self.shown is not None:
            return
        now = time.time()
        total, unit = waiting or (None, "rows")
        if start != "earliest" or total == 0:
            self.shown = Phase("incremental", 0, 0, unit, now, now)
        else:
            self.shown = Phase("full", 0, total, unit, now)

    def moved(self, rows: int, size: int, *, caught_up: bool) -> None:
        """Count rows that were not replays; the full phase ends with the first catching up, or the last row of it."""
        shown = self.shown
        if shown is None or shown.name != "full":
            return
        done = shown.done + (rows if shown.unit == "rows" else size)
        over = caught_up or (shown.total is not None and done >= shown.total)
        if shown.total is not None:
            done = shown.total if over else min(done, shown.total)
        name, ended_at = ("incremental", time.time()) if over else ("full", None)
        self.shown = Phase(name, done, shown.total, shown.unit, shown.began_at, ended_at)
