"""A PostgreSQL table: append by COPY, upsert by COPY into a staging table, with the ledger in the same transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import orjson
import psycopg
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Dumper

from tasks.engines.base import JSON, Fault, TargetSpec
from tasks.engines.local import postgresql as pg
from tasks.engines.local.faults import ConnectorError, fenced, permanent
from tasks.engines.local.sources.base import Column, Row
from tasks.engines.local.targets.base import Ledger, Written
from tasks.engines.local.targets.sqlite import LEDGER

T = TypeVar("T")

STAGE: Final = sql.Identifier("pg_temp", "_ops_stage")
#: SQLSTATE classes that speak of a row: bad data, a broken constraint, a trigger's refusal, two rows of one key.
_ROW_STATES: Final = ("22", "23", "P0001", "21000")
_CREATE_TRIES: Final = 3


class NestedDumper(Dumper):
    """Objects and lists of a file's rows are JSON text here; psycopg itself would make an array of a list."""

    def dump(self, obj: Any) -> Buffer:
        return orjson.dumps(obj)


class PostgresTarget:
    def __init__(self, spec: TargetSpec, task: str) -> None:
        self.spec = spec
        self.task = task
        self.subject = f"table {spec.object} of connection {spec.connection.name}"
        schema, _ = pg.split_name(spec.object)
        self._table = pg.table_name(spec.object)
        self._ledger = sql.Identifier(schema, LEDGER)
        self._db: pg.Connection | None = None
        self._columns: tuple[Column, ...] = ()
        self._json_at: frozenset[int] = frozenset()  # places of values that are no JSON text yet, but have to be
        self._run = self._epoch = 0
        self._staged = False  # the staging table may hold rows
        self._in_doubt: tuple[int, JSON, Written] | None = None  # a COMMIT whose answer never came

    # --- looking ----------------------------------------------------------------------------------------

    def check(self, columns: Sequence[Column] | None) -> tuple[Fault, ...]:
        db: pg.Connection | None = None
        try:
            db = pg.open_database(self.spec.connection)
            return self._check(db, columns)
        except ConnectorError as error:
            return (error.fault,)
        except psycopg.Error as error:
            return (pg.fault_of(error, self.spec.connection, self.subject),)
        finally:
            if db is not None:
                db.close()

    def _check(self, db: pg.Connection, columns: Sequence[Column] | None) -> tuple[Fault, ...]:
        schema, _ = pg.split_name(self.spec.object)
        if not db.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone():
            return (pg.no_table(db, self.spec.connection, self.spec.object, self.subject),)
        there = pg.describe_table(db, self.spec.object)
        lacking = self._lacking_rights(db, schema, exists=there is not None)
        if lacking:
            cause = f"User {self.spec.connection.settings.get('user')} lacks the right to {lacking}."
            return (permanent("permission_denied", cause, "Grant it, then Continue.", self.subject),)
        if there is None:
            return self._check_key({column.name for column in columns} if columns is not None else None)
        names = {name for name, _ in there}
        missing = [column.name for column in columns or () if column.name not in names]
        if missing:
            cause = f"{self.subject} has no column {', '.join(missing)}, which the source has."
            return (permanent("column_missing", cause, "Add it to the target, then Continue.", self.subject),)
        key = set(self.spec.key)
        if self.spec.mode == "upsert" and not any(set(unique) == key for unique in self._unique(db)):
            cause = f"{self.subject} has no unique index on the key ({', '.join(self.spec.key)})."
            advice = f"Create one: CREATE UNIQUE INDEX ON {self.spec.object} ({', '.join(self.spec.key)})."
            return (permanent("key_not_unique", cause, advice, self.subject),)
        return self._check_key({column.name for column in columns} if columns is not None else None)

    def _unique(self, db: pg.Connection) -> list[tuple[str, ...]]:
        return pg.unique_keys(db, self.spec.object, nullable=True)

    def _check_key(self, names: set[str] | None) -> tuple[Fault, ...]:
        unknown = [name for name in self.spec.key if names is not None and name not in names]
        if self.spec.mode != "upsert" or not unknown:
            return ()
        cause = f"The source has no key column {', '.join(unknown)}; it has {', '.join(sorted(names or ()))}."
        return (permanent("key_unknown", cause, "Correct the key.", self.subject),)

    def _lacking_rights(self, db: pg.Connection, schema: str, *, exists: bool) -> str:
        """Return the first right that is lacking, in words; empty: none."""
        wanted: list[tuple[str, str, tuple[str, ...]]] = []
        wanted.append((f"use schema {schema}", "has_schema_privilege(%s, 'USAGE')", (schema,)))
        names = [self.spec.object] if exists else []
        has_ledger = pg.describe_table(db, f"{schema}.{LEDGER}") is not None
        if not exists or not has_ledger:
            what = "the target table" if not exists else f"the ledger {LEDGER}"
            wanted.append((f"create {what} in schema {schema}", "has_schema_privilege(%s, 'CREATE')", (schema,)))
        rights = ("INSERT", "SELECT", "UPDATE") if self.spec.mode == "upsert" else ("INSERT",)
        for name in names:
            quoted = self._table.as_string(db)
            wanted += [(f"{right} in {name}", f"has_table_privilege(%s, '{right}')", (quoted,)) for right in rights]
        if self.spec.mode == "upsert":
            wanted.append(("make temporary tables", "has_database_privilege(current_database(), 'TEMP')", ()))
        for words, call, values in wanted:
            found = db.execute(sql.SQL("SELECT " + call), values).fetchone()
            if not (found and found[0]):
                return words
        return ""

    # --- opening ----------------------------------------------------------------------------------------

    def open(self, columns: Sequence[Column], run: int, epoch: int) -> Ledger | None:
        self._run, self._epoch, self._columns = run, epoch, tuple(columns)
        self._in_doubt = None
        return self._guarded(self._claim)

    def _claim(self, db: pg.Connection) -> Ledger | None:
        self._make_tables(db)
        types = dict(pg.describe_table(db, self.spec.object) or ())
        self._json_at = frozenset(
            place
            for place, column in enumerate(self._columns)
            if column.is_parsed_json and pg.column_type(types.get(column.name, "")) == "json"
        )
        if self.spec.mode == "upsert":
            self._make_stage(db)
        with db.transaction():
            statement = sql.SQL("INSERT INTO {} VALUES (%s, 0, 0, NULL, 0, 0) ON CONFLICT (task) DO NOTHING")
            db.execute(statement.format(self._ledger), (self.task,))
            statement = sql.SQL(
                "SELECT run, epoch, source_offset, position, rows_written FROM {} WHERE task = %s FOR UPDATE"
            )
            found = db.execute(statement.format(self._ledger), (self.task,)).fetchone()
            assert found is not None
            if (found[0], found[1]) > (self._run, self._epoch):
                raise ConnectorError(fenced(self.subject))
            if found[0] == self._run:
                statement = sql.SQL("UPDATE {} SET epoch = %s WHERE task = %s")
                db.execute(statement.format(self._ledger), (self._epoch, self.task))
            else:
                statement = sql.SQL(
                    "UPDATE {} SET run = %s, epoch = %s, source_offset = NULL, position = 0, rows_written = 0 "
                    "WHERE task = %s"
                )
                db.execute(statement.format(self._ledger), (self._run, self._epoch, self.task))
        return Ledger(orjson.loads(found[2]), found[3], found[4]) if found[0] == self._run and found[2] else None

    def _make_tables(self, db: pg.Connection) -> None:
        """Make ledger and target where they are missing. Two tasks may do so at once: the second finds them made."""
        ledger = sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (task text PRIMARY KEY, run bigint NOT NULL, epoch bigint NOT NULL, "
            "source_offset text, position bigint NOT NULL, rows_written bigint NOT NULL)"
        ).format(self._ledger)
        schema, _ = pg.split_name(self.spec.object)
        for name, statement in ((f"{schema}.{LEDGER}", ledger), (self.spec.object, self._create_statement())):
            for attempt in range(_CREATE_TRIES):
                if pg.describe_table(db, name) is not None:
                    break
                try:
                    db.execute(statement)
                except (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
                    if attempt == _CREATE_TRIES - 1:
                        raise

    def _create_statement(self) -> sql.Composed:
        """The source's columns. Append has no primary key: a replay has to be able to write a row again."""
        parts: list[sql.Composable] = [
            sql.Identifier(column.name) + sql.SQL(f" {pg.made_type(column)}") for column in self._columns
        ]
        if self.spec.mode == "upsert":
            parts.append(sql.SQL("PRIMARY KEY ({})").format(_names(self.spec.key)))
        return sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(self._table, sql.SQL(", ").join(parts))

    # --- writing ----------------------------------------------------------------------------------------

    def write(self, rows: Sequence[Row], offset: JSON, position: int) -> Written:
        return self._guarded(lambda db: self._write(db, rows, offset, position))

    def _write(self, db: pg.Connection, rows: Sequence[Row], offset: JSON, position: int) -> Written:
        if self._in_doubt is not None:
            asked, asked_offset, written = self._in_doubt
            done = self._is_committed(db, asked)
            self._in_doubt = None
            if done and (asked, asked_offset) == (position, offset):
                return written
        db.execute("BEGIN")
        self._staged = False
        if self._json_at:
            rows = [self._with_json(row) for row in rows]
        bad = self._put(db, rows)
        # The epoch is compared in the transaction of the rows themselves: a writer that was stopped for a while and
        # superseded meanwhile is refused here, whatever it believes.
        statement = sql.SQL(
            "UPDATE {} SET source_offset = %s, position = %s, rows_written = rows_written + %s "
            "WHERE task = %s AND run = %s AND epoch = %s"
        ).format(self._ledger)
        count = len(rows) - len(bad)
        values = (orjson.dumps(offset).decode(), position, count, self.task, self._run, self._epoch)
        if db.execute(statement, values).rowcount != 1:
            raise ConnectorError(fenced(self.subject))
        written = Written(count, bad, 0)
        self._in_doubt = (position, offset, written)
        db.execute("COMMIT")
        self._in_doubt = None
        return written

    def _with_json(self, row: Row) -> Row:
        return tuple(
            orjson.dumps(value).decode() if place in self._json_at and value is not None else value
            for place, value in enumerate(row)
        )

    def _is_committed(self, db: pg.Connection, position: int) -> bool:
        """Whether the transaction whose COMMIT was not answered has reached the target. The row is locked for the
        look: a server process that is still about to commit it is waited for."""
        statement = sql.SQL("SELECT run, epoch, position FROM {} WHERE task = %s FOR UPDATE").format(self._ledger)
        found = db.execute(statement, (self.task,)).fetchone()
        if found is None or (found[0], found[1]) != (self._run, self._epoch):
            raise ConnectorError(fenced(self.subject))
        return bool(found[2] == position)

    def _put(self, db: pg.Connection, rows: Sequence[Row], first: int = 0) -> list[tuple[int, str]]:
        """Write `rows`; halve a batch that holds a bad one until that is alone, and return (index, reason)."""
        if not rows:
            return []
        db.execute("SAVEPOINT part")
        try:
            self._copy(db, rows)
        except (psycopg.Error, UnicodeEncodeError) as error:
            if not _speaks_of_a_row(error):
                raise
            db.execute("ROLLBACK TO part")
            db.execute("RELEASE part")
            if len(rows) == 1:
                return [(first, _said(error))]
            half = len(rows) // 2
            return self._put(db, rows[:half], first) + self._put(db, rows[half:], first + half)
        db.execute("RELEASE part")
        return []

    def _copy(self, db: pg.Connection, rows: Sequence[Row]) -> None:
        names = [column.name for column in self._columns]
        if self.spec.mode != "upsert":
            with db.cursor() as cursor, cursor.copy(_copy_statement(self._table, names)) as copy:
                for row in rows:
                    copy.write_row(row)
            return
        if self._staged:
            db.execute(sql.SQL("TRUNCATE {}").format(STAGE))
        self._staged = True
        with db.cursor() as cursor, cursor.copy(_copy_statement(STAGE, [*names, "_ops_n"])) as copy:
            for n, row in enumerate(rows):
                copy.write_row((*row, n))
        db.execute(self._merge_statement())

    def _merge_statement(self) -> sql.Composed:
        """From the staging table into the target; of two rows of one key the later one is the truth."""
        key, names = _names(self.spec.key), _names([column.name for column in self._columns])
        others = [column.name for column in self._columns if column.name not in self.spec.key]
        changes = sql.SQL(", ").join(sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in others)
        action = sql.SQL("DO UPDATE SET {}").format(changes) if others else sql.SQL("DO NOTHING")
        return sql.SQL(
            "INSERT INTO {0} ({1}) SELECT DISTINCT ON ({2}) {1} FROM {3} ORDER BY {2}, _ops_n DESC "
            "ON CONFLICT ({2}) {4}"
        ).format(self._table, names, key, STAGE, action)

    # --- the connection ---------------------------------------------------------------------------------

    def _connected(self) -> pg.Connection:
        if self._db is not None and not pg.is_broken(self._db):
            return self._db
        self.close()
        db = self._db = pg.open_database(self.spec.connection)
        for nested in (dict, list):
            db.adapters.register_dumper(nested, NestedDumper)
        if self.spec.mode == "upsert" and pg.describe_table(db, self.spec.object) is not None:
            self._make_stage(db)
        return db

    def _make_stage(self, db: pg.Connection) -> None:
        """One a connection, emptied by each commit; of the target's types, so that a bad value is seen in the COPY."""
        db.execute(
            sql.SQL(
                "CREATE TEMP TABLE IF NOT EXISTS _ops_stage ON COMMIT DELETE ROWS AS "
                "SELECT {}, 0::bigint AS _ops_n FROM {} WITH NO DATA"
            ).format(_names([column.name for column in self._columns]), self._table)
        )

    def _guarded(self, action: Callable[[pg.Connection], T]) -> T:
        """Do `action`; whatever fails leaves no open transaction behind, and a broken connection is made again."""
        try:
            db = self._connected()
            result = action(db)
        except psycopg.Error as error:
            self._roll_back()
            raise ConnectorError(pg.fault_of(error, self.spec.connection, self.subject)) from None
        except ConnectorError:
            self._roll_back()
            raise
        return result

    def _roll_back(self) -> None:
        if self._db is None:
            return
        with contextlib.suppress(psycopg.Error):
            self._db.rollback()
        if pg.is_broken(self._db):
            self.close()

    def flush(self) -> None:
        """Nothing to do: with synchronous_commit each commit is on the server's disk when it returns."""

    def close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(psycopg.Error):
                self._db.close()
            self._db = None


def _names(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _copy_statement(table: sql.Composable, names: Sequence[str]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN").format(table, _names(names))


def _speaks_of_a_row(error: Exception) -> bool:
    """Whether the row is bad, not the table or the server: the client's own refusals carry no SQLSTATE."""
    if isinstance(error, UnicodeEncodeError):
        return True
    state = getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, psycopg.DataError | psycopg.ProgrammingError)
    return str(state).startswith(_ROW_STATES)


def _said(error: Exception) -> str:
    diag = getattr(error, "diag", None)
    words = [getattr(diag, "message_primary", None) or str(error), getattr(diag, "message_detail", None) or ""]
    return ". ".join(word for word in words if word)
