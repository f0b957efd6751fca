"""The PostgreSQL source and target, on a real server that is killed, too."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tasks.engines.base import ConnectionSpec, ErrorClass, SourceSpec, TargetSpec, TaskSpec
from tasks.engines.local import connectors, postgresql
from tasks.engines.local.faults import ConnectorError
from tasks.engines.local.sources.postgresql import PostgresSource
from tasks.engines.local.sources.sqlite import SqliteSource
from tasks.engines.local.targets.postgresql import PostgresTarget
from tasks.engines.local.targets.sqlite import SqliteTarget
from tests.postgres import PostgresServer
from tests.waiting import wait_for

pytestmark = pytest.mark.process

Rows = list[tuple[Any, ...]]

EVERY_TYPE = {
    "id": ("bigint PRIMARY KEY", "9007199254740993"),
    "amount": ("numeric(12,2)", "1234567890.10"),
    "exact": ("numeric", "0.1000"),
    "ratio": ("double precision", "0.1"),
    "small": ("smallint", "-5"),
    "ok": ("boolean", "true"),
    "words": ("text", "E'a\\tb\\n\\\\ü€'"),
    "short": ("character varying(9)", "'nine'"),
    "at": ("timestamp with time zone", "'2026-11-24 10:00:00.123456+02'"),
    "local_at": ("timestamp without time zone", "'1999-12-31 23:59:59.999999'"),
    "day": ("date", "'0044-03-15 BC'"),
    "took": ("interval", "'1 mon 2 days 03:04:05.6'"),
    "uid": ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    "doc": ("jsonb", '\'{"a": [1, 2.50, null], "b": "ü"}\''),
    "tags": ("text[]", "ARRAY['x', 'y,z', NULL, '\"']"),
    "raw": ("bytea", "'\\x00ff10'"),
    "host": ("inet", "'10.0.0.1/24'"),
}


class Database:
    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.name = server.new_database()
        self.opened: list[PostgresSource | PostgresTarget] = []
        self.spec = self.as_user("ops")

    def as_user(self, user: str, **settings: Any) -> ConnectionSpec:
        address = {"host": "127.0.0.1", "port": self.server.port, "database": self.name, "user": user}
        return ConnectionSpec("pg", "postgresql", {**address, **settings}, "not checked")

    def do(self, sql: str) -> Rows:
        return self.server.execute(sql, self.name)

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.url(self.name))

    def source(self, table: str = "orders", **options: Any) -> PostgresSource:
        source = PostgresSource(SourceSpec(self.spec, table, {"settle": 0, **options}))
        self.opened.append(source)
        return source

    def target(self, table: str = "public.copied", mode: str = "append", key: tuple[str, ...] = ()) -> PostgresTarget:
        target = PostgresTarget(TargetSpec(self.spec, table, mode, key), "5eed")
        self.opened.append(target)
        return target


@pytest.fixture
def database(server: PostgresServer) -> Iterator[Database]:
    database = Database(server)
    yield database
    for connector in database.opened:
        connector.close()


def drained(source: PostgresSource | SqliteSource, limit: int = 7) -> Rows:
    found: Rows = []
    for _ in range(1000):
        batch = source.read(limit)
        found += batch.rows
        if batch.caught_up:
            return found
    raise AssertionError("never caught up")


def opened(source: PostgresSource, offset: Any = None, start: str = "earliest") -> PostgresSource:
    source.open(offset, start)
    return source


def code(action: Callable[[], object]) -> tuple[str, ErrorClass]:
    with pytest.raises(ConnectorError) as caught:
        action()
    return caught.value.fault.code, caught.value.fault.error_class


# --- source -------------------------------------------------------------------------------------------------


def test_every_type_arrives_as_it_was(database: Database) -> None:
    columns = ", ".join(f"{name} {type_}" for name, (type_, _) in EVERY_TYPE.items())
    database.do(f"CREATE TABLE orders ({columns})")
    database.do(f"INSERT INTO orders VALUES ({', '.join(value for _, value in EVERY_TYPE.values())})")
    database.do("INSERT INTO orders (id) VALUES (1)")
    source, target = opened(database.source()), database.target()
    rows = drained(source)
    target.open(source.columns(), 1, 1)
    assert target.write(rows, {"key": ["2"]}, 2).bad == []
    text = "SELECT t::text FROM {} t ORDER BY id"  # a row as the server writes it
    assert database.do(text.format("copied")) == database.do(text.format("orders"))
    types = (
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = '{}'::regclass AND attnum > 0"
    )
    assert database.do(types.format("copied")) == database.do(types.format("orders"))


def test_equal_values_are_told_apart_by_the_primary_key(database: Database) -> None:
    database.do("CREATE TABLE orders (id integer PRIMARY KEY, day date)")
    database.do("INSERT INTO orders SELECT n, '2026-01-01'::date + n / 10 FROM generate_series(1, 100) n")
    source = opened(database.source(cursor="day"))
    assert sorted(row[0] for row in drained(source)) == list(range(1, 101))
    assert source.describe(source.open(source.read(1).offset, "earliest")) == "day = 2026-01-11, id = 100"
    database.do("INSERT INTO orders VALUES (101, '2026-01-11'), (0, '2026-01-11')")
    assert [row[0] for row in drained(source)] == [101]  # 0 sorts before what was read of that day


def test_without_anything_to_tell_equal_values_apart_it_asks_for_a_tie(database: Database) -> None:
    database.do("CREATE TABLE orders (id integer, n integer UNIQUE, day date)")
    assert database.source(cursor="day").check()[0].code == "tie_missing"  # n may be NULL
    assert database.source(cursor="day", tie="id").check() == ()
    assert database.source(cursor="n").check()[0].code == "tie_missing"


@pytest.mark.parametrize("settle", [0.05, 0.3])
def test_a_row_that_is_committed_late_is_not_lost(database: Database, settle: float) -> None:
    database.do("CREATE TABLE orders (id bigserial PRIMARY KEY, what text)")
    database.do("INSERT INTO orders (what) SELECT 'first' FROM generate_series(1, 5)")
    source = opened(database.source(settle=settle))
    found: Rows = []

    def read(rows: int) -> Callable[[], bool]:
        def enough() -> bool:
            found.extend(source.read(100).rows)
            return len(found) >= rows

        return enough

    wait_for(read(5), "what was there")
    with database.connect() as slow:
        slow.execute("INSERT INTO orders (what) VALUES ('slow')")  # draws 6
        database.do("INSERT INTO orders (what) VALUES ('quick')")  # draws 7 and is there at once
        until = time.monotonic() + 3 * settle
        wait_for(lambda: read(6)() or time.monotonic() > until, "several settle times go by")
        assert len(found) == 5
        slow.commit()
    wait_for(read(7), "both")
    assert [row[1] for row in found[5:]] == ["slow", "quick"]


def test_a_transaction_forgotten_open_holds_nothing_up_for_ever(database: Database) -> None:
    database.do("CREATE TABLE orders (id bigserial PRIMARY KEY); CREATE TABLE other (n integer)")
    with database.connect() as forgotten:
        forgotten.execute("INSERT INTO other VALUES (1)")
        database.do("INSERT INTO orders DEFAULT VALUES")
        source = opened(database.source(settle=0.01, settle_limit=0.2))
        wait_for(lambda: source.read(10).rows, "the limit is over")


def test_it_goes_on_from_an_offset_and_begins_at_the_latest(database: Database) -> None:
    database.do("CREATE TABLE orders (id bigserial PRIMARY KEY); INSERT INTO orders SELECT FROM generate_series(1, 20)")
    source = opened(database.source())
    offset = source.read(7).offset
    assert [row[0] for row in drained(opened(database.source(), offset))] == list(range(8, 21))
    latest = opened(database.source(), start="latest")
    assert drained(latest) == []
    database.do("INSERT INTO orders DEFAULT VALUES")
    assert (latest.lag_rows(), drained(latest)) == (1, [(21,)])


def test_a_server_that_restarts_is_read_on_from_the_same_place(database: Database) -> None:
    database.do("CREATE TABLE orders (id bigserial PRIMARY KEY); INSERT INTO orders SELECT FROM generate_series(1, 20)")
    source = opened(database.source())
    source.read(7)
    database.server.end(signal.SIGINT)
    try:
        assert code(lambda: source.read(7)) == ("unreachable", ErrorClass.TRANSIENT)
        assert code(lambda: source.read(7)) == ("unreachable", ErrorClass.TRANSIENT)
    finally:
        database.server.start()
    assert [row[0] for row in drained(source)] == list(range(8, 21))


# --- target -------------------------------------------------------------------------------------------------

COLUMNS = (
    postgresql.Column("id", "integer"),
    postgresql.Column("what", "text"),
)


def test_upsert_writes_by_key_and_the_later_of_two_rows_is_the_truth(database: Database) -> None:
    target = database.target(mode="upsert", key=("id",))
    target.open(COLUMNS, 1, 1)
    target.write([(1, "a"), (2, "b"), (1, "c")], {"key": ["1"]}, 3)
    target.write([(2, "d"), (3, "e")], {"key": ["2"]}, 5)
    assert database.do("SELECT * FROM copied ORDER BY id") == [(1, "c"), (2, "d"), (3, "e")]


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_bad_rows_are_kept_apart(database: Database, mode: str) -> None:
    database.do("CREATE TABLE copied (id bigint PRIMARY KEY, what text CHECK (what <> 'bad'))")
    target = database.target(mode=mode, key=("id",) if mode == "upsert" else ())
    target.open(COLUMNS, 1, 1)
    rows: Rows = [(n, "good") for n in range(20)]
    rows[3], rows[4], rows[11], rows[19] = (3, "bad"), ("x", "good"), (11, "nul\0"), (19, "\ud800")
    rows[12] = (12, {"nested": [1]})
    written = target.write(rows, {"key": ["19"]}, 20)
    assert ([index for index, _ in written.bad], written.rows) == ([3, 4, 11, 19], 16)
    assert "violates check constraint" in written.bad[0][1]
    assert database.do("SELECT what FROM copied WHERE id = 12") == [('{"nested":[1]}',)]


def test_an_older_attempt_is_refused_by_the_target_itself(database: Database) -> None:
    older, newer = database.target(), database.target()
    older.open(COLUMNS, 1, 1)
    older.write([(1, "a")], {"key": ["1"]}, 1)
    ledger = newer.open(COLUMNS, 1, 2)
    assert ledger is not None
    assert (ledger.position, ledger.offset) == (1, {"key": ["1"]})
    assert code(lambda: older.write([(2, "b")], {"key": ["2"]}, 2))[0] == "fenced"
    assert code(lambda: database.target().open(COLUMNS, 1, 1))[0] == "fenced"
    newer.write([(2, "c")], {"key": ["2"]}, 2)
    assert database.do("SELECT * FROM copied ORDER BY id") == [(1, "a"), (2, "c")]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_commit_whose_answer_never_comes_is_done_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    target = database.target()
    target.open(COLUMNS, 1, 1)
    target.write([(1, "a")], {"key": ["1"]}, 1)
    db = target._db
    assert db is not None
    execute = db.execute

    def breaking(statement: Any, *values: Any) -> Any:
        if statement != "COMMIT":
            return execute(statement, *values)
        if arrives:
            execute("COMMIT")
        db.close()
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(db, "execute", breaking)
    assert code(lambda: target.write([(2, "b")], {"key": ["2"]}, 2)) == ("unreachable", ErrorClass.TRANSIENT)
    assert target.write([(2, "b")], {"key": ["2"]}, 2).rows == 1
    assert target.write([(3, "c")], {"key": ["3"]}, 3).rows == 1
    assert database.do("SELECT * FROM copied ORDER BY id") == [(1, "a"), (2, "b"), (3, "c")]


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_server_that_restarts_is_written_on(database: Database, mode: str) -> None:
    target = database.target(mode=mode, key=("id",) if mode == "upsert" else ())
    target.open(COLUMNS, 1, 1)
    target.write([(1, "a")], {"key": ["1"]}, 1)
    database.server.end(signal.SIGKILL)
    try:
        assert code(lambda: target.write([(2, "b")], {"key": ["2"]}, 2))[1] is ErrorClass.TRANSIENT
    finally:
        database.server.start()
    target.write([(2, "b")], {"key": ["2"]}, 2)
    assert database.do("SELECT * FROM copied ORDER BY id") == [(1, "a"), (2, "b")]


def test_rows_go_from_sqlite_to_postgresql_and_back(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT, price REAL, raw BLOB, odd)")
        db.execute("INSERT INTO orders VALUES (1, 'a', 1.5, x'00ff', 7), (2, NULL, -0.1, NULL, 'text')")
    db.close()
    shop = ConnectionSpec("shop", "sqlite", {"path": str(path)})
    source, target = SqliteSource(SourceSpec(shop, "orders", {})), database.target()
    source.open(None, "earliest")
    rows = drained(source)
    target.open(source.columns(), 1, 1)
    assert target.write(rows, {"key": ["2"]}, 2).bad == []
    source.close()
    assert database.do("SELECT * FROM copied ORDER BY id") == [
        (1, "a", 1.5, b"\0\xff", "7"),
        (2, None, -0.1, None, "text"),
    ]
    back = SqliteTarget(TargetSpec(shop, "returned"), "5eed")
    again = opened(database.source("copied", cursor="id", tie="id"))
    back.open(again.columns(), 1, 1)
    assert back.write(drained(again), {}, 2).bad == []
    back.close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT id, what, price, raw FROM returned").fetchall() == [
            (1, "a", 1.5, b"\0\xff"),
            (2, None, -0.1, None),
        ]
    db.close()


# --- checks -------------------------------------------------------------------------------------------------


def faults(database: Database, connection: ConnectionSpec, source: str, target: str, **values: Any) -> list[str]:
    spec = TaskSpec(
        "5eed",
        "copy",
        1,
        SourceSpec(connection, source, {"cursor": "id"}),
        TargetSpec(connection, target, **values),
    )
    return [f"{fault.code}: {fault.cause}" for fault in connectors.check(spec)]


def test_a_check_names_what_is_missing(database: Database) -> None:
    database.do("CREATE TABLE orders (id integer PRIMARY KEY, what text); CREATE TABLE narrow (id integer PRIMARY KEY)")
    pg, name = database.spec, database.name

    def first(source: str, target: str, **values: Any) -> str:
        return faults(database, pg, source, target, **values)[0]

    where = f"database {name} (connection pg)"
    assert faults(database, pg, "orders", "fresh") == []
    assert first("nothing", "fresh") == f"table_missing: Table nothing does not exist in schema public of {where}."
    assert first("shop.orders", "fresh") == f"schema_missing: Schema shop does not exist in {where}."
    assert first("orders", "lake.fresh") == f"schema_missing: Schema lake does not exist in {where}."
    assert "has no column what, which the source has" in first("orders", "narrow")
    assert "no unique index on the key" in first("narrow", "orders", mode="upsert", key=("what",))
    assert first("orders", "public.orders").startswith("same_object")
    elsewhere = database.as_user("ops", database="nowhere")
    assert faults(database, elsewhere, "orders", "fresh")[0].startswith("connection_missing: Database nowhere does not")
    assert connectors.check_connection(database.as_user("nobody_such"))[0].code == "login_refused"
    assert connectors.check_connection(database.as_user("ops", port=1))[0].error_class is ErrorClass.TRANSIENT


def test_a_check_names_the_right_that_is_lacking(database: Database) -> None:
    role = f"reader_of_{database.name}"
    database.do(f"CREATE TABLE orders (id integer PRIMARY KEY); CREATE ROLE {role} LOGIN")
    user = database.as_user(role)
    assert "permission_denied" in faults(database, user, "orders", "fresh")[0]
    database.do(f"GRANT SELECT ON orders TO {role}")
    assert (
        f"User {role} lacks the right to create the target table in schema public."
        in faults(database, user, "orders", "fresh")[0]
    )
    database.do(f"CREATE TABLE fresh (id integer PRIMARY KEY); GRANT CREATE ON SCHEMA public TO {role}")
    assert "INSERT in fresh" in faults(database, user, "orders", "fresh")[0]
    database.do(f"GRANT INSERT ON fresh TO {role}")
    assert faults(database, user, "orders", "fresh") == []
    assert "SELECT in fresh" in faults(database, user, "orders", "fresh", mode="upsert", key=("id",))[0]


def test_a_fault_never_shows_the_password(database: Database) -> None:
    connection = ConnectionSpec("pg", "postgresql", {**database.spec.settings, "port": 1}, "s3cret")
    assert "s3cret" not in str(connectors.check_connection(connection))
    assert "s3cret" not in repr(connection)


class Said(psycopg.OperationalError):
    """An error of the server with a SQLSTATE."""

    def __init__(self, state: str) -> None:
        super().__init__("secret words of the server")
        self.sqlstate = state


@pytest.mark.parametrize(
    "state, code, error_class",
    [
        ("3D000", "connection_missing", ErrorClass.MISSING),
        ("3F000", "schema_missing", ErrorClass.MISSING),
        ("42P01", "table_missing", ErrorClass.MISSING),
        ("42703", "column_missing", ErrorClass.PERMANENT),
        ("42501", "permission_denied", ErrorClass.PERMANENT),
        ("28P01", "login_refused", ErrorClass.PERMANENT),
        ("42601", "sql_error", ErrorClass.PERMANENT),
        ("25006", "read_only", ErrorClass.TRANSIENT),
        ("53100", "disk_full", ErrorClass.TRANSIENT),
        ("53300", "too_busy", ErrorClass.TRANSIENT),
        ("40001", "conflict", ErrorClass.TRANSIENT),
        ("40P01", "conflict", ErrorClass.TRANSIENT),
        ("55P03", "locked", ErrorClass.TRANSIENT),
        ("57014", "timeout", ErrorClass.TRANSIENT),
        ("57P01", "unreachable", ErrorClass.TRANSIENT),
        ("57P03", "unreachable", ErrorClass.TRANSIENT),
        ("58030", "io_error", ErrorClass.TRANSIENT),
        ("08006", "unreachable", ErrorClass.TRANSIENT),
        ("25P03", "unreachable", ErrorClass.TRANSIENT),
        ("", "unreachable", ErrorClass.TRANSIENT),
    ],
)
def test_what_may_pass_is_told_from_what_will_not(state: str, code: str, error_class: ErrorClass) -> None:
    connection = ConnectionSpec("pg", "postgresql", {"host": "h", "user": "u"})
    error: psycopg.Error = Said(state)
    if code == "sql_error":
        error = psycopg.errors.SyntaxError()
    fault = postgresql.fault_of(error, connection, "table t of connection pg")
    assert (fault.code, fault.error_class) == (code, error_class)
    assert "secret" not in fault.sentence
