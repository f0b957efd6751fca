"""Sources and targets by themselves, on real files and databases."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tasks.engines.base import ConnectionSpec, ErrorClass, SourceSpec, TargetSpec
from tasks.engines.local.faults import ConnectorError
from tasks.engines.local.sources import lines
from tasks.engines.local.sources.file import FileSource
from tasks.engines.local.sources.sqlite import SqliteSource
from tasks.engines.local.targets.file import FileTarget
from tasks.engines.local.targets.sqlite import SqliteTarget
from tests.engines.conftest import HostProcess, Tables
from tests.waiting import wait_for

_opened: list[FileSource | SqliteSource | FileTarget | SqliteTarget] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def file_source(directory: Path, name: str = "events.jsonl", **options: object) -> FileSource:
    source = FileSource(SourceSpec(ConnectionSpec("drop", "file", {"path": str(directory)}), name, options))
    _opened.append(source)
    return source


def sqlite_source(path: Path, **options: object) -> SqliteSource:
    source = SqliteSource(SourceSpec(ConnectionSpec("shop", "sqlite", {"path": str(path)}), "orders", options))
    _opened.append(source)
    return source


def all_rows(source: FileSource | SqliteSource, limit: int = 3) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for _ in range(1000):
        batch = source.read(limit)
        found += batch.rows
        if batch.caught_up:
            return found
    raise AssertionError("never caught up")


def opened(source: FileSource, offset: dict[str, object] | None = None, start: str = "earliest") -> FileSource:
    source.columns()
    source.open(offset, start)
    return source


# --- files ------------------------------------------------------------------------------------------------


def test_only_whole_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n{"a": ')
    source = opened(file_source(tmp_path))
    assert all_rows(source) == [(1,), (2,)]
    with open(path, "a") as file:
        file.write("3}\n")
    assert all_rows(source) == [(3,)]


def test_reading_goes_on_at_the_offset(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(f'{{"a": {n}}}\n' for n in range(10)))
    source = opened(file_source(tmp_path))
    offset = source.read(4).offset
    source.close()
    assert all_rows(opened(file_source(tmp_path), offset)) == [(n,) for n in range(4, 10)]
    assert all_rows(opened(file_source(tmp_path), None, "latest")) == []


def test_a_rotated_file_is_finished_before_the_next_is_begun(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    source = opened(file_source(tmp_path))
    offset = source.read(1).offset
    path.rename(tmp_path / "events.jsonl.1")
    path.write_text('{"a": 3}\n')
    found: list[tuple[object, ...]] = []
    wait_for(lambda: found.extend(source.read(5).rows) or len(found) == 2)
    assert found == [(2,), (3,)]
    # The same after a restart: the old file is found again beside the new one.
    again = opened(file_source(tmp_path), offset)
    found.clear()
    wait_for(lambda: found.extend(again.read(5).rows) or len(found) == 2)
    assert found == [(2,), (3,)]


def test_a_file_rotated_away_is_an_expired_offset(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": 1}\n')
    keep = open(path)  # noqa: SIM115  (its inode must not be given to the next file)
    offset = opened(file_source(tmp_path)).read(1).offset
    path.unlink()
    path.write_text('{"a": 2}\n')
    with pytest.raises(ConnectorError) as caught:
        opened(file_source(tmp_path), offset)
    keep.close()
    assert (caught.value.fault.code, caught.value.fault.error_class) == ("offset_expired", ErrorClass.PERMANENT)


def test_a_truncated_file_is_noticed_while_reading_and_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    source = opened(file_source(tmp_path))
    offset = source.read(5).offset
    path.write_text('{"a": 9}\n')
    for action in (lambda: source.read(5), lambda: opened(file_source(tmp_path), offset)):
        with pytest.raises(ConnectorError) as caught:
            action()
        assert caught.value.fault.code == "source_truncated"
        assert "18 bytes of it had been read, now it has 9" in caught.value.fault.cause


def test_lines_that_can_not_be_read_are_kept_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"a": 1, "b": 2}\nnonsense\n[1]\n{"c": 1}\n\n{"b": 3}\n')
    batch = opened(file_source(tmp_path, columns=["a", "b"])).read(100)
    assert list(batch.rows) == [(1, 2), (None, 3)]
    assert [(bad.index, bad.reason.partition(":")[0]) for bad in batch.bad] == [
        (1, "not JSON"),
        (2, "not a JSON object"),
        (3, "unknown field c"),
        (4, "an empty line"),
    ]
    assert batch.count == 6


def test_csv_with_quotes_and_line_ends_in_values(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text('item,note\nsail,"big, ""white"""\nline,"two\nlines"\nshort\n')
    batch = opened(file_source(tmp_path, "prices.csv")).read(100)
    assert list(batch.rows) == [("sail", 'big, "white"'), ("line", "two\nlines")]
    assert [bad.reason for bad in batch.bad] == ["1 fields instead of 2"]


