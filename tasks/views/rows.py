"""One task as the list shows it. The whole page, one row after an operation, and the poll are built here alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from django.db.models import QuerySet
from django.template import engines
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from tasks.guards import Facts, facts_of, refusal, with_facts
from tasks.matrix import FIVE
from tasks.models import Connection, Task
from tasks.models.connection import ConnectionKind
from tasks.statuses import Operation, Outcome, PausedHow, Status, Tone
from tasks.views import words
from tasks.views.versions import is_unheard, seen_of, version

_HOW: Final = {PausedHow.NORMAL.value: "with a snapshot", PausedHow.FORCED.value: "forced"}


@dataclass(frozen=True, slots=True)
class Button:
    """An operation as offered for one task. `code` and `why` are empty where it is allowed."""

    operation: str
    label: str
    url: str
    code: str = ""
    why: str = ""
    wait_for: str = ""
    is_next: bool = False  # what most people would do now


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
    """What rows/task_rows.html shows; ready words, so that the template has little to do."""

    id: int
    url: str
    task: Task
    status: Status
    label: str
    tone: str
    paused: str
    how: str
    since: str
    overlays: list[Overlay]
    source_kind: str
    target_kind: str
    buttons: SafeString
    version: str
    rows_read: str
    rows_written: str
    lag: str
    lag_value: str
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
    elif is_unheard(task, now):
        seen = words.ago(task.observed_at, now) if task.observed_at else "never"
        overlays.append(Overlay("unreachable", "engine unreachable, last seen", Tone.BAD, seen))
    if task.status in (Status.FAILURE, Status.DETECTION_EXCEPTION) and task.fault_cause:
        overlays.append(Overlay("fault", task.fault_cause, Tone.BAD))
    return overlays


def shown_tasks() -> QuerySet[Task]:
    """Return the submitted tasks with what a row shows, and nothing else: a task's other columns can be long."""
    return with_facts(Task.objects.submitted()).select_related("owner").only(*_SHOWN)


#: Columns that a row, its version and its guards read.
_SHOWN: Final = (
    "name",
    "status",
    "status_since",
    "paused_how",
    "submitted_at",
    "owner__username",
    "source_connection_id",
    "source_object",
    "target_connection_id",
    "target_object",
    "write_mode",
    "rows_read",
    "rows_written",
    "lag_seconds",
    "lag_rows",
    "engine_state",
    "observed_at",
    "restart_at",
    "restarts_in_row",
    "restart_limit",
    "fault_cause",
    "group__name",
    "group__enabled",
    "group__capacity",
    "last_request__task_id",
    "last_request__operation",
    "last_request__outcome",
    "last_request__actor_name",
    "last_request__requested_at",
    "last_request__deadline_at",
)


def build_rows(tasks: Iterable[Task], may: Callable[[str], bool]) -> list[TaskRow]:
    """Return a row for each of the `shown_tasks`, in a constant number of queries."""
    tasks = list(tasks)
    facts = facts_of(tasks, cache(may))
    kinds = kinds_of(tasks)
    now = timezone.now()
    base = reverse("tasks:list")
    shared: dict[tuple[Any, ...], str] = {}
    return [_row(task, facts[task.pk], kinds, f"{base}{task.pk}/", now, shared) for task in tasks]


def render_rows(rows: Iterable[TaskRow], *, oob: bool = False, gone: Iterable[int] = ()) -> SafeString:
    """Return the rows as HTML. Jinja: Django's own templates took 25 of the page's 40 ms for fifty rows."""
    template = engines["rows"].get_template("task_rows.html")
    return mark_safe(template.render({"rows": rows, "oob": oob, "gone": gone}))  # noqa: S308  (it escapes)


def render_buttons(prefix: str, name: str, buttons: list[Button]) -> SafeString:
    """Return the buttons of one task as HTML, as they stand in its row."""
    template = engines["rows"].get_template("buttons.html")
    return mark_safe(template.template.module.operations(prefix, name, buttons))  # noqa: S308  (it escapes)


def kinds_of(tasks: Iterable[Task]) -> dict[str, str]:
    """Return the kind of each connection that `tasks` name and that exists."""
    names = {name for task in tasks for name in (task.source_connection_id, task.target_connection_id) if name}
    found = Connection.objects.filter(name__in=names).values_list("name", "kind")
    labels = dict(ConnectionKind.choices)
    return {name: str(labels.get(kind, kind)) for name, kind in found}


#: Where the buttons of a row differ from those of another one in the same state; no text of ours or theirs has them.
_ID, _NAME, _URL = "\ue000i", "\ue000n", "\ue000u"


def _buttons(task: Task, facts: Facts, url: str, shared: dict[tuple[Any, ...], str]) -> SafeString:
    """Return the buttons of a row. Most rows of a page are in one of a few states: each is rendered once."""
    group = facts.group
    places = (group.enabled, group.capacity) if group else None
    asked = facts.open_request.pk if facts.open_request else None
    key = (facts.status, facts.group_name, places, facts.group_used, facts.has_snapshot, facts.restart_due, asked)
    if key not in shared:
        shared[key] = render_buttons(f"task-{_ID}", _NAME, buttons_of(task, facts, _URL))
    own = shared[key].replace(_ID, str(task.pk)).replace(_URL, url).replace(_NAME, escape(task.name))
    return mark_safe(own)  # noqa: S308  (escaped above)


def _row(
    task: Task,
    facts: Facts,
    kinds: dict[str, str],
    url: str,
    now: datetime,
    shared: dict[tuple[Any, ...], str],
) -> TaskRow:
    request = task.last_request
    status = Status(task.status)
    return TaskRow(
        id=task.pk,
        url=url,
        task=task,
        status=status,
        label=str(status.label),
        tone=status.tone.value,
        paused=task.paused_how,
        how=_HOW.get(task.paused_how, ""),
        since=words.since(task.status_since, now),
        overlays=overlays_of(task, now),
        source_kind=kinds.get(task.source_connection_id or "", "missing"),
        target_kind=kinds.get(task.target_connection_id or "", "missing"),
        buttons=_buttons(task, facts, url, shared),
        version=version(seen_of(task), facts.group_used, now),
        rows_read=words.number(task.rows_read),
        rows_written=words.number(task.rows_written),
        lag=words.lag(task.lag_seconds),
        lag_value="" if task.lag_seconds is None else str(task.lag_seconds),
        last_label=Operation(request.operation).label if request else "",
        last_outcome=Outcome(request.outcome).label if request else "",
        last_at=words.ago(request.requested_at, now) if request else "",
        owner=task.owner.get_username() if task.owner else "",
    )
