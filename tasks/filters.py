"""What the task list may be asked for: the query of /tasks/, read forgivingly, since people type and share it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from django.db.models import CharField, ExpressionWrapper, F, Q, QuerySet
from django.http import QueryDict

from tasks.models import Task, WriteMode
from tasks.statuses import Status

#: Counts stop here, so that a list of a million tasks costs what a list of a thousand does.
COUNT_LIMIT: Final = 10_000
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """An empty field asks for nothing. `status` may hold several."""

    q: str = ""
    status: tuple[Status, ...] = ()
    group: str = ""
    source: str = ""
    target: str = ""
    mode: str = ""
    owner: str = ""
    sort: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> TaskFilter:
        """Read a query. What is not known is left out rather than answered with an error."""

        def text(name: str) -> str:
            return query.get(name, "").replace("\0", "").strip()[:_LONGEST]

        asked = set(query.getlist("status"))
        return cls(
            q=text("q"),
            status=tuple(status for status in Status if status.value in asked),
            group=text("group"),
            source=text("source"),
            target=text("target"),
            mode=text("mode") if text("mode") in WriteMode.values else "",
            owner=text("owner"),
            sort=text("sort"),
        )

    @property
    def narrows(self) -> bool:
        """Does it ask for less than everything?"""
        return replace(self, sort="") != TaskFilter()

    def query(self, **changes: Any) -> str:
        """Return the query string that asks for this, with `changes`."""
        wanted = replace(self, **{name: value for name, value in changes.items() if name != "page"})
        out = QueryDict(mutable=True)
        for name in ("q", "group", "source", "target", "mode", "owner", "sort"):
            if getattr(wanted, name):
                out[name] = getattr(wanted, name)
        out.setlist("status", list(wanted.status))
        if changes.get("page", 1) != 1:
            out["page"] = changes["page"]
        return out.urlencode()

    def toggle(self, status: Status) -> str:
        """Return the query string with `status` added to the wanted ones, or taken off them."""
        kept = set(self.status) ^ {status}
        return self.query(status=tuple(s for s in Status if s in kept))

    def apply(self, tasks: QuerySet[Task]) -> QuerySet[Task]:
        return self._by_status(self._by_rest(tasks))

    def _by_status(self, tasks: QuerySet[Task]) -> QuerySet[Task]:
        return tasks.filter(status__in=self.status) if self.status else tasks

    def _by_rest(self, tasks: QuerySet[Task]) -> QuerySet[Task]:
        # Group and connections are compared as the names they are: a join would lose tasks whose object is gone.
        exact = {"group": self.group, "source_connection": self.source, "target_connection": self.target}
        exact |= {"write_mode": self.mode, "owner__username": self.owner}
        tasks = tasks.filter(**{name: value for name, value in exact.items() if value})
        if not self.q:
            return tasks
        tasks = tasks.alias(source_name=_name("source_connection_id"), target_name=_name("target_connection_id"))
        fields = ("name", "source_object", "target_object", "source_name", "target_name")
        wanted = Q()
        for field in fields:
            wanted |= Q(**{f"{field}__icontains": self.q})
        return tasks.filter(wanted)

    def counts(self) -> dict[Status, int]:
        """Return how many tasks of each status the rest of the filter leaves, each at most COUNT_LIMIT.

        A query a status, so that each ends at the limit; a GROUP BY would read a million tasks to the end.
        """
        return {status: self._by_rest(_of(status)).order_by()[:COUNT_LIMIT].count() for status in Status}


def _of(status: Status) -> QuerySet[Task]:
    tasks = Task.objects.filter(status=status)
    # Only Initialize has drafts among it (a constraint says so); the others are counted from the index alone.
    return tasks.submitted() if status is Status.INITIALIZE else tasks


def _name(column: str) -> ExpressionWrapper[CharField[str, str]]:
    """A foreign key by name knows no `icontains`; the name in it does."""
    return ExpressionWrapper(F(column), output_field=CharField())
