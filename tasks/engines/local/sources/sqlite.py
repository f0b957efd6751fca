"""A SQLite table, polled by an increasing column; equal values are told apart by the row id."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from tasks.engines.base import JSON, Fault, SourceSpec
from tasks.engines.local.faults import ConnectorError, missing, permanent
from tasks.engines.local.sources.base import Batch, Column, Row
from tasks.engines.local.sqlite import check_path, fault_of, open_database, quote, table_columns

COUNTED: Final = 100_001  # rows waiting are counted up to here
COUNTED_ONCE: Final = 2_000_000  # the same when a run begins; above it an estimate has to do
_AFFINITIES = (("INT", "integer"), ("CHAR", "text"), ("CLOB", "text"), ("TEXT", "text"), ("BLOB", "blob"))
_REALS = ("REAL", "FLOA", "DOUB")


def column_type(declared: str) -> str:
    """Return the type of a declared SQLite type, by SQLite's own rules of affinity."""
    upper = declared.upper()
    for part, name in _AFFINITIES:
        if part in upper:
            return name
    return "real" if any(part in upper for part in _REALS) else "any"


class SqliteSource:
    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.subject = f"table {spec.object} of connection {spec.connection.name}"
        self._db: sqlite3.Connection | None = None
        self._columns: tuple[Column, ...] = ()
        self._cursor = ""
        self._tied = False  # whether equal cursor values have to be told apart by the row id
        self._select = ""
        self._offset: JSON = {}

    # --- looking ----------------------------------------------------------------------------------------

    def check(self) -> tuple[Fault, ...]:
        problems = check_path(self.spec.connection, write=False)
        if problems:
            return problems
        try:
            self._prepare()
        except ConnectorError as error:
            return (error.fault,)
        finally:
            self.close()
        return ()

    def columns(self) -> tuple[Column, ...]:
        if not self._columns:
            self._prepare()
        return self._columns

    def _prepare(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        table = self.spec.object
        db = open_database(self.spec.connection, write=False)
        try:
            info = table_columns(db, table)
            if not info:
                raise ConnectorError(self._no_table(db))
            self._columns = tuple(
                Column(name, column_type(declared), declared, "sqlite") for name, declared, _, _ in info
            )
            self._choose_cursor(db, info)
            db.execute(f"SELECT 1 FROM {quote(table)} LIMIT 1").fetchone()
        except sqlite3.Error as error:
            db.close()
            raise ConnectorError(fault_of(error, self.spec.connection, self.subject)) from None
        except ConnectorError:
            db.close()
            raise
        self._db = db
        return db

    def _no_table(self, db: sqlite3.Connection) -> Fault:
        return missing(
            "table_missing",
            f"Table {self.spec.object} does not exist in {self.spec.connection.settings.get('path')} "
            f"(connection {self.spec.connection.name}).",
            "Create it, then Re-detect.",
            self.subject,
        )

    def _choose_cursor(self, db: sqlite3.Connection, info: list[tuple[str, str, bool, int]]) -> None:
        """Set the cursor column and whether ties are possible. Raises ConnectorError, sqlite3.Error."""
        names = [name for name, _, _, _ in info]
        keys = [name for name, _, _, place in info if place]
        integer_key = next((n for n, declared, _, place in info if place and declared.upper() == "INTEGER"), "")
        row_id = integer_key if len(keys) == 1 else ""
        has_row_id = self._has_row_id(db)
        cursor = str(self.spec.options.get("cursor") or row_id)
        if not cursor:
            cause = f"{self.subject} has no integer primary key to read by."
            raise ConnectorError(permanent("cursor_missing", cause, "Name a cursor column.", self.subject))
        if cursor not in names:
            cause = f"{self.subject} has no column {cursor}; it has {', '.join(names)}."
            raise ConnectorError(permanent("column_missing", cause, "Correct the cursor.", self.subject))
        self._cursor = cursor
        self._tied = has_row_id and cursor != row_id and keys != [cursor]
        chosen = ", ".join(quote(name) for name in names)
        self._select = f"SELECT {chosen}{', rowid' if self._tied else ''} FROM {quote(self.spec.object)}"

    def _has_row_id(self, db: sqlite3.Connection) -> bool:
        try:
            db.execute(f"SELECT rowid FROM {quote(self.spec.object)} LIMIT 0")
        except sqlite3.OperationalError:
            return False  # a view, or a table WITHOUT ROWID: its cursor has to be unique
        return True

    # --- reading ----------------------------------------------------------------------------------------

    def open(self, offset: JSON | None, start: str) -> JSON:
        db = self._prepare()
        if offset is not None:
            self._offset = offset
        elif start == "latest":
            self._offset = self._latest(db)
        else:
            self._offset = {"cursor": None, "rowid": None}
        return self._offset

    def _latest(self, db: sqlite3.Connection) -> JSON:
        cursor = quote(self._cursor)
        order = f"{cursor} DESC, rowid DESC" if self._tied else f"{cursor} DESC"
        chosen = f"{cursor}, rowid" if self._tied else f"{cursor}, NULL"
        sql = f"SELECT {chosen} FROM {quote(self.spec.object)} WHERE {cursor} IS NOT NULL ORDER BY {order} LIMIT 1"
        row = self._execute(db, sql, ()).fetchone()
        return {"cursor": row[0], "rowid": row[1]} if row else {"cursor": None, "rowid": None}

    def read(self, limit: int) -> Batch:
        db = self._prepare()
        where, values = self._after()
        order = f"{quote(self._cursor)}, rowid" if self._tied else quote(self._cursor)
        fetched: list[Row] = self._execute(
            db, f"{self._select} WHERE {where} ORDER BY {order} LIMIT ?", (*values, limit)
        ).fetchall()
        if not fetched:
            return Batch((), self._offset, caught_up=True)
        last = fetched[-1]
        place = next(i for i, column in enumerate(self._columns) if column.name == self._cursor)
        self._offset = {"cursor": last[place], "rowid": last[-1] if self._tied else None}
        rows = [row[:-1] for row in fetched] if self._tied else fetched
        return Batch(rows, self._offset, caught_up=len(rows) < limit, bytes=sampled_bytes(rows))

    def _after(self) -> tuple[str, tuple[Any, ...]]:
        cursor, at = quote(self._cursor), self._offset
        if at.get("cursor") is None:
            return f"{cursor} IS NOT NULL", ()
        if self._tied and at.get("rowid") is not None:
            return f"({cursor}, rowid) > (?, ?)", (at["cursor"], at["rowid"])
        return f"{cursor} > ?", (at["cursor"],)

    def _execute(self, db: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        try:
            return db.execute(sql, values)
        except sqlite3.Error as error:
            raise ConnectorError(fault_of(error, self.spec.connection, self.subject)) from None

    def lag_rows(self) -> int | None:
        return self._count(COUNTED)

    def _count(self, most: int) -> int:
        where, values = self._after()
        sql = f"SELECT COUNT(*) FROM (SELECT 1 FROM {quote(self.spec.object)} WHERE {where} LIMIT {most})"
        counted: int = self._execute(self._prepare(), sql, values).fetchone()[0]
        return counted

    def waiting(self) -> tuple[int, str] | None:
        counted = self._count(COUNTED_ONCE + 1)
        if counted <= COUNTED_ONCE:
            return counted, "rows"
        if not self._has_row_id(self._prepare()):
            return None
        newest = self._execute(self._prepare(), f"SELECT max(rowid) FROM {quote(self.spec.object)}", ()).fetchone()
        return max(counted, newest[0] or 0), "rows"

    def describe(self, offset: JSON) -> str:
        if offset.get("cursor") is None:
            return "the beginning"
        tie = f", row {offset['rowid']}" if offset.get("rowid") is not None else ""
        return f"{self._cursor} = {offset['cursor']}{tie}"

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def sampled_bytes(rows: list[Row]) -> int:
    """Estimate the size of `rows` from ten of them: measuring each would cost more than moving it."""
    sample = rows[:: max(1, len(rows) // 10)]
    size = sum(len(value) if isinstance(value, str | bytes) else 8 for row in sample for value in row)
    return size * len(rows) // len(sample)
