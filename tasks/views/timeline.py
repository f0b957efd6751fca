"""Attempts of a task as bars on a time axis, with its operations, snapshots and restarts; geometry only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tasks.models import Attempt, OperationRequest, Snapshot, Task
from tasks.models.run import AttemptCause
from tasks.statuses import Operation, Outcome, Tone
from tasks.views import charts, words

WIDTH: Final = 1000
_MOST: Final = 300
_WIDEST_MARK: Final = 2.0
_ENDED_WELL: Final = ("paused", "drained", "finished", "superseded", "ended", "killed")


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt: where it begins and how long it is, in thousandths of the axis."""

    x: str
    width: str
    tone: str
    text: str


@dataclass(frozen=True, slots=True)
class Dot:
    x: str
    tone: str
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    bars: list[Bar]
    operations: list[Dot]
    snapshots: list[Dot]
    labels: list[str]

    @property
    def is_empty(self) -> bool:
        return not (self.bars or self.operations)


def timeline_of(task: Task, begin: datetime, end: datetime) -> Timeline:
    """Return what `task` did from `begin` to `end`, in three queries."""
    seconds = (end - begin).total_seconds()

    def place(at: datetime) -> float:
        # What happened just now stays on the axis with all its width.
        return max(0.0, min(WIDTH - _WIDEST_MARK, (at - begin).total_seconds() / seconds * WIDTH))

    bars = []
    attempts = Attempt.objects.filter(run__task=task, started_at__lt=end).select_related("run")
    for it in attempts.order_by("-started_at", "-pk")[:_MOST]:
        until = it.ended_at or end
        if until < begin:
            break
        x = place(it.started_at)
        bars.append(Bar(f"{x:.1f}", f"{max(1.5, place(until) - x):.1f}", _tone(it).value, _words(it)))
    asked = OperationRequest.objects.filter(task=task, requested_at__gte=begin, requested_at__lt=end)
    operations = [
        Dot(
            f"{place(it.requested_at):.1f}",
            (Tone.BAD if it.outcome in (Outcome.FAILED, Outcome.UNKNOWN) else Tone.PROGRESS).value,
            f"{words.exact(it.requested_at)}: {Operation(it.operation).label} by {it.actor_name}, "
            f"{Outcome(it.outcome).label}",
        )
        for it in asked.exclude(outcome=Outcome.REFUSED).order_by("-pk")[:_MOST]
    ]
    taken = Snapshot.objects.filter(task=task, taken_at__gte=begin, taken_at__lt=end).order_by("-taken_at", "-pk")
    snapshots = [
        Dot(
            f"{place(it.taken_at):.1f}",
            Tone.GOOD.value,
            f"{words.exact(it.taken_at)}: {it.get_kind_display()} snapshot",
        )
        for it in taken[:_MOST]
    ]
    return Timeline(bars, operations, snapshots, charts.time_labels(begin.timestamp(), end.timestamp()))


def _tone(attempt: Attempt) -> Tone:
    if attempt.ended_at is None:
        return Tone.GOOD
    return Tone.NEUTRAL if attempt.ended_as in _ENDED_WELL else Tone.BAD


def _words(attempt: Attempt) -> str:
    end = f"{words.exact(attempt.ended_at)}, {attempt.ended_as}" if attempt.ended_at else "now"
    cause = AttemptCause(attempt.cause).label
    return f"Run {attempt.run.number}, attempt {attempt.epoch} ({cause}): {words.exact(attempt.started_at)} to {end}"
