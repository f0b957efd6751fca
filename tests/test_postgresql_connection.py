"""What the console's connections to PostgreSQL do otherwise than Django's: `opsconsole.postgresql`."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import psycopg
import pytest

from opsconsole import settings as configured
from opsconsole.postgresql import base
from tests.postgres import PostgresServer

pytestmark = [pytest.mark.process, pytest.mark.django_db]


@pytest.fixture
def connection(server: PostgresServer) -> Iterator[base.DatabaseWrapper]:
    """One as a web process keeps it from request to request."""
    database = server.new_database()
    server.execute(f"ALTER DATABASE {database} SET timezone = 'Asia/Kathmandu'")
    config = configured.database(server.url(database))
    defaults = {"ATOMIC_REQUESTS": False, "AUTOCOMMIT": True, "TIME_ZONE": None, "TEST": {}, "HOST": "", "PORT": ""}
    connection = base.DatabaseWrapper({**defaults, **config}, alias="kept")
    connection.inc_thread_sharing()
    yield connection
    connection.close()


def ask(connection: base.DatabaseWrapper, sql: str = "SELECT pg_backend_pid()") -> object:
    """As the first statement of a request."""
    connection.close_if_unusable_or_obsolete()
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def last_statement(server: PostgresServer, pid: object) -> str:
    return str(server.execute(f"SELECT query FROM pg_stat_activity WHERE pid = {pid}")[0][0])


def test_a_server_that_went_away_is_noticed_before_a_statement_is_lost(
    connection: base.DatabaseWrapper, server: PostgresServer
) -> None:
    first = ask(connection)
    server.execute(f"SELECT pg_terminate_backend({first}, 10000)")
    second = ask(connection)
    assert second != first


def test_it_is_asked_whether_it_is_there_only_after_a_rest(
    connection: base.DatabaseWrapper, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = ask(connection)
    connection.close_if_unusable_or_obsolete()
    connection.close_if_health_check_failed()
    assert last_statement(server, pid) == "SELECT pg_backend_pid()"
    monkeypatch.setattr(base, "REST", 0)
    connection.close_if_unusable_or_obsolete()
    connection.close_if_health_check_failed()
    assert last_statement(server, pid) == "SELECT 1"


def test_a_statement_that_failed_is_a_reason_to_ask(connection: base.DatabaseWrapper, server: PostgresServer) -> None:
    pid = ask(connection)
    with pytest.raises(Exception, match="division by zero"):
        ask(connection, "SELECT 1 / 0")
    connection.errors_occurred = True
    connection.close_if_unusable_or_obsolete()
    assert last_statement(server, pid) == "SELECT 1"
    assert ask(connection) == pid


def test_times_are_in_utc_wherever_the_server_stands(connection: base.DatabaseWrapper) -> None:
    expected = datetime.datetime(2026, 3, 1, 12, 30, 0, 123456, datetime.UTC)
    told = ask(connection, "SELECT '2026-03-01 14:30:00.123456+02'::timestamptz")
    assert (told, told.tzinfo) == (expected, datetime.UTC)
    assert ask(connection, "SELECT 'infinity'::timestamptz IS NULL") is False
    with connection.cursor() as cursor:
        cursor.execute("SELECT now(), NULL::timestamptz")
        assert cursor.fetchone()[1] is None
    with connection.create_cursor("named") as cursor, connection.connection.transaction():
        cursor.execute("SELECT now()")
        assert cursor.fetchone()[0].tzinfo is datetime.UTC


def test_psycopg_reads_times_in_c() -> None:
    """Else the loader would be no quicker than Django's, on a machine without the binaries."""
    assert psycopg.pq.__impl__ == "binary"
