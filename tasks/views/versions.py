"""What a row of the list reads like, in a dozen letters: a poll compares them, and fetches only what changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple

from django.core.cache import cache
from django.db.models import Exists, OuterRef
from django.utils import timezone

from tasks.compiled import Compiled
from tasks.guards import Places, places_of
from tasks.matrix import MATRIX
from tasks.models import Snapshot, Task
from tasks.statuses import Outcome, Status
from tasks.views import workers
from tasks.views.htmx import version_of


class Seen(NamedTuple):
    """What decides how a row reads: of the task and its last request. What its group has to give comes apart.

    One join: PostgreSQL took a millisecond to plan the ones to owner, group and connections beside it.
    """

    pk: int
    name: str
    status: str
    status_since: datetime
    paused_how: str
    source_connection_id: str
    source_object: str
    target_connection_id: str
    target_object: str
    write_mode: str
    group_id: str
    rows_read: int
    rows_written: int
    lag_seconds: float | None
    lag_rows: int | None
    engine_state: str
    observed_at: datetime | None
    restart_at: datetime | None
    restarts_in_row: int
    fault_cause: str
    last_request_id: int | None
    has_snapshot: bool
    owner_id: int | None
    outcome: str | None
    requested_at: datetime | None
    # From here on a poll does without: nothing changes unless something above does.
    restart_limit: int = 0
    operation: str | None = None
    actor_name: str = ""
    deadline_at: datetime | None = None


_COLUMNS: Final = {
    "outcome": "last_request__outcome",
    "requested_at": "last_request__requested_at",
    "operation": "last_request__operation",
    "actor_name": "last_request__actor_name",
    "deadline_at": "last_request__deadline_at",
    "has_snapshot": Exists(Snapshot.objects.filter(task=OuterRef("pk"), unusable="").order_by()),
}
_SHOWN: Final = [_COLUMNS.get(name, name) for name in Seen._fields]
_FIELDS: Final = Seen._fields[: Seen._fields.index("restart_limit")]
#: By the others that a poll reads a row changes only now and then: see `version`.
_APART: Final = {"observed_at", "requested_at"}
_AS_READ: Final = itemgetter(*(n for n, name in enumerate(_FIELDS) if name not in _APART))


#: Seconds: with the interval of the polls less than the two in which everybody sees what one person did.
FRESH: Final = 0.2


def _reading(columns: Sequence[Any]) -> Compiled:
    return Compiled("id", lambda among: Task.objects.submitted().filter(among).order_by().values_list(*columns))


_POLLED: Final = _reading(_SHOWN[: len(_FIELDS)])
_WHOLE: Final = _reading(_SHOWN)


def seen(keys: Collection[int]) -> list[Seen]:
    """Return what the rows of submitted tasks show, in the order of `keys`, in one query.

    No models: fifty of them with theirs took as long as the query.
    """
    found = {row[0]: Seen._make(row) for row in _WHOLE.rows(keys)}
    return [found[key] for key in keys if key in found]


def versions_of(keys: Collection[int]) -> dict[int, str]:
    """Return the version of the row of each submitted task among `keys`, in at most two queries.

    Hundreds look at the same page of the list: their polls share what one of them read a moment ago.
    """
    of_these = f"versions:{version_of(sorted(keys))}"
    found: dict[int, str] = cache.get_or_set(of_these, lambda: read_versions(keys), FRESH)
    return found


def read_versions(keys: Collection[int]) -> dict[int, str]:
    """Return the same as of now, in two queries."""
    rows = [Seen(*row) for row in _POLLED.rows(keys)]
    places = places_of({row.group_id for row in rows})
    now = timezone.now()
    return {row.pk: version(row, places.get(row.group_id), now) for row in rows}


def version(seen: Seen, places: Places | None, now: datetime) -> str:
    """Change whenever the row would read differently, but not with its ages: console.js keeps those true.

    Nor with the name of its owner, nor with the kind of a connection, which changes only while nothing that runs uses
    it: those show when the page is loaded next.
    """
    is_unknown = seen.outcome == Outcome.UNKNOWN
    # "... was requested 12 s ago" stands in a tooltip, where no clock ticks.
    age = (now - seen.requested_at).total_seconds() // 10 if seen.requested_at and seen.outcome == Outcome.OPEN else 0
    shown_at = seen.observed_at if is_unknown or is_unheard(seen, now) else None
    # Of a group that is full its refusals say how full.
    is_full = places is not None and places.used >= places.capacity
    group = places if is_full or places is None else places.enabled
    return version_of([*_AS_READ(seen), shown_at, group, age])


def rights_mark(may: Callable[[str], bool]) -> str:
    """Return what somebody may do in four letters. The version that a page has of a row ends with it."""
    return version_of([may(row.permission) for row in MATRIX.values()])[:4]


def is_unheard(task: Task | Seen, now: datetime) -> bool:
    """Whether nobody can tell what a task does at this moment."""
    if task.engine_state == "unreachable" and task.status in (Status.RUNNING, Status.OPERATING):
        return True
    if task.status != Status.RUNNING:
        return False
    # A task between two restarts has no process that could show anything.
    newest = task.observed_at or task.status_since
    return bool(task.restart_at is None and now - newest > workers.SILENT_AFTER)
