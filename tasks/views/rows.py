"""One task as the list shows it. The whole page, one row after an operation, and the poll are built here alike."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any, Final, NamedTuple

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.template import engines
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from tasks.guards import Facts, Places, places_of, refusal
from tasks.matrix import FIVE
from tasks.models import Connection, OperationRequest, Task
from tasks.models.connection import ConnectionKind
from tasks.statuses import Operation, Outcome, PausedHow, Status, Tone
from tasks.views import words
from tasks.views.htmx import render_part, version_of
from tasks.views.versions import Seen, is_unheard, rights_mark, seen, version

_SECONDS: Final = 3
_HOW: Final = {PausedHow.NORMAL.value: "with a snapshot", PausedHow.FORCED.value: "forced"}
#: Kind of a connection -> its words.
KINDS: Final = {value: str(label) for value, label in ConnectionKind.choices}


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


class TaskRow(NamedTuple):
    """What rows/task_rows.html shows; ready words, so that the template has little to do."""

    id: int
    url: str
    task: Seen
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


def buttons_of(facts: Facts, url: str) -> list[Button]:
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


def overlays_of(task: Task | Seen, unknown: str | None, now: datetime) -> list[Overlay]:
    """Return what an operator must know beside the status: a restart to come, an engine that does not answer.

    `unknown` is the operation, if any, of which nobody knows how it ended.
    """
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
    if unknown:
        label = Operation(unknown).label
        seen = words.ago(task.observed_at, now) if task.observed_at else "never"
        overlays.append(Overlay("unknown", f"outcome of {label} unknown, engine last seen", Tone.BAD, seen))
    elif is_unheard(task, now):
        seen = words.ago(task.observed_at, now) if task.observed_at else "never"
        overlays.append(Overlay("unreachable", "engine unreachable, last seen", Tone.BAD, seen))
    if task.status in (Status.FAILURE, Status.DETECTION_EXCEPTION) and task.fault_cause:
        overlays.append(Overlay("fault", task.fault_cause, Tone.BAD))
    return overlays


def build_rows(keys: Collection[int], may: Callable[[str], bool]) -> list[TaskRow]:
    """Return a row for each submitted task among `keys`, in two queries, and two more once in some seconds."""
    shown = seen(keys)
    owners = {row.owner_id for row in shown if row.owner_id}
    connections = {name for row in shown for name in (row.source_connection_id, row.target_connection_id)}
    page = _Page(
        places=places_of({row.group_id for row in shown}),
        # These change seldom, and nothing is done by them: they may be some seconds old.
        owners=_remembered("owners", owners, _usernames),
        kinds=_remembered("kinds", connections, _kinds),
        may=functools.cache(may),
        rights=rights_mark(may),
        now=timezone.now(),
        base=reverse("tasks:list"),
        buttons={},
    )
    return [_row(row, page) for row in shown]


class _Page(NamedTuple):
    """What the rows of one page share."""

    places: dict[str, Places]
    owners: dict[int, str]
    kinds: dict[str, str]
    may: Callable[[str], bool]
    rights: str
    now: datetime
    base: str
    buttons: dict[tuple[Any, ...], str]  # as rendered, by all that they depend on


def _remembered(what: str, of: Collection[Any], read: Callable[[Collection[Any]], dict[Any, str]]) -> dict[Any, str]:
    found: dict[Any, str] = cache.get_or_set(f"{what}:{version_of(sorted(of))}", lambda: read(of), _SECONDS)
    return found


def _usernames(of: Collection[int]) -> dict[int, str]:
    return dict(get_user_model().objects.filter(pk__in=of).values_list("pk", "username"))


def _kinds(of: Collection[str]) -> dict[str, str]:
    return dict(Connection.objects.filter(name__in=of).order_by().values_list("name", "kind"))


def _facts(row: Seen, page: _Page) -> Facts:
    request = None
    if row.outcome == Outcome.OPEN:
        # An open request is a task's last one: accept() writes both in one transaction.
        request = OperationRequest(
            pk=row.last_request_id,
            operation=row.operation,
            actor_name=row.actor_name,
            requested_at=row.requested_at,
            deadline_at=row.deadline_at,
        )
    return Facts(
        status=Status(row.status),
        submitted=True,
        group_name=row.group_id,
        places=page.places.get(row.group_id),
        has_snapshot=row.has_snapshot,
        restart_due=row.restart_at is not None,
        open_request=request,
        may=page.may,
    )


def render_rows(rows: Iterable[TaskRow], *, oob: bool = False, gone: Iterable[int] = ()) -> SafeString:
    return render_part("task_rows.html", {"rows": rows, "oob": oob, "gone": gone})


def render_buttons(prefix: str, name: str, buttons: list[Button]) -> SafeString:
    """Return the buttons of one task as HTML, as they stand in its row."""
    template = engines["rows"].get_template("buttons.html")
    return SafeString(template.template.module.operations(prefix, name, buttons))  # it escapes


#: Where the buttons of a row differ from those of another one in the same state; no text of ours or theirs has them.
_ID, _NAME, _URL = "\ue000i", "\ue000n", "\ue000u"


def _buttons(row: Seen, page: _Page, url: str) -> SafeString:
    """Return the buttons of a row. Most rows of a page are in one of a few states: each is rendered once."""
    asked = row.last_request_id if row.outcome == Outcome.OPEN else None
    places = page.places.get(row.group_id)
    is_closed = places is not None and (not places.enabled or places.used >= places.capacity)
    # Of a group a button speaks only where that lets nothing start.
    key = (row.status, is_closed and row.group_id, row.has_snapshot, row.restart_at is not None, asked)
    if key not in page.buttons:
        page.buttons[key] = str(render_buttons(f"task-{_ID}", _NAME, buttons_of(_facts(row, page), _URL)))
    # Not by mark_safe and Django's escape, which look for lazy translations first: a tenth of a row.
    return SafeString(page.buttons[key].replace(_ID, str(row.pk)).replace(_URL, url).replace(_NAME, escape(row.name)))


def _row(task: Seen, page: _Page) -> TaskRow:
    now, url = page.now, f"{page.base}{task.pk}/"
    status = Status(task.status)
    unknown = task.operation if task.outcome == Outcome.UNKNOWN else None
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
        overlays=overlays_of(task, unknown, now),
        source_kind=KINDS.get(page.kinds.get(task.source_connection_id, ""), "missing"),
        target_kind=KINDS.get(page.kinds.get(task.target_connection_id, ""), "missing"),
        buttons=_buttons(task, page, url),
        version=version(task, page.places.get(task.group_id), now) + page.rights,
        rows_read=words.number(task.rows_read),
        rows_written=words.number(task.rows_written),
        lag=words.lag(task.lag_seconds),
        lag_value="" if task.lag_seconds is None else str(task.lag_seconds),
        last_label=Operation(task.operation).label if task.operation else "",
        last_outcome=Outcome(task.outcome).label if task.outcome else "",
        last_at=words.ago(task.requested_at, now) if task.requested_at else "",
        owner=page.owners.get(task.owner_id, "") if task.owner_id else "",
    )