def test_an_empty_file_tells_no_columns_yet(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    assert file_source(tmp_path).columns() is None


@pytest.mark.parametrize("name", ["../events.jsonl", "/etc/passwd", "..", "a/b.jsonl"])
def test_a_name_can_not_lead_out_of_the_directory(tmp_path: Path, name: str) -> None:
    assert [fault.code for fault in file_source(tmp_path, name, format="jsonl").check()] == ["name_refused"]


def test_columns_have_the_widest_type_seen() -> None:
    data = b'{"a": 1, "b": null, "c": true}\n{"a": 1.5, "b": "x", "c": 1, "d": {"e": 1}}\n'
    assert [(c.name, c.type) for c in lines.columns_of(data, "jsonl") or ()] == [
        ("a", "real"),
        ("b", "text"),
        ("c", "any"),
        ("d", "json"),
    ]


# --- SQLite -----------------------------------------------------------------------------------------------


def test_equal_cursor_values_are_neither_lost_nor_repeated(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE orders (name TEXT, at TEXT)")
        db.executemany("INSERT INTO orders VALUES (?, ?)", [(f"r{n}", f"2026-01-0{1 + n // 4}") for n in range(10)])
    source = sqlite_source(path, cursor="at")
    source.open(None, "earliest")
    assert [row[0] for row in all_rows(source)] == [f"r{n}" for n in range(10)]
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO orders VALUES ('same moment', '2026-01-03')")
    assert all_rows(source) == [("same moment", "2026-01-03")]
    assert source.lag_rows() == 0


def test_a_view_is_read_by_its_cursor(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE raw (id INTEGER PRIMARY KEY, x TEXT)")
        db.execute("CREATE VIEW orders AS SELECT id, x FROM raw WHERE x <> 'secret'")
        db.executemany("INSERT INTO raw (x) VALUES (?)", [("a",), ("secret",), ("b",)])
    source = sqlite_source(path, cursor="id")
    assert source.check() == ()
    source.open(None, "earliest")
    assert all_rows(source) == [(1, "a"), (3, "b")]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    assert [fault.code for fault in sqlite_source(path).check()] == ["connection_missing"]
    path.write_bytes(b"this is no database, but long enough to be read as one" * 10)
    assert [fault.code for fault in sqlite_source(path).check()] == ["not_a_database"]
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
    assert [fault.code for fault in sqlite_source(path).check()] == ["table_missing"]
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE orders (x)")
    assert [fault.code for fault in sqlite_source(path).check()] == ["cursor_missing"]


def target(path: Path, **values: object) -> SqliteTarget:
    connection = ConnectionSpec("warehouse", "sqlite", {"path": str(path)})
    made = SqliteTarget(TargetSpec(connection, "orders", **values), "5eed")  # type: ignore[arg-type]
    _opened.append(made)
    return made


def columns() -> tuple[lines.Column, ...]:
    return (lines.Column("id", "integer"), lines.Column("x", "json"))


def test_upsert_writes_by_key_and_nested_values_become_text(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    t = target(path, mode="upsert", key=("id",))
    t.open(columns(), 1, 1)
    t.write([(1, "a"), (2, {"b": [1]}), (1, "c")], {"cursor": 2}, 3)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT * FROM orders ORDER BY id").fetchall() == [(1, "c"), (2, '{"b":[1]}')]


def test_upsert_into_a_table_without_the_index_names_the_index(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE orders (id INTEGER, x TEXT)")
    (fault,) = target(path, mode="upsert", key=("id",)).check(columns())
    assert fault.code == "key_not_unique"
    assert 'CREATE UNIQUE INDEX ... ON "orders" ("id")' in fault.advice
    (fault,) = target(tmp_path / "new.db", mode="upsert", key=("nr",)).check(columns())
    assert fault.code == "key_unknown"


def test_an_older_attempt_is_fenced_in_the_transaction_of_its_rows(tmp_path: Path) -> None:
    old, new = target(tmp_path / "w.db"), target(tmp_path / "w.db")
    old.open(columns(), 1, 1)
    old.write([(1, "a")], {"cursor": 1}, 1)
    ledger = new.open(columns(), 1, 2)
    assert ledger is not None
    assert (ledger.offset, ledger.position) == ({"cursor": 1}, 1)
    with pytest.raises(ConnectorError) as caught:
        old.write([(2, "b")], {"cursor": 2}, 2)
    assert caught.value.fault.code == "fenced"
    with pytest.raises(ConnectorError):
        old.open(columns(), 1, 1)
    with sqlite3.connect(tmp_path / "w.db") as db:
        assert db.execute("SELECT COUNT(*) FROM orders").fetchone() == (1,)


def test_a_database_that_finds_the_disk_full_loses_nothing_and_may_be_tried_again(tmp_path: Path) -> None:
    t = target(tmp_path / "w.db")
    t.open(columns(), 1, 1)
    t.write([(1, "a")], {"cursor": 1}, 1)
    assert t._db is not None
    (pages,) = t._db.execute("PRAGMA page_count").fetchone()
    t._db.execute(f"PRAGMA max_page_count = {pages + 2}")  # what SQLite then says is what it says of a full disk
    with pytest.raises(ConnectorError) as caught:
        t.write([(n, "x" * 1000) for n in range(100)], {"cursor": 100}, 101)
    assert (caught.value.fault.code, caught.value.fault.error_class) == ("disk_full", ErrorClass.TRANSIENT)
    t._db.execute("PRAGMA max_page_count = 100000")
    t.write([(2, "b")], {"cursor": 2}, 2)
    with sqlite3.connect(tmp_path / "w.db") as db:
        assert db.execute("SELECT COUNT(*) FROM orders").fetchone() == (2,)


def test_names_with_odd_characters_are_names(tmp_path: Path) -> None:
    connection = ConnectionSpec("w", "sqlite", {"path": str(tmp_path / "w.db")})
    t = SqliteTarget(TargetSpec(connection, 'or"ders; DROP TABLE x'), "5eed")
    _opened.append(t)
    t.open((lines.Column('we"ird', "text"), lines.Column("select", "integer")), 1, 1)
    t.write([("a", 1)], {}, 1)
    with sqlite3.connect(tmp_path / "w.db") as db:
        assert db.execute('SELECT "we""ird", "select" FROM "or""ders; DROP TABLE x"').fetchall() == [("a", 1)]


# --- the file target --------------------------------------------------------------------------------------


def file_target(directory: Path) -> FileTarget:
    made = FileTarget(TargetSpec(ConnectionSpec("out", "file", {"path": str(directory)}), "out.jsonl"), "5eed")
    _opened.append(made)
    return made


def test_a_torn_last_line_is_repaired(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text('{"id":1,"x":"a"}\n{"id":2,"x')
    t = file_target(tmp_path)
    t.open(columns(), 1, 1)
    t.write([(2, "b"), (3, b"\x00\xff")], {"cursor": 3}, 3)
    t.close()
    assert [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()] == [
        {"id": 1, "x": "a"},
        {"id": 2, "x": "b"},
        {"id": 3, "x": "AP8="},
    ]


def test_an_older_attempt_is_fenced_by_the_sidecar(tmp_path: Path) -> None:
    old, new = file_target(tmp_path), file_target(tmp_path)
    old.open(columns(), 1, 1)
    old.write([(1, "a")], {"cursor": 1}, 1)
    assert new.open(columns(), 1, 2) is not None
    with pytest.raises(ConnectorError) as caught:
        old.write([(2, "b")], {"cursor": 2}, 2)
    assert caught.value.fault.code == "fenced"
    assert (tmp_path / "out.jsonl").read_text().count("\n") == 1


def test_a_batch_that_finds_the_disk_full_leaves_nothing_behind(tmp_path: Path) -> None:
    t = file_target(tmp_path)
    t.open(columns(), 1, 1)
    t.write([(1, "a")], {"cursor": 1}, 1)
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, former[1]))
    try:
        with pytest.raises(ConnectorError) as caught:
            t.write([(n, "x" * 100) for n in range(1000)], {"cursor": 1000}, 1001)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, handler)
    assert (caught.value.fault.code, caught.value.fault.error_class) == ("disk_full", ErrorClass.TRANSIENT)
    assert os.path.getsize(tmp_path / "out.jsonl") == len('{"id":1,"x":"a"}\n')


def test_a_connection_is_looked_into(host: HostProcess, tables: Tables, tmp_path: Path) -> None:
    shop = tables.connection("shop", tables.source_path)
    assert host.engine.look_up(shop, "").objects == ("orders",)
    columns = host.engine.look_up(shop, "orders").columns
    assert [(column.name, column.key) for column in columns] == [("id", True), ("what", False), ("price", False)]
    assert host.engine.look_up(shop, "nosuch").problem.startswith("There is no table nosuch.")
    assert "does not exist" in host.engine.look_up(tables.connection("gone", tmp_path / "gone.db"), "").problem
    (tmp_path / "events.jsonl").write_text('{"at": 1, "kind": "view"}\n')
    files = ConnectionSpec("drop", "file", {"path": str(tmp_path)})
    assert "events.jsonl" in host.engine.look_up(files, "").objects
    assert [column.name for column in host.engine.look_up(files, "events.jsonl").columns] == ["at", "kind"]
    assert host.engine.look_up(files, "../secret").problem == "../secret is no file's name."
