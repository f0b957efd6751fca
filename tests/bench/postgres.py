"""The local engine from PostgreSQL to PostgreSQL, beside the server's own INSERT .. SELECT on the same rows."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tasks.engines.base import ConnectionSpec, SourceSpec, TargetSpec, TaskSpec
from tasks.engines.local.client import LocalEngine
from tests.bench.engine import HOST, ROUNDS, _answers, _written, report
from tests.postgres import PostgresServer
from tests.waiting import wait_for

ROWS = 300_000
COLUMNS = "(id bigint PRIMARY KEY, at timestamptz, who text, what text, n bigint, price double precision)"


def main() -> None:
    server = PostgresServer()
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-") as name:
        host = subprocess.Popen([sys.executable, "-c", HOST, name])
        engine = LocalEngine(Path(name))
        try:
            server.start()
            wait_for(lambda: _answers(engine), "the engine answers")
            for mode in ("append", "upsert"):
                rounds = [_round(engine, server, mode, run) for run in range(1, ROUNDS + 1)]
                report(f"pg -> pg {mode}", ROWS, rounds)
        finally:
            host.send_signal(signal.SIGTERM)
            host.wait(20)
            server.close()


def _round(engine: LocalEngine, server: PostgresServer, mode: str, run: int) -> tuple[float, float]:
    """Return the seconds that the engine takes, its start and all, and those of INSERT .. SELECT."""
    database = server.new_database()
    server.execute(
        f"CREATE TABLE orders {COLUMNS}; INSERT INTO orders SELECT n, now(), 'customer ' || n % 9973, "
        f"'some forty characters of a description ..', n, n / 7.0 FROM generate_series(1, {ROWS}) n; ANALYZE orders",
        database,
    )
    pg = ConnectionSpec(
        "pg", "postgresql", {"host": "127.0.0.1", "port": server.port, "database": database, "user": "ops"}
    )
    key = ("id",) if mode == "upsert" else ()
    source = SourceSpec(pg, "orders", {"cursor": "id", "settle": 0})
    spec = TaskSpec(f"pg{mode}", mode, run, source, TargetSpec(pg, "copied", mode, key))
    begin = time.perf_counter()
    ref = engine.start(spec, 1, None)
    wait_for(lambda: _written(engine, ref) >= ROWS, "all rows are written", seconds=120)
    ours = time.perf_counter() - begin
    engine.kill(ref)
    server.execute(
        f"CREATE TABLE limited {COLUMNS if mode == 'upsert' else COLUMNS.replace(' PRIMARY KEY', '')}", database
    )
    begin = time.perf_counter()
    server.execute("INSERT INTO limited SELECT * FROM orders", database)
    return ours, time.perf_counter() - begin
