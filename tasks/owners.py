"""The list in the order of its tasks' owners, as PostgreSQL finds a page of it.

The order is of two tables, so no index has it, and PostgreSQL sorts a million tasks for fifty. Each owner's own tasks
have an index in order, though: the first of each owner are read from it, owner by owner, until the page is full.
"""

from __future__ import annotations

from typing import Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from tasks.models import Task

#: As QuerySet.order_by takes it.
BY_OWNER: Final = "owner__username"


def found_by_owner(page: QuerySet[Task]) -> QuerySet[Task]:
    """Return the same tasks as `page`, which is a cut of tasks in the order of their owners, then of their names."""
    begin, end = page.query.low_mark, page.query.high_mark
    order = page.query.order_by
    direction = "DESC" if order[0] == f"-{BY_OWNER}" else "ASC"
    whole = page.all()
    whole.query.clear_limits()
    try:
        of_owner, owned = _first(whole.filter(owner=RawSQL("o.id", [])), end)
        of_nobody, others = _first(whole.filter(owner=None), end)
    except EmptyResultSet:  # a filter that nothing can answer
        return page
    users = connection.ops.quote_name(get_user_model()._meta.db_table)
    sql = f"""
        SELECT id FROM (
            (SELECT o.username, t.name, t.id FROM {users} o CROSS JOIN LATERAL ({of_owner}) t(name, id)
             ORDER BY 1 {direction}, 2, 3 LIMIT {end})
            UNION ALL SELECT NULL, t.name, t.id FROM ({of_nobody}) t(name, id)
        ) found ORDER BY username {direction}, name, id LIMIT {end - begin} OFFSET {begin}"""  # noqa: S608
    return Task.objects.filter(pk__in=RawSQL(sql, [*owned, *others])).order_by(*order).values("pk")  # noqa: S611


def _first(tasks: QuerySet[Task], most: int) -> tuple[str, tuple[Any, ...]]:
    return tasks.order_by("name", "pk").values_list("name", "pk")[:most].query.sql_with_params()
