"""What the matrix can't know: permission, operation in flight, snapshot, group. One refusal object for all surfaces."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from tasks.compiled import Compiled
from tasks.matrix import MATRIX, operations_for, why_not
from tasks.models import OperationRequest, ResourceGroup, Snapshot, Task
from tasks.models.task import OCCUPYING
from tasks.statuses import Operation, Outcome, Status


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operation is refused: page, API, command line, admin and history show this one."""

    code: str  # stable: not_allowed, in_progress, no_snapshot, group_missing, ...
    sentence: str
    allowed: tuple[Operation, ...] = ()  # what is allowed now
    wait_for: str = ""  # what has to happen first

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.sentence,
            "allowed": [operation.value for operation in self.allowed],
            "wait_for": self.wait_for,
        }


class Places(NamedTuple):
    """What a resource group has to give."""

    enabled: bool
    capacity: int
    used: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the guards need to know of one task. Made by `load_facts`, a constant number of queries for many."""

    status: Status
    submitted: bool
    group_name: str
    places: Places | None  # None: there is no such group
    has_snapshot: bool
    restart_due: bool
    open_request: OperationRequest | None = None
    may: Callable[[str], bool] = field(default=lambda permission: True)


def load_facts(tasks: Iterable[Task], may: Callable[[str], bool] = lambda permission: True) -> dict[int, Facts]:
    """Return the facts of each task by primary key, in three queries."""
    tasks = list(tasks)
    ids = [task.pk for task in tasks]
    snapshots = Snapshot.objects.filter(task__in=ids, unusable="").order_by()
    usable = set(snapshots.values_list("task_id", flat=True).distinct())
    requests = OperationRequest.objects.filter(task__in=ids, outcome=Outcome.OPEN)
    open_requests = {request.task_id: request for request in requests}
    places = places_of({task.group_id for task in tasks})
    return {
        task.pk: Facts(
            status=Status(task.status),
            submitted=task.submitted_at is not None,
            group_name=task.group_id or "",
            places=places.get(task.group_id or ""),
            has_snapshot=task.pk in usable,
            restart_due=task.restart_at is not None,
            open_request=open_requests.get(task.pk),
            may=may,
        )
        for task in tasks
    }


def places_of(groups: Collection[Any]) -> dict[str, Places]:
    """Return what each of `groups` that exists has to give, by name, in one query."""
    return {name: Places(*rest) for name, *rest in _PLACES.rows(groups)} if groups else {}


def _places(among: Q) -> QuerySet[Any]:
    held = Task.objects.filter(group_id=OuterRef("name"), status__in=OCCUPYING).order_by().values("group_id")
    used = Coalesce(Subquery(held.annotate(n=Count("pk")).values("n")), 0)
    groups = ResourceGroup.objects.filter(among).order_by().annotate(used=used)
    return groups.values_list("name", "enabled", "capacity", "used")


_PLACES: Final = Compiled("name", _places)


def not_allowed(operation: Operation, may: Callable[[str], bool]) -> str:
    """Return why somebody may not do `operation` to any task; nothing where they may."""
    if may(MATRIX[operation].permission):
        return ""
    return f"You may not {operation.label.lower()} tasks; ask an administrator for the right."


def refusal(operation: Operation, facts: Facts) -> Refusal | None:
    """Return None where `operation` may be accepted now, else the reason why not."""
    if not facts.submitted:
        return Refusal("not_submitted", "This task is a draft; submit it first.")
    if lacking := not_allowed(operation, facts.may):
        return Refusal("permission", lacking)
    return _by_matrix(operation, facts) or _by_snapshot(operation, facts) or _by_group(operation, facts)


def wrong_snapshot(operation: Operation, task: Task, engine_id: str) -> Refusal | None:
    """Return the refusal of a Continue from a chosen snapshot, where that one can't be continued from."""
    if not engine_id:
        return None
    if operation is not Operation.CONTINUE:
        return Refusal("snapshot_not_for_this", f"{operation.label} takes no snapshot to go on from; Continue does.")
    if task.exactly_once:
        return Refusal(
            "exactly_once", "This task goes on from its target's own ledger: no snapshot can be chosen for it."
        )
    chosen = Snapshot.objects.filter(task=task, run=task.run, engine_id=engine_id).first()
    if chosen is None:
        return Refusal("snapshot_gone", "The chosen snapshot is gone; the snapshots' page shows those that there are.")
    if chosen.unusable:
        return Refusal("snapshot_unusable", f"The chosen snapshot can't be continued from: {chosen.unusable}")
    return None


def without_reason(operation: Operation, reason: str) -> Refusal | None:
    """Return the refusal of `operation` where this console asks for a reason and none is given."""
    if reason.strip() or operation not in settings.OPS_REASON_REQUIRED:
        return None
    return Refusal("reason_required", f"{operation.label} needs a reason here: say why, it is kept in the history.")


def _by_matrix(operation: Operation, facts: Facts) -> Refusal | None:
    sentence = why_not(operation, facts.status)
    if sentence is None:
        return None
    request = facts.open_request
    if facts.status is Status.OPERATING and request is not None:
        seconds = max(0, int((timezone.now() - request.requested_at).total_seconds()))
        label = Operation(request.operation).label
        same = request.operation == operation
        return Refusal(
            "in_progress",
            f"{label} was {'already ' if same else ''}requested by {request.actor_name}, {seconds} s ago.",
            wait_for=f"{label} to settle, at the latest {request.deadline_at:%H:%M:%S} UTC",
        )
    return Refusal("not_allowed", sentence, allowed=operations_for(facts.status))


def _by_snapshot(operation: Operation, facts: Facts) -> Refusal | None:
    others = tuple(o for o in operations_for(facts.status) if o is not operation)
    if MATRIX[operation].needs_snapshot and not facts.has_snapshot:
        return Refusal("no_snapshot", "There is no usable snapshot to continue from.", allowed=others)
    if operation is Operation.PAUSE and facts.restart_due:
        return Refusal(
            "restarting",
            "The task is between two automatic restarts: nothing runs that could take a snapshot. "
            "Forced pause keeps the most recent one.",
            allowed=others,
            wait_for="the restart",
        )
    return None


def _by_group(operation: Operation, facts: Facts) -> Refusal | None:
    if not MATRIX[operation].starts:
        return None
    others = tuple(o for o in operations_for(facts.status) if not MATRIX[o].starts)
    name, places = facts.group_name, facts.places
    if places is None:
        return None  # the worker finds it missing and says so by status: Detection exception
    if not places.enabled:
        return Refusal(
            "group_disabled",
            f"Resource group {name} is disabled for maintenance.",
            allowed=others,
            wait_for=f"{name} to be enabled",
        )
    if places.used >= places.capacity:
        return Refusal(
            "group_full",
            f"Resource group {name} is full: {places.used} of {places.capacity} places are taken.",
            allowed=others,
            wait_for=f"a place in {name}",
        )
    return None
