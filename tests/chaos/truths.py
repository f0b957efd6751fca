"""What has to be true afterwards, whatever happened: the promises, as one function each."""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.utils import timezone

from tasks.models import OperationRequest, StatusChange, Task
from tasks.statuses import Operation, Outcome, Status
from tasks.transitions import LEGAL
from tests.chaos.field import TASKS, Field
from tests.stack import Stack
from tests.waiting import wait_for

#: Seconds within which everything has to be settled when nothing disturbs any more.
QUIET_WITHIN = 120


def is_quiet() -> bool:
    """Nothing is in flight: no operation, no unknown outcome, no restart to come."""
    waiting = OperationRequest.objects.filter(outcome__in=(Outcome.OPEN, Outcome.UNKNOWN))
    return not (
        waiting.exists()
        or Task.objects.filter(status=Status.OPERATING).exists()
        or Task.objects.filter(restart_at__isnull=False).exists()
    )


def unsettled() -> list[str]:
    return [f"{t.name} {t.status} {t.status_reason} {t.engine_state}" for t in Task.objects.all()]


def bring_all_to_running(stack: Stack) -> None:
    """From wherever a task stands, by the operations that its status allows."""
    for name in TASKS:
        task = stack.task(name)
        way = {
            Status.PAUSED: Operation.CONTINUE,
            Status.FAILURE: Operation.CONTINUE,
            Status.INITIALIZE: Operation.RUN,
            Status.STOPPED: Operation.RUN,
        }.get(Status(task.status))
        if way is Operation.CONTINUE and TASKS[name][2] == "upsert" and not task.snapshots.exists():
            way = Operation.RUN  # its run never came as far as a snapshot
        if way is not None:
            stack.operate(name, way, seconds=60)


def histories_are_whole() -> None:
    """Each change goes on from the one before, is legal, and the last one is the present status."""
    for task in Task.objects.all():
        now = ""
        for change in StatusChange.objects.filter(task=task).order_by("pk"):
            assert change.from_status == now, f"{task.name}: {change.pk} begins at {change.from_status}, not {now}"
            if now and change.from_status != change.to_status:
                assert (Status(now), Status(change.to_status)) in LEGAL
            now = change.to_status
        assert now == task.status, f"{task.name} is {task.status}, its history ends at {now}"


def each_request_has_one_chain() -> None:
    """Accepted: into Operating once and out of it once, settled. Refused: it left no trace in the history."""
    for request in OperationRequest.objects.select_related("task"):
        changes = list(StatusChange.objects.filter(request=request).order_by("pk"))
        moves = [(c.from_status, c.to_status) for c in changes if c.from_status != c.to_status]
        label = f"{request.task.name}: {request.pk} {request.operation} {request.outcome}: {moves}"
        if request.outcome == Outcome.REFUSED:
            assert not changes, label
            continue
        assert request.outcome in (Outcome.SUCCEEDED, Outcome.FAILED), label
        assert request.settled_at is not None, label
        assert moves[0] == (request.from_status, Status.OPERATING), label
        assert moves[1][0] == Status.OPERATING, label
        # A third one only where an outcome that was unknown became known: never a second way into Operating.
        assert all(Status.OPERATING not in move for move in moves[2:]), label


def targets_are_right(field: Field) -> dict[str, dict[str, int]]:
    """Upsert equals its source; append misses nothing, and holds twice what was recorded as replayed, not more."""
    found = {}
    for name, (_, _, mode) in TASKS.items():
        wait_for(
            lambda: set(field.target(name)) >= set(field.source(name)),  # noqa: B023
            f"{name} has all rows",
            seconds=60,
        )
        source, target = field.source(name), field.target(name)
        task = seen_after(name, timezone.now())  # what the target holds has to be compared with a later look
        doubled = (target - source).total()
        if mode == "upsert":
            assert target == source, f"{name}: {doubled} rows too many"
        else:
            assert not source - target, f"{name} misses {(source - target).total()} rows"
            assert doubled <= task.rows_replayed, f"{name}: {doubled} twice, {task.rows_replayed} recorded"
        found[name] = {
            "rows": source.total(),
            "twice": doubled,
            "replayed": task.rows_replayed,
            "restarts": task.restarts,
        }
    return found


def seen_after(name: str, moment: datetime) -> Task:
    """Return the task as the engine showed it after `moment`."""
    wait_for(lambda: Task.objects.filter(name=name, observed_at__gt=moment).exists(), f"{name} is looked at again")
    return Task.objects.get(name=name)


def figures() -> dict[str, Any]:
    """How long tasks stayed Operating, and how soon a worker had an operation in hand. Seconds."""
    settled = OperationRequest.objects.exclude(outcome=Outcome.REFUSED).filter(settled_at__isnull=False)
    first_out: dict[int, Any] = {}
    leaving = StatusChange.objects.filter(from_status=Status.OPERATING, request__isnull=False)
    for request_id, at in leaving.order_by("-pk").values_list("request_id", "at"):
        first_out[request_id] = at
    stayed = sorted((first_out[r.pk] - r.requested_at) / timedelta(seconds=1) for r in settled if r.pk in first_out)
    begun = sorted((r.begun_at - r.requested_at) / timedelta(seconds=1) for r in settled if r.begun_at is not None)
    return {
        "operations": len(stayed),
        "operating p50": round(median(stayed), 3) if stayed else None,
        "operating max": round(stayed[-1], 3) if stayed else None,
        "accepted to worker p50": round(median(begun), 4) if begun else None,
        "accepted to worker max": round(begun[-1], 3) if begun else None,
    }
