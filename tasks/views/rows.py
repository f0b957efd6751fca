"""One task as the list shows it. The whole page, one row after an operation, and the poll are built here alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils import timezone

from tasks.guards import Facts, load_facts, refusal
from tasks.matrix import FIVE
from tasks.models import Connection, Task
from tasks.models.connection import ConnectionKind
from tasks.statuses import Operation, Outcome, PausedHow, Status, Tone
from tasks.views import words, workers
from tasks.views.htmx import version_of


@dataclass(frozen=True, slots=True)
class Button:
    """An operation as offered for one task. `code` and `why` are empty where it is allowed."""

    operation: str
    label: str
    url: str
    code: str = ""
    why: str = ""
    wait_for: str = ""


@dataclass(frozen=True, slots=True)
class Overlay:
    """Something that is true beside the status: never a status of its own."""

    name: str
    text: str
    tone: Tone
    time: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """What partials/task_row.html shows; ready words, so that the template has little to do."""

    id: int
    url: str
    task: Task
    status: Status
    paused: str
    how: str
    since: str
    overlays: list[Overlay]
    source_kind: str
    target_kind: str
    buttons: list[Button]
    version: str
    rows_read: str
    rows_written: str
    lag: str
    last_label: str
    last_outcome: str
    last_at: str
    owner: str


def buttons_of(task: Task, facts: Facts, url: str) -> list[Button]:
    """Return the five of the matrix, in its order; Re-detect beside them where a task needs it."""
    offered = FIVE
    if facts.status is Status.DETECTION_EXCEPTION:
        offered = (*FIVE, Operation.DETECT)
    buttons = []
    for operation in offered:
        refused = refusal(operation, facts)
        address = f"{url}operations/{operation.value}/"
        if refused is None:
            buttons.append(Button(operation.value, operation.label, address))
        else:
            buttons.append(
                Button(operation.value, operation.label, address, refused.code, refused.sentence, refused.wait_for)
            )
    return buttons


def overlays_of(task: Task, now: datetime) -> list[Overlay]:
    """Return what an operator must know beside the status: a restart to come, an engine that does not answer."""
    overlays = []
    if task.restart_at is not None:
        overlays.append(
            Overlay(
                "restarting",
                "restarting",
                Tone.HELD,
                words.until(task.restart_at, now),
                f"({task.restarts_in_row} of {task.restart_limit})",
            )
        )
    last = task.last_request
    if last is not None and last.outcome == Outcome.UNKNOWN:
        label = Operation(last.operation).label
        seen = words.ago(task.observed_at, now) if task.observed_at else "never"
        overlays.append(Overlay("unknown", f"outcome of {label} unknown, engine last seen", Tone.BAD, seen))
    elif _is_unheard(task, now):
        seen = words.ago(task.observed_at, now) if task.observed_at else "never"
        overlays.append(Overlay("unreachable", "engine unreachable, last seen", Tone.BAD, seen))
    if task.status in (Status.FAILURE, Status.DETECTION_EXCEPTION) and task.fault_cause:
        overlays.append(Overlay("fault", task.fault_cause, Tone.BAD))
    return overlays


def _is_unheard(task: Task, now: datetime) -> bool:
    if task.engine_state == "unreachable" and task.status in (Status.RUNNING, Status.OPERATING):
        return True
    if task.status != Status.RUNNING:
        return False
    # A task between two restarts has no process that could show anything.
    newest = task.observed_at or task.status_since
    return task.restart_at is None and now - newest > workers.SILENT_AFTER


def build_rows(tasks: Iterable[Task], may: Callable[[str], bool]) -> list[TaskRow]:
    """Return a row a task, in a constant number of queries."""
    tasks = list(tasks)
    facts = load_facts(tasks, may)
    kinds = kinds_of(tasks)
    now = timezone.now()
    base = reverse("tasks:list")
    return [_row(task, facts[task.pk], kinds, f"{base}{task.pk}/", now) for task in tasks]


def kinds_of(tasks: Iterable[Task]) -> dict[str, str]:
    """Return the kind of each connection that `tasks` name and that exists."""
    names = {name for task in tasks for name in (task.source_connection_id, task.target_connection_id) if name}
    found = Connection.objects.filter(name__in=names).values_list("name", "kind")
    labels = dict(ConnectionKind.choices)
    return {name: str(labels.get(kind, kind)) for name, kind in found}


def versions_of(tasks: Iterable[Task], may: Callable[[str], bool]) -> dict[int, str]:
    """Return what the rows of `tasks` would carry as version, without building the rows."""
    tasks = list(tasks)
    facts = load_facts(tasks, may)
    now = timezone.now()
    return {task.pk: _version(task, facts[task.pk], now) for task in tasks}


def _row(task: Task, facts: Facts, kinds: dict[str, str], url: str, now: datetime) -> TaskRow:
    request = task.last_request
    status = Status(task.status)
    return TaskRow(
        id=task.pk,
        url=url,
        task=task,
        status=status,
        paused=task.paused_how,
        how=PausedHow(task.paused_how).label if task.paused_how else "",
        since=words.since(task.status_since, now),
        overlays=overlays_of(task, now),
        source_kind=kinds.get(task.source_connection_id or "", "missing"),
        target_kind=kinds.get(task.target_connection_id or "", "missing"),
        buttons=buttons_of(task, facts, url),
        version=_version(task, facts, now),
        rows_read=words.number(task.rows_read),
        rows_written=words.number(task.rows_written),
        lag=words.lag(task.lag_seconds),
        last_label=Operation(request.operation).label if request else "",
        last_outcome=Outcome(request.outcome).label if request else "",
        last_at=words.ago(request.requested_at, now) if request else "",
        owner=task.owner.get_username() if task.owner else "",
    )


def _version(task: Task, facts: Facts, now: datetime) -> str:
    """Change whenever the row would read differently, but not with its ages: console.js keeps those true."""
    group, request, open_request = facts.group, task.last_request, facts.open_request
    unheard = _is_unheard(task, now)
    values: tuple[Any, ...] = (
        task.name,
        task.status,
        task.status_since,
        task.paused_how,
        task.source_connection_id,
        task.source_object,
        task.target_connection_id,
        task.target_object,
        task.write_mode,
        task.group_id,
        task.owner_id,
        task.rows_read,
        task.rows_written,
        task.lag_seconds,
        task.lag_rows,
        task.restart_at,
        task.restarts_in_row,
        task.fault_cause,
        (unheard or (request is not None and request.outcome == Outcome.UNKNOWN)) and task.observed_at,
        (request.pk, request.outcome) if request else None,
        facts.has_snapshot,
        (group.enabled, group.capacity, min(facts.group_used, group.capacity)) if group else None,
        # "... was requested 12 s ago" stands in a tooltip, where no clock ticks.
        int((now - open_request.requested_at).total_seconds()) // 10 if open_request else None,
    )
    return version_of(values)
