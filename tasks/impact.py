"""What an operation will do to this very task, in figures, before anyone confirms it.

Pure functions over a task and its ledger; `load_ledger` is the one that asks the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from django.utils import timezone

from tasks.alerts.readings import covers
from tasks.alerts.wording import amount
from tasks.locale import written
from tasks.models import AlertRule, Connection, OperationRequest, Snapshot, Task, WriteMode
from tasks.statuses import Operation, Outcome, Status

#: How many earlier pauses "usually" is said from.
_RECENT: Final = 20


@dataclass(frozen=True, slots=True)
class Ledger:
    """What stands behind a task: its newest usable snapshot, how many there are, how long its pauses took."""

    newest: Snapshot | None = None  # or the one that was chosen
    chosen: bool = False
    snapshots: int = 0
    usual_pause_seconds: float | None = None
    alerts: tuple[str, ...] = ()  # what rules will tell of it
    retention: str = ""  # for how long the source keeps what comes after the offset


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the dialog. `field` is the hook that carries `value`; `at` is a moment to be shown with its age."""

    label: str
    text: str = ""
    field: str = ""
    value: str = ""
    at: object = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Impact:
    """What the dialog says: sentences, then figures. `grave` asks for a second look: something gets lost or doubled."""

    sentences: tuple[str, ...]
    figures: tuple[Figure, ...] = ()
    grave: str = ""


def replay_rows(task: Task, snapshot: Snapshot | None) -> int:
    """Return how many rows are written a second time when `task` continues from `snapshot`. Never negative."""
    if snapshot is None or task.exactly_once:
        return 0
    return max(0, task.high_water - snapshot.position)


def duplicates(task: Task, rows: int) -> int:
    """Return how many of `rows` replayed ones stay in the target twice: by key they replace themselves."""
    return rows if task.write_mode == WriteMode.APPEND else 0


def load_ledger(task: Task, operation: Operation, chosen: str = "") -> Ledger:
    """Ask the database for what `operation` needs to know; `chosen` is the engine's id of a snapshot."""
    of_task = Snapshot.objects.filter(task=task)
    kind = Connection.objects.filter(name=task.source_connection_id).values_list("kind", flat=True).first() or ""
    return Ledger(
        newest=of_task.filter(engine_id=chosen, unusable="").first() if chosen else of_task.continuable().first(),
        chosen=bool(chosen),
        snapshots=of_task.count(),
        usual_pause_seconds=_usual_pause(task) if operation is Operation.PAUSE else None,
        alerts=tuple(_alerts(task, operation)),
        retention=_RETENTION.get((kind, task.source_options.get("read", "poll")), ""),
    )


#: For how long what a source of a kind, read that way, still has what comes after an offset, and what a pause costs it.
_RETENTION: Final = {
    ("sqlite", "poll"): "The source is a table that is polled: it keeps its rows, so the offset does not expire, and a "
    "pause costs it nothing.",
    (
        "postgresql",
        "poll",
    ): "The source is a table that is polled: it keeps its rows, so the offset does not expire; no "
    "write-ahead log is held back for this task.",
    (
        "file",
        "poll",
    ): "The source is a file: the offset is good as long as the file, or the one that it was rotated to, is "
    "there; a pause costs it nothing.",
}


def _alerts(task: Task, operation: Operation) -> Iterator[str]:
    """Say which alert rules will fire once `operation` has succeeded."""
    metrics = {
        Operation.PAUSE: ("task_paused", "paused_long"),
        Operation.FORCED_PAUSE: ("task_paused", "paused_long"),
        Operation.STOP: ("task_stopped",),
    }.get(operation, ())
    for rule in AlertRule.objects.filter(enabled=True, metric__in=metrics).order_by("name")[:50]:
        if covers(rule, task):
            seconds = rule.threshold if rule.metric == "paused_long" else rule.window
            when = f"after {amount(seconds, 's')}" if seconds else "at once"
            yield f"{rule.name} ({when})"


def _usual_pause(task: Task) -> float | None:
    done = OperationRequest.objects.filter(task=task, operation=Operation.PAUSE, outcome=Outcome.SUCCEEDED)
    times = done.order_by("-pk").values_list("requested_at", "settled_at")[:_RECENT]
    took = [(settled - asked).total_seconds() for asked, settled in times if settled is not None]
    return median(took) if took else None


def impact_of(operation: Operation, task: Task, ledger: Ledger) -> Impact:
    return _IMPACTS[operation](task, ledger)


def _run(task: Task, ledger: Ledger) -> Impact:
    sentences = [f"A new run of {task.name} starts. It is Running once its engine is seen to read."]
    grave = ""
    if ledger.snapshots or task.status == Status.FAILURE:
        kept = _count(ledger.snapshots, "snapshot")
        grave = f"The former run is discarded: {kept}, its offset and its counters."
        if ledger.newest is not None:
            grave += " To go on from where it was, use Continue instead."
    if task.rows_written and task.write_mode == WriteMode.APPEND:
        sentences.append("Rows that are in the target already are appended again when it starts from the earliest.")
    figures = (_lost_snapshots(ledger),) if ledger.snapshots else ()
    return Impact(tuple(sentences), figures, grave)


def _pause(task: Task, ledger: Ledger) -> Impact:
    usual = ledger.usual_pause_seconds
    return Impact(
        _with_retention(
            ledger,
            "What was read is written to the target, then a snapshot is taken and the task ends.",
            "Continue goes on from that snapshot: no row is lost, none is written twice.",
            "Should no snapshot be possible, the task stays Running and Forced pause is the way out.",
        ),
        (
            Figure(
                "Usually takes",
                "not known yet: no pause before" if usual is None else _seconds(usual),
                "pause_seconds",
                "" if usual is None else f"{usual:.1f}",
            ),
            Figure("Rows written twice", "0", "replay_rows", "0"),
            *_alert_figures(ledger),
        ),
    )


