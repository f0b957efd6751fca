"""A real host process on a directory of its own, and small real sources and targets."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tasks.engines.base import (
    AttemptRef,
    ConnectionSpec,
    EngineState,
    Observation,
    SnapshotInfo,
    SourceSpec,
    TargetSpec,
    TaskSpec,
)
from tasks.engines.local.client import LocalEngine
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
HOST = (
    "import logging, sys; from pathlib import Path; from tasks.engines.local.host import AlreadyServed, serve\n"
    "try: serve(Path(sys.argv[1]))\n"
    "except AlreadyServed as error: sys.exit(str(error))"
)


class HostProcess:
    """The local engine's host as a real process that can be killed."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.engine = LocalEngine(data_dir)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", HOST, str(self.data_dir)], cwd=ROOT)
        wait_for(self.answers, "the host answers")

    def answers(self) -> bool:
        try:
            self.engine.capacity()
        except Exception:
            return False
        return True

    def end(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    host = HostProcess(tmp_path / "data")
    host.start()
    yield host
    host.end(signal.SIGKILL)


@dataclass
class Tables:
    """A SQLite source that can be written, a SQLite target that can be read, and a directory of files."""

    directory: Path

    @property
    def source_path(self) -> Path:
        return self.directory / "source.db"

    @property
    def target_path(self) -> Path:
        return self.directory / "target.db"

    def connection(self, name: str, path: Path, kind: str = "sqlite") -> ConnectionSpec:
        return ConnectionSpec(name, kind, {"path": str(path)})

    def spec(self, **values: Any) -> TaskSpec:
        spec = TaskSpec(
            task="5eed",
            name="orders-copy",
            run=1,
            source=SourceSpec(self.connection("shop", self.source_path), "orders", {"cursor": "id"}),
            target=TargetSpec(self.connection("warehouse", self.target_path), "orders"),
            snapshot_interval=0.2,
        )
        return replace(spec, **values)

    def add(self, count: int, text: str = "x") -> None:
        with sqlite3.connect(self.source_path, timeout=20) as db:
            db.executemany("INSERT INTO orders (what, price) VALUES (?, 1.5)", [(text,)] * count)
        db.close()

    def read(self, path: Path, sql: str) -> list[tuple[Any, ...]]:
        db = sqlite3.connect(path, timeout=20)
        try:
            return db.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            db.close()

    def target_ids(self) -> list[int]:
        return [row[0] for row in self.read(self.target_path, "SELECT id FROM orders ORDER BY id")]

    def source_ids(self) -> list[int]:
        return [row[0] for row in self.read(self.source_path, "SELECT id FROM orders ORDER BY id")]


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    tables = Tables(tmp_path)
    with sqlite3.connect(tables.source_path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT, price REAL)")
    db.close()
    return tables


@pytest.fixture
def writer(tables: Tables) -> Iterator[threading.Event]:
    """Adds rows to the source all the time, until the test sets the event."""
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.005):
            tables.add(7)

    thread = threading.Thread(target=write)
    thread.start()
    yield stop
    stop.set()
    thread.join()


def look(host: HostProcess, ref: AttemptRef) -> Observation:
    return host.engine.observe([ref])[ref]


def await_state(host: HostProcess, ref: AttemptRef, *states: EngineState) -> Observation:
    def reached() -> Observation | None:
        seen = look(host, ref)
        return seen if seen.state in states else None

    try:
        return wait_for(reached, f"{ref} is {states}")
    except AssertionError as error:
        raise AssertionError(f"{error} Now: {look(host, ref)}; {host.engine.logs(ref, 0)}") from None


def await_written(host: HostProcess, ref: AttemptRef, rows: int) -> Observation:
    def written() -> Observation | None:
        seen = look(host, ref)
        return seen if seen.counters.rows_written >= rows else None

    try:
        return wait_for(written, f"{rows} rows written")
    except AssertionError as error:
        raise AssertionError(f"{error} Now: {look(host, ref)}; {host.engine.logs(ref, 0)}") from None


def pid_of(host: HostProcess) -> int:
    """Return the one live child of the host."""
    assert host.process is not None
    parent = host.process.pid

    def find() -> int:
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    state, above = (Path("/proc") / entry / "stat").read_text().rpartition(") ")[2].split()[:2]
                except OSError:
                    continue
                if int(above) == parent and state != "Z":
                    return int(entry)
        return 0

    return wait_for(find, f"a child of {parent}")


def newest(seen: Observation) -> SnapshotInfo:
    assert seen.snapshots
    return seen.snapshots[0]
