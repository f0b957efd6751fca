"""How far a run is, over all its attempts: counters, lag, and what was last asked of it."""

from __future__ import annotations

import time
from dataclasses import asdict, replace

from tasks.engines.base import Counters, EngineState, Fault
from tasks.engines.local.phase import Phases
from tasks.engines.local.statefile import State
from tasks.engines.local.timing import Slowest


class Progress:
    """Begins with what the former attempt left in the run's state file."""

    def __init__(self, before: State | None) -> None:
        before = before or {}
        self.counters = Counters(**before.get("counters", {}))
        self.log_n: int = before.get("log_n", 0)
        self.last_write_at: float | None = before.get("last_write_at")
        self.lag_seconds: float | None = None
        self.lag_rows: int | None = None
        self.lag_at = 0.0
        self.caught_up_at = time.time()
        self.phases = Phases(before.get("phase"))
        self.delivery, self.event_lag = Slowest(), Slowest()  # seconds
        self.fault: Fault | None = None  # being retried
        self.pause_token = ""
        self.pause_error = ""

    @property
    def position(self) -> int:
        return self.counters.position

    def begin_at(self, position: int) -> None:
        """Stand at `position` rows; the furthest position stays: what lies between will be replayed."""
        self.counters = replace(self.counters, position=position, high_water=max(self.counters.high_water, position))

    def lift(self, position: int, rows_written: int, batch_rows: int) -> None:
        """The target's own ledger knows of a batch that the process died too early to count: it is counted now.

        More than `batch_rows` can't be uncounted, unless the state file itself was lost: then nobody knows what of
        them was a replay.
        """
        before = self.counters
        uncounted = max(0, rows_written - before.rows_written)
        replayed = min(position, before.high_water) - (position - uncounted) if uncounted <= batch_rows else 0
        self.counters = replace(
            before,
            rows_read=before.rows_read + uncounted,
            rows_written=before.rows_written + uncounted,
            rows_replayed=before.rows_replayed + max(0, replayed),
            high_water=max(before.high_water, position),
        )

    def add(
        self, count: int, written: int, bytes_read: int, bytes_written: int, bad: list[tuple[int, int]]
    ) -> list[bool]:
        """Count a committed batch of `count` rows; return which of the `bad` ones (place, bytes) are counted anew."""
        before = self.counters
        position = before.position + count
        fresh = [before.position + index + 1 > before.high_water for index, _ in bad]
        self.counters = Counters(
            rows_read=before.rows_read + count,
            rows_written=before.rows_written + written,
            rows_dirty=before.rows_dirty + sum(fresh),
            rows_replayed=before.rows_replayed + max(0, min(position, before.high_water) - before.position),
            position=position,
            high_water=max(before.high_water, position),
            bytes_read=before.bytes_read + bytes_read,
            bytes_written=before.bytes_written + (bytes_written or bytes_read),
            bytes_dirty=before.bytes_dirty + sum(size for (_, size), new in zip(bad, fresh, strict=True) if new),
        )
        if written:
            self.last_write_at = time.time()
        return fresh

    def shown(self, epoch: int, state: EngineState, offset_text: str, fault: Fault | None) -> State:
        """Return what the state file shows."""
        shown_fault = fault or self.fault
        return {
            "epoch": epoch,
            "state": state.value,
            "at": time.time(),
            "counters": asdict(self.counters),
            "offset_text": offset_text[:500],
            "lag_seconds": self.lag_seconds,
            "lag_rows": self.lag_rows,
            "last_write_at": self.last_write_at,
            "delivery_ms": _milliseconds(self.delivery.value()),
            "event_lag_ms": _milliseconds(self.event_lag.value()),
            "phase": asdict(self.phases.shown) if self.phases.shown else None,
            "fault": asdict(shown_fault) if shown_fault else None,
            "pause_token": self.pause_token,
            "pause_error": self.pause_error[:1000],
            "log_n": self.log_n,
        }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
