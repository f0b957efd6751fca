"""A console with a live writer on its source."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.postgres import PostgresServer
from tests.stack import Stack
from tests.waiting import wait_for

SUBMISSION = """
resource_groups:
  - {{name: local, capacity: 10}}
connections:
  - {{name: shop, kind: sqlite, path: {directory}/shop.db}}
  - {{name: warehouse, kind: sqlite, path: {directory}/warehouse.db}}
tasks:
  - name: append
    group: local
    source: {{connection: shop, object: orders, cursor: id}}
    target: {{connection: warehouse, object: appended}}
    snapshot_interval: 1
    restart_limit: 50
  - name: upsert
    group: local
    source: {{connection: shop, object: orders, cursor: id}}
    target: {{connection: warehouse, object: upserted, mode: upsert, key: [id]}}
    snapshot_interval: 1
    restart_limit: 50
"""


class Writer:
    """Adds rows to the source all the time, in a thread, until it is told to end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stopping = threading.Event()
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT, price REAL)")
        db.close()
        self.thread = threading.Thread(target=self._write)
        self.thread.start()

    def _write(self) -> None:
        db = sqlite3.connect(self.path, timeout=30)
        n = 0
        while not self.stopping.wait(0.01):
            with db:
                db.executemany("INSERT INTO orders (what, price) VALUES (?, ?)", [(f"row {n}", n / 7)] * 5)
            n += 1
        db.close()

    def end(self) -> None:
        self.stopping.set()
        self.thread.join()


BOTH = ["sqlite", "postgresql"]


def on(database: str) -> pytest.MarkDecorator:
    """Run a test of `control` on one database in the short form, on both in the long one."""
    return pytest.mark.parametrize("control", BOTH if os.environ.get("CHAOS_LONG") else [database], indirect=True)


@pytest.fixture(params=BOTH)
def control(request: pytest.FixtureRequest) -> PostgresServer | None:
    """The control database: a test that asks for it runs on both."""
    return request.getfixturevalue("server") if request.param == "postgresql" else None


@pytest.fixture
def directory(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Where a test of the long form leaves everything about it; else a directory that goes with the test."""
    kept = os.environ.get("CHAOS_KEEP")
    if not kept:
        return tmp_path
    path = Path(kept) / request.node.name.replace("[", "-").rstrip("]")
    path.mkdir(parents=True)
    return path


@contextmanager
def running_stack(
    stack: Stack, blocker: DjangoDbBlocker, *, workers: Sequence[str] = ("worker",), web: bool = False
) -> Iterator[Stack]:
    """Prepare and start `stack`; Django looks at its database."""
    stack.prepare()
    with blocker.unblock(), stack.use():
        try:
            stack.start("engine", *workers, *(["web"] if web else []))
            for name in workers:
                wait_for(lambda: "began" in stack.log(name), "the worker begins")  # noqa: B023
            yield stack
        finally:
            stack.close()


@pytest.fixture
def stack(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Stack]:
    """Engine and worker run; tasks append and upsert are submitted. Django looks at the stack's database."""
    with running_stack(Stack(tmp_path), django_db_blocker) as stack:
        stack.submit(SUBMISSION.format(directory=tmp_path))
        yield stack


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path / "shop.db")
    yield writer
    writer.end()
