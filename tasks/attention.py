"""Which tasks need somebody, most urgent kind first. One bounded query a kind, however many tasks there are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from math import inf
from typing import Final

from django.db.models import F, Q, QuerySet
from django.db.models.expressions import RawSQL

from tasks import shortlist
from tasks.models import Task
from tasks.statuses import Outcome, Status, Tone

#: Shown of one kind; one more is fetched to say that there are others.
MOST: Final = 10
UNHEARD_AFTER: Final = timedelta(seconds=15)
LAGGING_SECONDS: Final = 60.0
#: Many sources keep their change log for some hours or days: past that a Continue may find its offset gone.
PAUSED_LONG: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Need:
    """A kind of need, and the tasks that have it; `why` says of one task what is the matter."""

    code: str
    label: str
    tone: Tone
    tasks: list[Task]
    has_more: bool
    why: Callable[[Task], str]


def needs(now: datetime) -> list[Need]:
    """Return the needs that any submitted task has."""
    found = []
    for code, label, tone, condition, order, why in (*_broken(now), *_at_risk(now)):
        tasks = list(Task.objects.submitted().filter(condition).order_by(order, "pk")[: MOST + 1])
        if tasks:
            found.append(Need(code, label, tone, tasks[:MOST], len(tasks) > MOST, why))
    return found


#: Kinds that all tasks of a status have, and no others.
_WHOLE: Final = {"failure": Status.FAILURE, "detection": Status.DETECTION_EXCEPTION}


def in_need(
    tasks: QuerySet[Task], now: datetime, *, of: Collection[Status] = (), in_order: bool = True
) -> QuerySet[Task]:
    """Return those of `tasks` that have any need. `of`: the only statuses that `tasks` have, where that is known."""
    kinds = [
        (shortlist.known(f"attention {code}", partial(_keys, condition)), condition)
        for code, _, _, condition, _, _ in (*_broken(now), *_at_risk(now))
        if code not in _WHOLE or _WHOLE[code] in (of or Status)
    ]
    few, many = shortlist.NONE, []
    for keys, condition in sorted(kinds, key=lambda kind: kind[0].count if kind[0] else inf):
        if keys is not None and few.count + keys.count <= shortlist.MOST:
            few += keys
        else:
            many.append(condition)
    if not many:
        return shortlist.among(tasks, few, in_order=in_order)
    return shortlist.walked(tasks, *many, Q(pk__in=few.query()))


def _keys(kind: Q, most: int) -> Iterable[int]:
    # A query a kind: each has its index, all of them in one have none.
    return Task.objects.submitted().filter(kind).order_by().values_list("pk", flat=True)[:most]


Kind = tuple[str, str, Tone, Q, str, Callable[[Task], str]]


def _broken(now: datetime) -> tuple[Kind, ...]:
    """What does not do what it was asked to, or of which nobody knows whether it does."""
    unheard = Q(engine_state="unreachable") | Q(observed_at__lt=now - UNHEARD_AFTER, restart_at__isnull=True)
    return (
        ("failure", "Failed", Tone.BAD, Q(status=Status.FAILURE), "status_since", _fault),
        ("detection", "Missing objects", Tone.BAD, Q(status=Status.DETECTION_EXCEPTION), "status_since", _fault),
        (
            "unknown",
            "Outcome unknown",
            Tone.BAD,
            Q(pk__in=_once_unknown(), last_request__outcome=Outcome.UNKNOWN) & ~Q(status=Status.OPERATING),
            "status_since",
            lambda task: "The engine does not tell what came of the last operation.",
        ),
        (
            "overdue",
            "Operating past the time limit",
            Tone.BAD,
            Q(status=Status.OPERATING, last_request__deadline_at__lt=now),
            "status_since",
            lambda task: "Its operation should have been settled by now. Does a worker answer?",
        ),
        (
            "unheard",
            "Not heard of",
            Tone.BAD,
            Q(status=Status.RUNNING) & unheard,
            "observed_at",
            lambda task: "Its engine does not answer, so nobody knows whether it runs.",
        ),
    )


def _once_unknown() -> RawSQL:
    # Written out: for a parameter SQLite can't use the partial index. There are few, of a million last requests.
    return RawSQL(f"SELECT task_id FROM tasks_operationrequest WHERE outcome = '{Outcome.UNKNOWN.value}'", [])  # noqa: S608, S611


def _at_risk(now: datetime) -> tuple[Kind, ...]:
    """What works, or will again, but is on its way to trouble."""
    running = Q(status=Status.RUNNING)
    return (
        (
            "restarting",
            "Restarting",
            Tone.HELD,
            Q(restart_at__isnull=False),
            "restart_at",
            lambda task: f"Restart {task.restarts_in_row} of {task.restart_limit}. {task.fault_cause}".strip(),
        ),
        (
            "stale",
            "No snapshot",
            Tone.HELD,
            running & Q(last_write_at__gt=F("snapshot_overdue_at")),
            "snapshot_at",
            lambda task: "It writes, but takes no snapshot: a forced pause or a crash would replay much.",
        ),
        (
            "lagging",
            "Behind",
            Tone.HELD,
            running & Q(lag_seconds__gt=LAGGING_SECONDS),
            "-lag_seconds",
            lambda task: "It does not keep up with its source.",
        ),
        (
            "paused",
            "Paused for long",
            Tone.HELD,
            Q(status=Status.PAUSED, status_since__lt=now - PAUSED_LONG),
            "status_since",
            lambda task: (
                "The longer it waits, the more there is to catch up; a source that purges may drop its offset."
            ),
        ),
    )


def _fault(task: Task) -> str:
    return f"{task.fault_cause} {task.fault_advice}".strip() or task.status_reason