def _with_retention(ledger: Ledger, *sentences: str) -> tuple[str, ...]:
    return (*sentences, ledger.retention) if ledger.retention else sentences


def _alert_figures(ledger: Ledger) -> tuple[Figure, ...]:
    return (Figure("Alerts that will fire", ", ".join(ledger.alerts), "alerts"),) if ledger.alerts else ()


def _forced_pause(task: Task, ledger: Ledger) -> Impact:
    newest = ledger.newest
    sentences = ["The task ends at once; no snapshot is taken. Use it when a normal pause is not possible."]
    if newest is None:
        return Impact(
            (*sentences, "There is no usable snapshot yet: Continue will not be possible, only Stop and a new Run."),
            (Figure("Most recent snapshot", "none", "snapshot", ""),),
            grave="Without a snapshot the offset of this run is lost.",
        )
    if task.exactly_once:
        sentences.append("Continue goes on from the target’s own ledger: nothing is written twice.")
    else:
        sentences.append("Continue goes back to the most recent snapshot and replays what came after it.")
    sentences.append(_replay_word(task, newest))
    figures = (*_replay_figures(task, newest), *_alert_figures(ledger))
    return Impact(_with_retention(ledger, *sentences), figures, _replay_warning(task, newest))


def _continue(task: Task, ledger: Ledger) -> Impact:
    newest = ledger.newest
    if newest is None:
        return Impact(("There is no usable snapshot to continue from.",))
    which = "chosen" if ledger.chosen else newest.get_kind_display().lower()
    snapshot = f"the {which} snapshot below"
    source = "the target’s own ledger" if task.exactly_once else snapshot
    sentences = (f"The run goes on from {source}.", _replay_word(task, newest))
    return Impact(_with_retention(ledger, *sentences), _replay_figures(task, newest), _replay_warning(task, newest))


def _stop(task: Task, ledger: Ledger) -> Impact:
    sentences = [
        "The task ends and what is needed to continue it is discarded. Only Run is possible afterwards, from a start "
        "position.",
        "The history stays, and so do the rows in the target.",
    ]
    figures = [_lost_snapshots(ledger)]
    figures.append(Figure("Offset lost", task.offset_text or "none", "offset", task.offset_text))
    for label, field in (("Rows read, counter lost", "rows_read"), ("Rows written, counter lost", "rows_written")):
        value = getattr(task, field)
        figures.append(Figure(label, written(value), field, str(value)))
    figures += _alert_figures(ledger)
    return Impact(tuple(sentences), tuple(figures), grave="This can’t be undone.")


def _detect(task: Task, ledger: Ledger) -> Impact:
    back = Status(task.status_before).label if task.status_before else "the status it had"
    figures = [
        Figure("Resource group", task.group_id or ""),
        Figure("Source", f"{task.source_connection_id}: {task.source_object}"),
        Figure("Target", f"{task.target_connection_id}: {task.target_object}"),
    ]
    if task.fault_subject:
        figures.insert(0, Figure("Was missing", task.fault_subject, "fault_subject", task.fault_subject))
    if task.fault_cause:
        figures.insert(1, Figure("Found", task.fault_cause, "fault_cause", task.fault_cause))
    return Impact(
        (
            "The group, both connections and both objects are looked for again.",
            f"When all are there, the task is {back} again. Snapshots are untouched; nothing is started by this alone.",
        ),
        tuple(figures),
    )


def _replay_word(task: Task, snapshot: Snapshot) -> str:
    rows = replay_rows(task, snapshot)
    if task.exactly_once:
        return "This task writes exactly once: no row is replayed."
    if not rows:
        return "As far as is known now, no row is replayed."
    if duplicates(task, rows):
        return f"{_count(rows, 'row')} will be replayed. The task appends: that many duplicates in the target."
    return f"{_count(rows, 'row')} will be replayed. The task writes by key: no duplicates."


def _replay_warning(task: Task, snapshot: Snapshot) -> str:
    doubled = duplicates(task, replay_rows(task, snapshot))
    return f"{_count(doubled, 'duplicate')} in {task.target_object}." if doubled else ""


def _replay_figures(task: Task, snapshot: Snapshot) -> tuple[Figure, ...]:
    rows = replay_rows(task, snapshot)
    doubled = duplicates(task, rows)
    return (
        Figure("Snapshot", snapshot.get_kind_display(), "snapshot", snapshot.engine_id),
        Figure("Taken", "", "snapshot_at", snapshot.taken_at.isoformat(), at=snapshot.taken_at),
        Figure("Reads on from", snapshot.offset_text or "–", "snapshot_offset", snapshot.offset_text),
        Figure("Rows replayed", written(rows), "replay_rows", str(rows), note=_as_of(task)),
        Figure("Duplicates", written(doubled) if doubled else "none", "duplicates", str(doubled)),
    )


def _as_of(task: Task) -> str:
    seen = task.observed_at or timezone.now()
    more = "; it grows until the task ends" if task.status == Status.RUNNING else ""
    return f"as of {seen:%H:%M:%S} UTC{more}"


def _lost_snapshots(ledger: Ledger) -> Figure:
    return Figure("Snapshots lost", written(ledger.snapshots), "snapshots", str(ledger.snapshots))


def _count(n: int, noun: str) -> str:
    return f"{written(n)} {noun}" if n == 1 else f"{written(n)} {noun}s"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


_IMPACTS: Final = {
    Operation.RUN: _run,
    Operation.PAUSE: _pause,
    Operation.FORCED_PAUSE: _forced_pause,
    Operation.CONTINUE: _continue,
    Operation.STOP: _stop,
    Operation.DETECT: _detect,
}
