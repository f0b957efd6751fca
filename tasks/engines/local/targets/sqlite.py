"""A SQLite table: append or upsert, with the ledger in the same transaction."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import orjson

from tasks.engines.base import JSON, Fault, TargetSpec
from tasks.engines.local.faults import ConnectorError, fenced, permanent
from tasks.engines.local.sources.base import Column, Row
from tasks.engines.local.sqlite import check_path, fault_of, open_database, path_of, quote, table_columns
from tasks.engines.local.targets.base import Ledger, Written

T = TypeVar("T")

LEDGER: Final = "_ops_ledger"
_TYPES = {"integer": "INTEGER", "real": "REAL", "text": "TEXT", "blob": "BLOB", "boolean": "INTEGER", "json": "TEXT"}
#: Errors that speak of a row's values, not of the database.
_ROW_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    sqlite3.InterfaceError,
    OverflowError,
    UnicodeEncodeError,
)


class SqliteTarget:
    def __init__(self, spec: TargetSpec, task: str) -> None:
        self.spec = spec
        self.task = task
        self.subject = f"table {spec.object} of connection {spec.connection.name}"
        self._db: sqlite3.Connection | None = None
        self._insert = ""
        self._run = self._epoch = 0

    # --- looking ----------------------------------------------------------------------------------------

    def check(self, columns: Sequence[Column] | None) -> tuple[Fault, ...]:
        problems = check_path(self.spec.connection, write=True)
        if problems or not path_of(self.spec.connection).exists():
            return problems or self._check_key(columns)
        db: sqlite3.Connection | None = None
        try:
            db = open_database(self.spec.connection, write=True)
            info = table_columns(db, self.spec.object)
            return self._check_table(db, info, columns) if info else self._check_key(columns)
        except ConnectorError as error:
            return (error.fault,)
        except sqlite3.Error as error:
            return (fault_of(error, self.spec.connection, self.subject),)
        finally:
            if db is not None:
                db.close()

    def _check_key(self, columns: Sequence[Column] | None) -> tuple[Fault, ...]:
        known = {column.name for column in columns or ()}
        unknown = [name for name in self.spec.key if columns is not None and name not in known]
        if self.spec.mode != "upsert" or not unknown:
            return ()
        cause = f"The source has no key column {', '.join(unknown)}; it has {', '.join(sorted(known))}."
        return (permanent("key_unknown", cause, "Correct the key.", self.subject),)

    def _check_table(
        self, db: sqlite3.Connection, info: list[tuple[str, str, bool, int]], columns: Sequence[Column] | None
    ) -> tuple[Fault, ...]:
        there = {name for name, _, _, _ in info}
        lacking = [column.name for column in columns or () if column.name not in there]
        if lacking:
            cause = f"{self.subject} has no column {', '.join(lacking)}, which the source has."
            return (permanent("column_missing", cause, "Add it to the target, then Continue.", self.subject),)
        if self.spec.mode == "upsert" and not _is_unique(db, self.spec, info):
            key = ", ".join(quote(name) for name in self.spec.key)
            cause = f"{self.subject} has no unique index on the key ({', '.join(self.spec.key)})."
            advice = f"Create one: CREATE UNIQUE INDEX ... ON {quote(self.spec.object)} ({key})."
            return (permanent("key_not_unique", cause, advice, self.subject),)
        return self._check_key(columns)

    # --- writing ----------------------------------------------------------------------------------------

    def open(self, columns: Sequence[Column], run: int, epoch: int) -> Ledger | None:
        self._run, self._epoch = run, epoch
        db = self._db = open_database(self.spec.connection, write=True)
        self._insert = _insert_statement(self.spec, columns)
        return self._guarded(lambda: self._prepare(db, columns))

    def _prepare(self, db: sqlite3.Connection, columns: Sequence[Column]) -> Ledger | None:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {LEDGER} (task TEXT PRIMARY KEY, run INTEGER NOT NULL, "
            "epoch INTEGER NOT NULL, source_offset TEXT, position INTEGER NOT NULL, rows_written INTEGER NOT NULL)"
        )
        db.execute("BEGIN IMMEDIATE")
        found = db.execute(
            f"SELECT run, epoch, source_offset, position, rows_written FROM {LEDGER} WHERE task = ?", (self.task,)
        ).fetchone()
        if found and (found[0], found[1]) > (self._run, self._epoch):
            raise ConnectorError(fenced(self.subject))
        same_run = bool(found) and found[0] == self._run
        if same_run:
            db.execute(f"UPDATE {LEDGER} SET epoch = ? WHERE task = ?", (self._epoch, self.task))
        else:
            db.execute(
                f"INSERT OR REPLACE INTO {LEDGER} VALUES (?, ?, ?, NULL, 0, 0)", (self.task, self._run, self._epoch)
            )
        db.execute(_create_statement(self.spec, columns))
        db.execute("COMMIT")
        return Ledger(orjson.loads(found[2]), found[3], found[4]) if same_run and found[2] else None

    def write(self, rows: Sequence[Row], offset: JSON, position: int) -> Written:
        db = self._db
        assert db is not None
        return self._guarded(lambda: self._write(db, rows, offset, position))

    def _write(self, db: sqlite3.Connection, rows: Sequence[Row], offset: JSON, position: int) -> Written:
        db.execute("BEGIN IMMEDIATE")
        bad = self._insert_rows(db, rows)
        # The epoch is compared in the transaction of the rows themselves: a writer that was stopped for a while
        # and superseded meanwhile is refused here, whatever it believes.
        fresh = db.execute(
            f"UPDATE {LEDGER} SET source_offset = ?, position = ?, rows_written = rows_written + ? "
            "WHERE task = ? AND run = ? AND epoch = ?",
            (orjson.dumps(offset).decode(), position, len(rows) - len(bad), self.task, self._run, self._epoch),
        )
        if fresh.rowcount != 1:
            raise ConnectorError(fenced(self.subject))
        db.execute("COMMIT")
        return Written(len(rows) - len(bad), bad, 0)

    def _insert_rows(self, db: sqlite3.Connection, rows: Sequence[Row], first: int = 0) -> list[tuple[int, str]]:
        """Insert `rows`; halve a batch that holds a bad one until that is alone, and return (index, reason)."""
        if not rows:
            return []
        db.execute("SAVEPOINT part")
        try:
            db.executemany(self._insert, rows)
        except _ROW_ERRORS as error:
            db.execute("ROLLBACK TO part")
            db.execute("RELEASE part")
            plain = plain_rows(rows)
            if plain is not None:
                return self._insert_rows(db, plain, first)
            if len(rows) == 1:
                return [(first, str(error))]
            half = len(rows) // 2
            return self._insert_rows(db, rows[:half], first) + self._insert_rows(db, rows[half:], first + half)
        db.execute("RELEASE part")
        return []

    def _guarded(self, action: Callable[[], T]) -> T:
        """Do `action`; whatever fails leaves no open transaction behind."""
        db = self._db
        assert db is not None
        try:
            return action()
        except sqlite3.Error as error:
            self._roll_back(db)
            raise ConnectorError(fault_of(error, self.spec.connection, self.subject)) from None
        except ConnectorError:
            self._roll_back(db)
            raise

    @staticmethod
    def _roll_back(db: sqlite3.Connection) -> None:
        if db.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # some errors (a full disk) have rolled back by themselves
                db.execute("ROLLBACK")

    def flush(self) -> None:
        """Nothing to do: with synchronous=FULL each commit is on the disk when it returns."""

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def plain_rows(rows: Sequence[Row]) -> list[Row] | None:
    """Return `rows` with nested values as JSON text, or None where there are none."""
    if not any(isinstance(value, dict | list) for row in rows for value in row):
        return None
    return [tuple(_as_text(value) for value in row) for row in rows]


def _as_text(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


def _insert_statement(spec: TargetSpec, columns: Sequence[Column]) -> str:
    names = [quote(column.name) for column in columns]
    sql = f"INSERT INTO {quote(spec.object)} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    if spec.mode != "upsert":
        return sql
    others = [quote(column.name) for column in columns if column.name not in spec.key]
    change = f"DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)}" if others else "DO NOTHING"
    return f"{sql} ON CONFLICT ({', '.join(quote(name) for name in spec.key)}) {change}"


def _create_statement(spec: TargetSpec, columns: Sequence[Column]) -> str:
    """The source's columns. Append has no primary key: a replay has to be able to write a row again."""
    parts = [f"{quote(column.name)} {_declared(column)}".rstrip() for column in columns]
    if spec.mode == "upsert":
        parts.append(f"PRIMARY KEY ({', '.join(quote(name) for name in spec.key)})")
    return f"CREATE TABLE IF NOT EXISTS {quote(spec.object)} ({', '.join(parts)})"


def _declared(column: Column) -> str:
    """The type by affinity only: words of the source (constraints of other databases) must not become SQL here."""
    return _TYPES.get(column.type, "")


def _is_unique(db: sqlite3.Connection, spec: TargetSpec, info: list[tuple[str, str, bool, int]]) -> bool:
    key = set(spec.key)
    if key == {name for name, _, _, place in info if place}:
        return True
    for _, index, unique, _, partial in db.execute(f"PRAGMA index_list({quote(spec.object)})").fetchall():
        names = {row[2] for row in db.execute(f"PRAGMA index_info({quote(index)})").fetchall()}
        if unique and not partial and names == key:
            return True
    return False
