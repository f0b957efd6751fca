"""Everything that happened, in one order: operations and their refusals, what the system did by itself, alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from heapq import merge
from itertools import dropwhile
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import QueryDict

from tasks.models import AlertEvent, OperationRequest, StatusChange
from tasks.models.alert import AlertEventKind
from tasks.statuses import Channel, Operation, Outcome, Status

KINDS: Final = {"operation": "Operations", "system": "What the system did", "alert": "Alerts"}
_CHUNK: Final = 500
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `at` is when it was asked for, or when it was."""

    at: datetime
    kind: str
    id: int  # within its kind
    task: str
    task_id: int
    what: str
    actor: str
    channel: str = ""
    outcome: str = ""
    code: str = ""
    text: str = ""
    reason: str = ""

    @property
    def place(self) -> str:
        """Where it stands in the order: what a page that goes on after it is asked for."""
        return f"{self.at.isoformat()}~{self.kind}~{self.id}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "at": self.at.isoformat()}


COLUMNS: Final = tuple(field.name for field in fields(Event))


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What the history is asked for; an empty field asks for nothing."""

    kind: str = ""
    task: str = ""  # part of its name
    actor: str = ""
    operation: str = ""
    outcome: str = ""
    channel: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> AuditFilter:
        """Read a query forgivingly: people type and share it."""

        def text(name: str, known: Any = None) -> str:
            value = query.get(name, "").replace("\0", "").strip()[:_LONGEST]
            return value if known is None or value in known else ""

        return cls(
            kind=text("kind", KINDS),
            task=text("task"),
            actor=text("actor"),
            operation=text("operation", Operation.values),
            outcome=text("outcome", Outcome.values),
            channel=text("channel", Channel.values),
        )

    @property
    def narrows(self) -> bool:
        return self != AuditFilter()

    def query(self) -> str:
        return urlencode([(name, value) for name, value in asdict(self).items() if value])


def events(asked: AuditFilter, begin: datetime | None, end: datetime) -> Iterator[Event]:
    """Return what `asked` finds from `begin` until `end`, the latest first; read in chunks, so as many as wanted."""
    only_operations = asked.operation or asked.outcome or asked.channel
    streams = []
    for kind, stream in _STREAMS.items():
        if asked.kind in ("", kind) and (kind == "operation" or not only_operations):
            streams.append(stream(asked, begin, end))
    return merge(*streams, key=lambda event: (event.at, event.kind, event.id), reverse=True)


def events_after(place: str, asked: AuditFilter, begin: datetime | None, end: datetime) -> Iterator[Event]:
    """Return the events that follow the one at `place`, whichever came at the same moment; all where it is no place."""
    at, _, rest = place.partition("~")
    kind, _, number = rest.partition("~")
    try:
        seen = (datetime.fromisoformat(at), kind, int(number))
        end = min(end, seen[0] + timedelta(microseconds=1))
    except (ValueError, TypeError, OverflowError):
        return events(asked, begin, end)
    return dropwhile(lambda event: (event.at, event.kind, event.id) >= seen, events(asked, begin, end))


def _within(column: str, begin: datetime | None, end: datetime) -> Q:
    found = Q(**{f"{column}__lt": end})
    return found & Q(**{f"{column}__gte": begin}) if begin is not None else found


def _in_chunks(rows: QuerySet[Any], column: str) -> Iterator[Any]:
    """Go through `rows`, latest first, by key: a download must not hold a transaction, nor begin anew at each page."""
    rows = rows.order_by(f"-{column}", "-pk")
    rest = Q()
    while True:
        chunk = list(rows.filter(rest)[:_CHUNK])
        yield from chunk
        if len(chunk) < _CHUNK:
            return
        last = chunk[-1]
        at = getattr(last, column)
        rest = Q(**{f"{column}__lt": at}) | Q(**{column: at, "pk__lt": last.pk})


def _operations(asked: AuditFilter, begin: datetime | None, end: datetime) -> Iterator[Event]:
    rows = OperationRequest.objects.filter(_within("requested_at", begin, end)).select_related("task")
    exact = {"operation": asked.operation, "outcome": asked.outcome, "channel": asked.channel}
    rows = rows.filter(**{name: value for name, value in exact.items() if value})
    for it in _in_chunks(_of(rows, asked, "task__name"), "requested_at"):
        yield Event(
            at=it.requested_at,
            kind="operation",
            id=it.pk,
            task=it.task.name,
            task_id=it.task_id,
            what=str(Operation(it.operation).label),
            actor=it.actor_name,
            channel=it.channel,
            outcome=it.outcome,
            code=it.code,
            text=it.message,
            reason=it.reason,
        )


def _system(asked: AuditFilter, begin: datetime | None, end: datetime) -> Iterator[Event]:
    """Changes that no operation asked for: restarts, drift, missing objects, submissions, edits."""
    rows = StatusChange.objects.filter(_within("at", begin, end), request__isnull=True).select_related("task")
    for it in _in_chunks(_of(rows, asked, "task__name"), "at"):
        before = Status(it.from_status).label if it.from_status else "new"
        now = Status(it.to_status).label
        what = now if before == now else f"{before} → {now}"
        yield Event(it.at, "system", it.pk, it.task.name, it.task_id, str(what), it.actor_name, text=it.reason)


def _alerts(asked: AuditFilter, begin: datetime | None, end: datetime) -> Iterator[Event]:
    rows = AlertEvent.objects.filter(_within("at", begin, end)).select_related("alert__task")
    for it in _in_chunks(_of(rows, asked, "alert__task__name"), "at"):
        task = it.alert.task
        what = f"{it.alert.rule_name}: {AlertEventKind(it.kind).label.lower()}"
        yield Event(it.at, "alert", it.pk, task.name, task.pk, what, it.actor_name, text=it.text)


def _of(rows: QuerySet[Any], asked: AuditFilter, name: str) -> QuerySet[Any]:
    if asked.task:
        rows = rows.filter(**{f"{name}__icontains": asked.task})
    return rows.filter(actor_name=asked.actor) if asked.actor else rows


_STREAMS: Final[dict[str, Callable[[AuditFilter, datetime | None, datetime], Iterator[Event]]]] = {
    "operation": _operations,
    "system": _system,
    "alert": _alerts,
}
