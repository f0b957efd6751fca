"""What the task list may be asked for: the query of /tasks/, read forgivingly, since people type and share it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils import timezone

from tasks import attention, search
from tasks.models import Connection, ConnectionKind, Task, TaskTag, WriteMode
from tasks.statuses import Status

#: Counts stop here, so that a list of a million tasks costs what a list of a thousand does.
COUNT_LIMIT: Final = 10_000
_LONGEST: Final = 200
#: Values of one question that are offered with their counts.
_MOST_VALUES: Final = 100
#: Questions that each task has one answer to, and where it stands.
_FACETS: Final = {
    "group": "group_id",
    "owner": "owner__username",
    "source_kind": "source_connection__kind",
    "target_kind": "target_connection__kind",
    "mode": "write_mode",
}
_TEXTS: Final = ("q", "group", "owner", "source", "target", "source_kind", "target_kind", "mode", "tag")


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """An empty field asks for nothing. `status` may hold several."""

    q: str = ""
    status: tuple[Status, ...] = ()
    group: str = ""
    owner: str = ""
    source: str = ""  # a connection's name
    target: str = ""
    source_kind: str = ""
    target_kind: str = ""
    mode: str = ""
    tag: str = ""
    attention: bool = False
    sort: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> TaskFilter:
        """Read a query. What is not known is left out rather than answered with an error."""

        def text(name: str, known: list[str] | None = None) -> str:
            value = query.get(name, "").replace("\0", "").strip()[:_LONGEST]
            return value if known is None or value in known else ""

        asked = set(query.getlist("status"))
        return cls(
            q=text("q"),
            status=tuple(status for status in Status if status.value in asked),
            group=text("group"),
            owner=text("owner"),
            source=text("source"),
            target=text("target"),
            source_kind=text("source_kind", ConnectionKind.values),
            target_kind=text("target_kind", ConnectionKind.values),
            mode=text("mode", WriteMode.values),
            tag=text("tag"),
            attention=query.get("attention") == "1",
            sort=text("sort"),
        )

    @property
    def narrows(self) -> bool:
        """Does it ask for less than everything?"""
        return replace(self, sort="") != TaskFilter()

    def pairs(self) -> list[tuple[str, str]]:
        """Return what it asks for as the fields of a form."""
        found = [(name, getattr(self, name)) for name in _TEXTS if getattr(self, name)]
        found += [("attention", "1")] if self.attention else []
        found += [("sort", self.sort)] if self.sort else []
        return found + [("status", status.value) for status in self.status]

    @property
    def fixed(self) -> list[tuple[str, str]]:
        """Return the part of `pairs` that the form of the list has no field for."""
        return [(name, value) for name, value in self.pairs() if name in ("source", "target")]

    def query(self, **changes: Any) -> str:
        """Return the query string that asks for this, with `changes`."""
        page = changes.pop("page", 1)
        pairs = replace(self, **changes).pairs() + ([("page", page)] if page != 1 else [])
        return urlencode(pairs)

    def toggle(self, status: Status) -> str:
        """Return the query string with `status` added to the wanted ones, or taken off them."""
        kept = set(self.status) ^ {status}
        return self.query(status=tuple(s for s in Status if s in kept))

    def apply(self, tasks: QuerySet[Task], *, in_order: bool = True) -> QuerySet[Task]:
        """Return those of `tasks` that it asks for. `in_order`: are the first of them wanted, or just any?"""
        tasks = tasks.filter(status__in=self.status) if self.status else tasks
        # Group and connections are compared as the names they are: a join would lose tasks whose object is gone.
        exact = {"group": self.group, "source_connection": self.source, "target_connection": self.target}
        exact |= {"write_mode": self.mode}
        tasks = tasks.filter(**{name: value for name, value in exact.items() if value})
        if self.owner:
            tasks = tasks.filter(owner__in=_read(get_user_model().objects.filter(username=self.owner), "pk"))
        for side, kind in (("source", self.source_kind), ("target", self.target_kind)):
            if kind:
                of_kind = _read(Connection.objects.filter(kind=kind), "name")
                tasks = tasks.filter(**{f"{side}_connection__in": of_kind})
        if self.tag:
            tasks = tasks.filter(pk__in=TaskTag.objects.filter(name=self.tag).values("task"))
        if self.attention:
            tasks = attention.in_need(tasks, timezone.now(), of=self.status, in_order=in_order)
        return search.matching(tasks, self.q, in_order=in_order) if self.q else tasks

    def counts(self) -> dict[Status, int]:
        """Return how many tasks of each status the rest of the filter leaves, each at most COUNT_LIMIT.

        A query a status, so that each ends at the limit: a GROUP BY would read a million tasks to the end. What a text
        or "needs attention" leaves is mostly few, so one query is tried first.
        """
        if self.q or self.attention:
            found = replace(self, status=()).apply(Task.objects.submitted(), in_order=False).order_by()
            counted = Counter(found.values_list("status", flat=True)[:COUNT_LIMIT])
            if counted.total() < COUNT_LIMIT:
                return {status: counted[status] for status in Status}
        return {status: self._count(status) for status in Status}

    def _count(self, status: Status) -> int:
        found = replace(self, status=(status,)).apply(Task.objects.all(), in_order=False)
        # Only Initialize has drafts among it (a constraint says so); the others are counted from the index alone.
        found = found.submitted() if status is Status.INITIALIZE else found
        return found.order_by()[:COUNT_LIMIT].count()

    def facets(self) -> Facets:
        """Return for each question its values, with how many tasks have them that answer all the others."""
        others = replace(self, **dict.fromkeys(_FACETS, ""))
        found = others.apply(Task.objects.submitted(), in_order=False).order_by()
        rows = _grouped(found, tuple(_FACETS.values()))
        wanted = {name: getattr(self, name) for name in _FACETS}
        values = {}
        for place, name in enumerate(_FACETS):
            counted: Counter[str] = Counter()
            for *answers, n in rows:
                rest = zip(wanted.items(), answers, strict=True)
                if answers[place] and all(not want or other == name or got == want for (other, want), got in rest):
                    counted[answers[place]] += n
            values[name] = sorted(counted.most_common(_MOST_VALUES))
        without_tag = replace(self, tag="").apply(Task.objects.submitted(), in_order=False).order_by()
        values["tag"] = sorted(_tags_of(without_tag).items())
        return Facets(values, is_cut=sum(row[-1] for row in rows) >= COUNT_LIMIT)


@dataclass(frozen=True, slots=True)
class Facets:
    """Question -> its values with their counts. `is_cut`: of the first COUNT_LIMIT tasks only."""

    values: dict[str, list[tuple[str, int]]]
    is_cut: bool


def _grouped(found: QuerySet[Task], keys: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Return each combination of `keys` among the first of `found`, with how many have it."""
    inner, params = found.values_list(*keys)[:COUNT_LIMIT].query.sql_with_params()
    columns = ", ".join(str(n) for n in range(1, len(keys) + 1))
    with connection.cursor() as cursor:
        # Django can't group a query that is cut; all in it is its own SQL.
        cursor.execute(f"SELECT q.*, COUNT(*) FROM ({inner}) q GROUP BY {columns}", params)  # noqa: S608
        return list(cursor.fetchall())


def _tags_of(found: QuerySet[Task]) -> dict[str, int]:
    if not TaskTag.objects.exists():
        return {}
    try:
        inner, params = found.values_list("pk")[:COUNT_LIMIT].query.sql_with_params()
    except EmptyResultSet:  # of an owner whom nobody knows, or a kind that no connection has
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT t.name, COUNT(*) FROM tasks_tasktag t WHERE t.task_id IN ({inner}) GROUP BY 1 "  # noqa: S608
            f"ORDER BY 2 DESC LIMIT {_MOST_VALUES}",
            params,
        )
        return dict(cursor.fetchall())


#: Names of connections of a kind that a condition spells out.
_SPELLED_OUT: Final = 200


def _read(rows: QuerySet[Any], field: str) -> Any:
    """Return `field` of `rows` as values: a database that knows them sees how many tasks have them, and which index."""
    values = list(rows.values_list(field, flat=True)[: _SPELLED_OUT + 1])
    return values if len(values) <= _SPELLED_OUT else rows.values(field)
