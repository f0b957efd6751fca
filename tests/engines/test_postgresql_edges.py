"""The corners of the PostgreSQL connectors: what moves back under a reader, NULL in a key, nested values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.engines.base import ConnectionSpec, SourceSpec
from tasks.engines.local import lookup
from tasks.engines.local.faults import ConnectorError
from tasks.engines.local.sources.file import FileSource
from tasks.engines.local.sources.postgresql import PostgresSource
from tests.engines.test_postgresql import Database, drained, opened
from tests.postgres import PostgresServer
from tests.waiting import wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def database(server: PostgresServer) -> Iterator[Database]:
    database = Database(server)
    yield database
    for connector in database.opened:
        connector.close()


def read_up_to(source: PostgresSource, last: int) -> list[int]:
    """Read until `last` has come and nothing waits to settle."""
    found: list[int] = []

    def done() -> bool:
        found.extend(row[0] for row in source.read(100).rows)
        return last in found and not source._waiting

    wait_for(done, 20)
    return found


def test_a_row_that_comes_and_goes_never_moves_the_reader_back(database: Database) -> None:
    """The newest row is seen, deleted, and back again: three horizons, of which the second is the lowest."""
    database.do("CREATE TABLE orders (id integer PRIMARY KEY)")
    database.do("INSERT INTO orders SELECT generate_series(1, 10)")
    source = opened(database.source(settle=0.4))
    assert not source.read(100).rows
    database.do("DELETE FROM orders WHERE id = 10")
    assert not source.read(100).rows
    database.do("INSERT INTO orders VALUES (10)")
    assert not source.read(100).rows
    found = read_up_to(source, 10)
    database.do("INSERT INTO orders VALUES (11)")
    assert found + read_up_to(source, 11) == list(range(1, 12))


def test_a_row_whose_tie_is_null_is_left_out_and_takes_no_other_with_it(database: Database) -> None:
    database.do("CREATE TABLE orders (id integer PRIMARY KEY, day date, n integer)")
    database.do("INSERT INTO orders VALUES (1, '2026-01-01', 1), (2, '2026-01-02', NULL), (3, '2026-01-02', 5)")
    source = opened(database.source(cursor="day", tie="n"))
    assert [row[0] for row in drained(source, 1)] == [1, 3]
    database.do("INSERT INTO orders VALUES (4, '2026-01-02', 6), (5, '2026-01-02', NULL)")
    assert [row[0] for row in drained(source, 1)] == [4]
    assert source.lag_rows() == 0


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_nested_values_arrive_as_json(database: Database, tmp_path: Path, mode: str) -> None:
    """An empty list is not an empty array of PostgreSQL, which is written as an empty object is in JSON."""
    lines = [
        '{"id": 1, "doc": [], "mixed": 1}',
        '{"id": 2, "doc": {"a": ["ü", null]}, "mixed": [1]}',
        '{"id": 3, "doc": "words", "mixed": {}}',
        '{"id": 4, "doc": 5, "mixed": "words"}',
        '{"id": 5, "doc": null, "mixed": null}',
        '{"id": 6, "doc": true, "mixed": []}',
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines[:2]) + "\n")
    source = FileSource(SourceSpec(ConnectionSpec("in", "file", {"path": str(tmp_path)}, ""), "in.jsonl", {}))
    source.open(None, "earliest")
    target = database.target(mode=mode, key=("id",) if mode == "upsert" else ())
    target.open(source.columns() or (), 1, 1)
    with open(tmp_path / "in.jsonl", "a") as file:
        file.write("\n".join(lines[2:]) + "\n")
    batch = source.read(100)
    source.close()
    assert target.write(batch.rows, batch.offset, 6).bad == []
    assert database.do("SELECT id, doc::text, mixed FROM copied ORDER BY id") == [
        (1, "[]", "1"),
        (2, '{"a": ["ü", null]}', "[1]"),
        (3, '"words"', "{}"),
        (4, "5", "words"),
        (5, None, None),
        (6, "true", "[]"),
    ]


def test_it_is_looked_into_with_its_keys(database: Database) -> None:
    database.do("CREATE TABLE orders (region text, id integer, what jsonb, PRIMARY KEY (region, id))")
    database.do("CREATE VIEW recent AS SELECT * FROM orders")
    found = lookup.look_up(database.spec, "")
    assert {"public.orders", "public.recent"} <= set(found.objects)
    assert not any(name.startswith("pg_") for name in found.objects)
    columns = lookup.look_up(database.spec, "orders").columns
    assert [(column.name, column.type, column.key) for column in columns] == [
        ("region", "text", True),
        ("id", "integer", True),
        ("what", "jsonb", False),
    ]
    with pytest.raises(ConnectorError, match="There is no table nosuch"):
        lookup.look_up(database.spec, "nosuch")
