"""Queries that are put together once and asked again and again for other keys.

What the columns of a query mean takes Django longer to find out than a database to read fifty rows, and the poll of
each open list asks the same two queries every two seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import BooleanField, F, Func, Q, QuerySet
from django.db.models.expressions import RawSQL

_KEYS: Final = "the keys asked for"


class _Statement(NamedTuple):
    sql: str
    params: list[Any]
    compiler: Any
    converters: dict[int, Any]


class Compiled:
    """A query whose `key`, a column of its own table, is among keys that are not known yet.

    `build` is given that as a condition, and returns the query as a `values_list`.
    """

    def __init__(self, key: str, build: Callable[[Q], QuerySet[Any, Any]]) -> None:
        self._key, self._build = key, build
        # By kind of database. Its converters keep the connection of the thread that came first, but ask it only for
        # its time zone, and all have the same.
        self._statements: dict[str, _Statement] = {}

    def rows(self, keys: Collection[Any]) -> list[tuple[Any, ...]]:
        """Return the rows for `keys`, in one statement."""
        if connection.vendor not in self._statements:
            self._statements[connection.vendor] = self._compile()
        sql, params, compiler, converters = self._statements[connection.vendor]
        asked = json.dumps(list(keys)) if connection.vendor == "sqlite" else list(keys)
        with connection.cursor() as cursor:
            cursor.execute(sql, [asked if param is _KEYS else param for param in params])
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return [tuple(row) for row in compiler.apply_converters(rows, converters)] if converters else rows

    def _compile(self) -> _Statement:
        listed, joiner = RawSQL("%s", [_KEYS]), " = ANY "
        if connection.vendor == "sqlite":
            listed, joiner = RawSQL("SELECT value FROM json_each(%s)", [_KEYS]), " IN "
        among = Func(F(self._key), listed, arg_joiner=joiner, template="%(expressions)s", output_field=BooleanField())
        compiler = self._build(Q(among)).query.get_compiler(connection=connection)
        sql, params = compiler.as_sql()
        converters = compiler.get_converters(column for column, _, _ in compiler.select)
        return _Statement(sql, list(params), compiler, converters)
