"""The local engine with its ledger and snapshots, beside SQLite's own INSERT .. SELECT on the same rows."""

from __future__ import annotations

import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tasks.engines.base import AttemptRef, ConnectionSpec, SourceSpec, TargetSpec, TaskSpec
from tasks.engines.local.client import LocalEngine
from tests.waiting import wait_for

ROWS = 500_000
ROUNDS = 3
HOST = "import sys; from pathlib import Path; from tasks.engines.local.host import serve; serve(Path(sys.argv[1]))"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-") as name:
        directory = Path(name)
        _make_source(directory / "source.db")
        host = subprocess.Popen([sys.executable, "-c", HOST, str(directory / "data")])
        engine = LocalEngine(directory / "data")
        try:
            wait_for(lambda: _answers(engine), "the engine answers")
            for mode in ("append", "upsert"):
                rounds = [_round(engine, directory, mode, run) for run in range(1, ROUNDS + 1)]
                report(f"sqlite -> sqlite {mode}", ROWS, rounds)
        finally:
            host.send_signal(signal.SIGTERM)
            host.wait(20)


def report(what: str, rows: int, rounds: list[tuple[float, float]]) -> None:
    """Print the medians of (seconds of the engine, seconds of INSERT .. SELECT), and their ratio."""
    ours, limit = (statistics.median(values) for values in zip(*rounds, strict=True))
    print(
        f"engine   {what:24} {rows / ours:>10,.0f} rows/s   "
        f"INSERT..SELECT {rows / limit:>10,.0f} rows/s   ratio {limit / ours:.2f}"
    )


def _answers(engine: LocalEngine) -> bool:
    try:
        engine.capacity()
    except Exception:
        return False
    return True


def _make_source(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT, who TEXT, what TEXT, n INTEGER, price REAL)")
        db.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    n,
                    "2026-01-01T00:00:00",
                    f"customer {n % 9973:06}",
                    "some forty characters of a description ..",
                    n,
                    n / 7,
                )
                for n in range(ROWS)
            ),
        )
    db.close()


def _round(engine: LocalEngine, directory: Path, mode: str, run: int) -> tuple[float, float]:
    """Return the seconds that the engine takes, and those of INSERT .. SELECT, from the same rows."""
    key = ("id",) if mode == "upsert" else ()
    path = directory / f"{mode}-{run}.db"
    spec = TaskSpec(
        task=mode,
        name=mode,
        run=run,
        source=SourceSpec(ConnectionSpec("s", "sqlite", {"path": str(directory / "source.db")}), "orders"),
        target=TargetSpec(ConnectionSpec("t", "sqlite", {"path": str(path)}), "orders", mode, key),
    )
    begin = time.perf_counter()
    ref = engine.start(spec, 1, None)
    wait_for(lambda: _written(engine, ref) >= ROWS, "all rows are written", seconds=120)
    ours = time.perf_counter() - begin
    engine.kill(ref)
    return ours, _insert_select(directory, directory / f"{mode}-{run}-limit.db", mode)


def _written(engine: LocalEngine, ref: AttemptRef) -> int:
    return engine.observe([ref])[ref].counters.rows_written


def _insert_select(directory: Path, path: Path, mode: str) -> float:
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    key = ", PRIMARY KEY (id)" if mode == "upsert" else ""
    db.execute(f"CREATE TABLE orders (id INTEGER, at TEXT, who TEXT, what TEXT, n INTEGER, price REAL{key})")
    db.execute("ATTACH ? AS source", (str(directory / "source.db"),))
    begin = time.perf_counter()
    with db:
        db.execute("INSERT INTO orders SELECT * FROM source.orders")
    seconds = time.perf_counter() - begin
    db.close()
    return seconds
