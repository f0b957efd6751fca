"""Tasks by a part of their name, their objects or their connections.

The words stand in `tasks_text`, which triggers keep (migration 0012), with an index of their trigrams: FTS5 on SQLite,
pg_trgm on PostgreSQL.
"""

from __future__ import annotations

from typing import Final

from django.db import connection
from django.db.models import CharField, ExpressionWrapper, F, Func, Q, QuerySet, TextField, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower

from tasks import shortlist
from tasks.models import Task

_TRIGRAM: Final = 3
_WORDS: Final = Func(
    F("pk"), template="(SELECT words FROM tasks_text WHERE task_id = %(expressions)s)", output_field=TextField()
)
_POSTGRESQL: Final = "SELECT task_id FROM tasks_text WHERE words LIKE lower(%s)"


def matching(tasks: QuerySet[Task], text: str, *, in_order: bool = True) -> QuerySet[Task]:
    """Return those of `tasks` whose name, objects or connections hold `text`, whatever its case."""
    if len(text) < _TRIGRAM:
        return _walk(tasks, text, in_order=False)  # nobody knows how many have it
    keys = shortlist.known(f"text {text}", lambda most: _look_up(text, most))
    return _walk(tasks, text, in_order=in_order) if keys is None else shortlist.among(tasks, keys, in_order=in_order)


def _look_up(text: str, most: int) -> list[int]:
    sql, wanted = _POSTGRESQL, _pattern(text)
    if connection.vendor == "sqlite":
        sql, wanted = "SELECT rowid FROM tasks_text WHERE words MATCH %s", '"' + text.replace('"', '""') + '"'
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} LIMIT {most}", [wanted])
        return [key for (key,) in cursor.fetchall()]


def _walk(tasks: QuerySet[Task], text: str, *, in_order: bool) -> QuerySet[Task]:
    if connection.vendor == "postgresql" and in_order:
        # A value of each task: a join PostgreSQL took for a reason to leave the list's order, ten times slower.
        return tasks.alias(words=_WORDS).filter(words__contains=Lower(Value(text)))
    if connection.vendor == "postgresql":
        return tasks.filter(pk__in=RawSQL(_POSTGRESQL, [_pattern(text)]))  # noqa: S611
    tasks = tasks.alias(source_name=_name("source_connection_id"), target_name=_name("target_connection_id"))
    wanted = Q()
    for field in ("name", "source_object", "target_object", "source_name", "target_name"):
        wanted |= Q(**{f"{field}__icontains": text})
    return tasks.filter(wanted)


def _pattern(text: str) -> str:
    return f"%{connection.ops.prep_for_like_query(text)}%"


def _name(column: str) -> ExpressionWrapper[CharField[str, str]]:
    """A foreign key by name knows no `icontains`; the name in it does."""
    return ExpressionWrapper(F(column), output_field=CharField())
