"""A PostgreSQL table or view, polled by an increasing column; equal values are told apart by a tie-breaking key.

**Late commits.** A row with a smaller cursor value may become visible after one with a larger value: two transactions
draw numbers, and the second commits first. A reader that went past would lose the row. So rows are read only up to a
*horizon*: the largest cursor value as it was at some moment, taken over for reading when

- `settle` seconds have gone by since that moment (default 0.5), and
- every transaction that was writing at that moment has ended (by the server's own snapshot), or `settle_limit` seconds
  (default 60) have gone by: a transaction forgotten open must not hold the task up for ever.

Nothing is lost, then, by transactions that write within `settle` seconds of drawing their number and that end within
`settle_limit`. A cursor that is a time of the transaction's begin (now()) needs a `settle` longer than the longest such
transaction takes until its first write. A backlog of any size lies below one horizon and is read at full speed. With
`settle: 0` all that is visible is read at once: for sources with one writer. Rows whose cursor or tie-breaking column
is NULL are not read.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from tasks.engines.base import JSON, Fault, SourceSpec
from tasks.engines.local import postgresql as pg
from tasks.engines.local.faults import ConnectorError, permanent
from tasks.engines.local.sources.base import Batch, Column, Row
from tasks.engines.local.sources.sqlite import COUNTED, COUNTED_ONCE, sampled_bytes

SETTLE: Final = 0.5
SETTLE_LIMIT: Final = 60.0
HORIZONS: Final = 200  # waiting to settle at once


@dataclass(frozen=True, slots=True)
class Horizon:
    """The largest key at `seen_at` (monotonic seconds), and the first transaction number not yet given out then."""

    key: tuple[str, ...]
    next_transaction: int
    seen_at: float


class PostgresSource:
    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.subject = f"table {spec.object} of connection {spec.connection.name}"
        self.settle = float(spec.options.get("settle", SETTLE))
        self.settle_limit = float(spec.options.get("settle_limit", SETTLE_LIMIT))
        self._db: pg.Connection | None = None
        self._columns: tuple[Column, ...] = ()
        self._key: tuple[str, ...] = ()  # the cursor, then what tells equal values apart
        self._types: tuple[str, ...] = ()
        self._chosen = sql.Composed([])
        self._after: tuple[str, ...] | None = None  # the key of the last row read
        self._upto: tuple[str, ...] | None = None  # the horizon that is being read up to
        self._waiting: deque[Horizon] = deque(maxlen=HORIZONS)

    # --- looking ----------------------------------------------------------------------------------------

    def check(self) -> tuple[Fault, ...]:
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

    def _prepare(self) -> pg.Connection:
        if self._db is not None and not pg.is_broken(self._db):
            return self._db
        self.close()
        db = pg.open_database(self.spec.connection)
        try:
            self._describe(db)
            db.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(pg.table_name(self.spec.object)))
        except psycopg.Error as error:
            db.close()
            raise ConnectorError(pg.fault_of(error, self.spec.connection, self.subject)) from None
        except ConnectorError:
            db.close()
            raise
        self._db = db
        return db

    def _describe(self, db: pg.Connection) -> None:
        found = pg.describe_table(db, self.spec.object)
        if found is None:
            raise ConnectorError(pg.no_table(db, self.spec.connection, self.spec.object, self.subject))
        self._columns = tuple(Column(name, pg.column_type(type_), type_, "postgresql") for name, type_ in found)
        types = dict(found)
        self._key = self._choose_key(db, types)
        self._types = tuple(types[name] for name in self._key)
        values = [
            sql.Identifier(column.name) + sql.SQL("" if column.type in pg.NATIVE else "::text")
            for column in self._columns
        ]
        keys = [sql.Identifier(name) + sql.SQL("::text") for name in self._key]
        self._chosen = sql.SQL(", ").join([*values, *keys])

    def _choose_key(self, db: pg.Connection, types: dict[str, str]) -> tuple[str, ...]:
        """Return the cursor column and those that tell its equal values apart. Raises ConnectorError."""
        unique = pg.unique_keys(db, self.spec.object)
        single = next((key[0] for key in unique if len(key) == 1 and types[key[0]] in _COUNTING), "")
        cursor = str(self.spec.options.get("cursor") or single)
        tie = self.spec.options.get("tie") or ()
        tie = (tie,) if isinstance(tie, str) else tuple(tie)
        if not cursor:
            cause = f"{self.subject} has no whole-number key to read by."
            raise ConnectorError(permanent("cursor_missing", cause, "Name a cursor column.", self.subject))
        for name in (cursor, *tie):
            if name not in types:
                cause = f"{self.subject} has no column {name}; it has {', '.join(types)}."
                raise ConnectorError(permanent("column_missing", cause, "Correct the cursor.", self.subject))
        if tie or (cursor,) in unique:
            return (cursor, *(name for name in tie if name != cursor))
        if not unique:
            cause = f"Equal values of {cursor} in {self.subject} can't be told apart: it has no unique key."
            advice = "Name a column that tells them apart as tie, or make a primary key."
            raise ConnectorError(permanent("tie_missing", cause, advice, self.subject))
        return (cursor, *(name for name in unique[0] if name != cursor))

    # --- reading ----------------------------------------------------------------------------------------

    def open(self, offset: JSON | None, start: str) -> JSON:
        self._prepare()
        self._after = None
        self._waiting.clear()
        if offset is not None:
            self._after = _key_of(offset)
        elif start == "latest":
            newest = self._newest(None)
            self._after = newest.key if newest else None
        else:
            self._after = None
        self._upto = self._after
        return _offset_of(self._after)

    def read(self, limit: int) -> Batch:
        if self._after == self._upto and not self._look_ahead():
            return Batch((), _offset_of(self._after), caught_up=True)
        fetched = self._fetch(limit)
        if len(fetched) < limit:
            self._after = self._upto  # the row of the horizon itself may have been changed or deleted since
        else:
            self._after = fetched[-1][len(self._columns) :]
        rows = [row[: len(self._columns)] for row in fetched]
        caught_up = self._after == self._upto
        return Batch(rows, _offset_of(self._after), caught_up, bytes=sampled_bytes(rows) if rows else 0)

    def _fetch(self, limit: int) -> list[Row]:
        where, values = self._between(self._after, self._upto)
        order = sql.SQL(", ").join(sql.Identifier("t", name) for name in self._key)
        statement = sql.SQL("SELECT {} FROM {} t WHERE {} ORDER BY {} LIMIT %s").format(
            self._chosen, pg.table_name(self.spec.object), where, order
        )
        return self._execute(statement, (*values, limit), binary=True)

    def _between(
        self, after: tuple[str, ...] | None, upto: tuple[str, ...] | None
    ) -> tuple[sql.Composed, tuple[str, ...]]:
        """Return the condition of what lies after one key, up to another, with its values. NULLs are never in it."""
        names = sql.SQL(", ").join(map(sql.Identifier, self._key))
        casts = sql.SQL(", ").join(sql.SQL("%s::") + sql.SQL(type_) for type_ in self._types)
        parts: list[sql.Composable] = [sql.SQL("{} IS NOT NULL").format(sql.Identifier(name)) for name in self._key]
        values: tuple[str, ...] = ()
        for key, sign in ((after, ">"), (upto, "<=")):
            if key is not None:
                parts.append(sql.SQL("({}) {} ({})").format(names, sql.SQL(sign), casts))
                values += key
        return sql.SQL(" AND ").join(parts), values

    def _look_ahead(self) -> bool:
        """Move the horizon on as far as is settled; False when nothing lies between.

        Horizons only rise, so that a newest row which is deleted and comes back never moves the reader back.
        """
        if not self.settle:
            newest = self._newest(self._after)
            if newest is not None:
                self._upto = newest.key
            return newest is not None
        if len(self._waiting) < HORIZONS:
            newest = self._newest(self._waiting[-1].key if self._waiting else self._after)
            if newest is not None:
                self._waiting.append(newest)
        now = time.monotonic()
        oldest_running: int | None = None
        moved = False
        while self._waiting and now - self._waiting[0].seen_at >= self.settle:
            horizon = self._waiting[0]
            if oldest_running is None:
                oldest_running = int(self._execute(_OLDEST_RUNNING, ())[0][0])
            if oldest_running < horizon.next_transaction and now - horizon.seen_at < self.settle_limit:
                break
            self._upto = self._waiting.popleft().key
            moved = True
        return moved

    def _newest(self, after: tuple[str, ...] | None) -> Horizon | None:
        """Return the largest key there is, or None where none is larger than `after`."""
        self._prepare()
        columns = [sql.Identifier(name) + sql.SQL("::text") for name in self._key]
        falling = [sql.Identifier("t", name) + sql.SQL(" DESC") for name in self._key]
        where, values = self._between(after, None)
        statement = sql.SQL(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text, {} FROM {} t WHERE {} ORDER BY {} LIMIT 1"
        ).format(sql.SQL(", ").join(columns), pg.table_name(self.spec.object), where, sql.SQL(", ").join(falling))
        found = self._execute(statement, values)
        if not found:
            return None
        return Horizon(tuple(found[0][1:]), int(found[0][0]), time.monotonic())

    def _execute(
        self, statement: sql.SQL | sql.Composed, values: tuple[Any, ...], *, binary: bool = False
    ) -> list[Row]:
        db = self._prepare()
        try:
            with db.cursor(binary=binary) as cursor:
                rows: list[Row] = cursor.execute(statement, values).fetchall()
        except psycopg.Error as error:
            fault = pg.fault_of(error, self.spec.connection, self.subject)
            if pg.is_broken(db):
                self.close()
            raise ConnectorError(fault) from None
        return rows

    def lag_rows(self) -> int | None:
        return self._count(COUNTED)

    def _count(self, most: int) -> int:
        where, values = self._between(self._after, None)
        statement = sql.SQL("SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} LIMIT {}) waiting").format(
            pg.table_name(self.spec.object), where, sql.Literal(most)
        )
        counted: int = self._execute(statement, values)[0][0]
        return counted

    def waiting(self) -> tuple[int, str] | None:
        counted = self._count(COUNTED_ONCE + 1)
        if counted <= COUNTED_ONCE:
            return counted, "rows"
        schema, table = pg.split_name(self.spec.object)
        found = self._execute(_ESTIMATE, (schema, table))
        return max(counted, int(found[0][0]) if found else 0), "rows"

    def describe(self, offset: JSON) -> str:
        key = _key_of(offset)
        if key is None:
            return "the beginning"
        names = self._key or ("cursor", *("tie" for _ in key[1:]))
        return ", ".join(f"{name} = {value}" for name, value in zip(names, key, strict=False))

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


_OLDEST_RUNNING: Final = sql.SQL("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
_ESTIMATE: Final = sql.SQL(
    "SELECT c.reltuples FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = %s AND c.relname = %s"
)
_COUNTING: Final = frozenset({"smallint", "integer", "bigint"})


def _offset_of(key: tuple[str, ...] | None) -> JSON:
    return {"key": list(key) if key is not None else None}


def _key_of(offset: JSON) -> tuple[str, ...] | None:
    return tuple(offset["key"]) if offset.get("key") is not None else None
