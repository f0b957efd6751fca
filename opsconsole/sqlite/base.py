"""Django's SQLite, with a fairer wait for the write lock.

SQLite's own waiting backs off to 100 ms a look, so whoever comes last looks most often and is served first: under many
writers one that has waited long waits for ever (seen with 36 writers: workers waited two minutes). Here everybody looks
equally often, at random moments, so nobody starves.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.db.backends.sqlite3 import base

T = TypeVar("T")

#: Seconds that a statement waits for the write lock, and between two looks.
PATIENCE: Final = 20.0
SHORTEST, LONGEST = 0.001, 0.01


class PatientCursor(base.SQLiteCursorWrapper):
    """Outside a transaction a statement that finds the database locked has done nothing: it is simply tried again."""

    def execute(self, query: str, params: Any = None) -> Any:
        return self._patiently(lambda: super(PatientCursor, self).execute(query, params))

    def executemany(self, query: str, param_list: Any) -> Any:
        return self._patiently(lambda: super(PatientCursor, self).executemany(query, param_list))

    def _patiently(self, action: Callable[[], T]) -> T:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return action()
            except sqlite3.OperationalError as error:
                # Within a transaction waiting can't help: all of them take the lock when they begin.
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or self.connection.in_transaction or time.monotonic() > until:
                    raise
            time.sleep(random.uniform(SHORTEST, LONGEST))  # noqa: S311  (no secret)


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        connection: sqlite3.Connection = super().get_new_connection(conn_params)
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor(factory=PatientCursor)
