"""The columns of the task list: how each sorts, and what heads it. `tasks.views.rows` says what stands in a row."""

from __future__ import annotations

from typing import Any, Final

import django_tables2 as tables
from django.core.paginator import Page, Paginator
from django.db import connection
from django.db.models import QuerySet
from django.utils.functional import cached_property

from tasks.filters import COUNT_LIMIT
from tasks.models import Task
from tasks.owners import BY_OWNER

PER_PAGE: Final = 50


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts, and pages, up to a limit: deep pages cost more the deeper they are, and nobody reads them."""

    def __init__(self, *args: Any, known_count: int | None = None, **values: Any) -> None:
        """`known_count` spares the query, where somebody has counted just now."""
        super().__init__(*args, **values)
        if known_count is not None:
            self.__dict__["count"] = min(known_count, COUNT_LIMIT)

    @cached_property
    def count(self) -> int:
        rows: Any = getattr(self.object_list, "data", self.object_list)
        rows = getattr(rows, "data", rows)
        return int(rows.order_by()[:COUNT_LIMIT].count())

    def page(self, number: Any) -> Page[Any]:
        """A count of some seconds ago must not cut off a row that came since."""
        number = self.validate_number(number)
        begin = (number - 1) * self.per_page
        return self._get_page(self.object_list[begin : begin + self.per_page], number, self)

    @property
    def is_cut(self) -> bool:
        return self.count >= COUNT_LIMIT


def page_of(rows: Any, number: str, per_page: int = 25) -> Page[Any]:
    """Return the page named `number`; whatever is no page is the nearest that is."""
    return BoundedPaginator(rows, per_page).get_page(number)


def _sorted_by(*fields: str, **options: Any) -> tables.Column:
    return tables.Column(order_by=(*fields, "name", "pk"), empty_values=(), **options)


class TaskTable(tables.Table):
    """Columns, sort and pages. The cells come from rows/task_rows.html: one template a row, not one a cell."""

    status = _sorted_by("status")
    since = _sorted_by("-status_since", verbose_name="since")
    name = tables.Column(order_by=("name", "pk"), verbose_name="Task")
    group = _sorted_by("group_id")
    owner = _sorted_by(BY_OWNER)
    source = _sorted_by("source_connection_id", "source_object")
    target = _sorted_by("target_connection_id", "target_object")
    mode = _sorted_by("write_mode")
    rows_read = _sorted_by("rows_read", verbose_name="Rows read")
    rows_written = _sorted_by("rows_written", verbose_name="written")
    lag = _sorted_by("lag_seconds", "lag_rows")
    last_operation = _sorted_by("last_request_id", verbose_name="Last operation")  # the newer, the larger
    operations = tables.Column(orderable=False, empty_values=())

    class Meta:
        model = Task
        fields = ()
        order_by_field = "sort"

    def order_owner(self, tasks: QuerySet[Task], is_descending: bool) -> tuple[QuerySet[Task], bool]:
        """Begin with the owners, of whom there are few: from the tasks, a million would be joined and sorted."""
        # An inner join may begin with them. PostgreSQL sorts all the same: see tasks.owners.
        if connection.vendor == "sqlite" and not Task.objects.submitted().filter(owner=None).exists():
            tasks = tasks.filter(owner__username__isnull=False)
        return tasks.order_by(f"{'-' if is_descending else ''}{BY_OWNER}", "name", "pk"), True

    #: What stands above each cell: the first names it, the others are shown under it.
    HEADINGS: Final = (
        ("status", "since"),
        ("name", "group", "owner"),
        ("source",),
        ("target", "mode"),
        ("rows_read", "rows_written"),
        ("lag",),
        ("last_operation",),
        ("operations",),
    )

    def headings(self) -> list[list[Any]]:
        return [[self.columns[name] for name in names] for names in self.HEADINGS]
