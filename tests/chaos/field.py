"""Sources that never stand still, targets of each kind, and tasks between them."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.postgres import PostgresServer
from tests.stack import rows

#: Name -> (source, target connection, mode). Short names: a process shows 15 characters of its own.
TASKS: Final = {
    "ss-append": ("shop", "warehouse", "append"),
    "ss-upsert": ("shop", "warehouse", "upsert"),
    "pp-append": ("pg", "pg", "append"),
    "pp-upsert": ("pg", "pg", "upsert"),
    "sp-upsert": ("shop", "pg", "upsert"),
    "ps-append": ("pg", "warehouse", "append"),
}

_HEAD: Final = """
resource_groups:
  - {{name: local, capacity: 20}}
connections:
  - {{name: shop, kind: sqlite, path: {directory}/shop.db}}
  - {{name: warehouse, kind: sqlite, path: {directory}/warehouse.db}}
  - {{name: pg, kind: postgresql, host: 127.0.0.1, port: {port}, database: {database}, user: ops}}
tasks:
"""
_TASK: Final = """
  - name: {name}
    group: local
    source: {{connection: {source}, object: orders, cursor: id}}
    target: {{connection: {target}, object: {table}{mode}}}
    snapshot_interval: 2
    restart_limit: 1000
    time_limits: {{run: 20, pause: 5, forced-pause: 8, continue: 20, stop: 8}}
"""


class Field:
    """`begin` lets the writers run until `end`. The PostgreSQL server may go away and come back meanwhile."""

    def __init__(self, directory: Path, server: PostgresServer) -> None:
        self.directory = directory
        self.server = server
        self.database = server.new_database()
        self.stopping = threading.Event()
        with sqlite3.connect(directory / "shop.db") as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, price REAL)")
        db.close()
        server.execute(
            "CREATE TABLE orders (id bigserial PRIMARY KEY, what text, price double precision)", self.database
        )
        self.threads = [threading.Thread(target=write) for write in (self._write_sqlite, self._write_postgres)]

    def submission(self) -> str:
        head = _HEAD.format(directory=self.directory, port=self.server.port, database=self.database)
        tasks = [
            _TASK.format(
                name=name,
                source=source,
                target=target,
                table=table_of(name),
                mode=", mode: upsert, key: [id]" if mode == "upsert" else "",
            )
            for name, (source, target, mode) in TASKS.items()
        ]
        return head + "".join(tasks)

    def begin(self) -> None:
        for thread in self.threads:
            thread.start()

    def end(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _write_sqlite(self) -> None:
        db = sqlite3.connect(self.directory / "shop.db", timeout=30)
        n = 0
        while not self.stopping.wait(0.02):
            with suppress(sqlite3.OperationalError), db:
                db.executemany("INSERT INTO orders (what, price) VALUES (?, ?)", [(f"row {n}", n / 7)] * 5)
            n += 1
        db.close()

    def _write_postgres(self) -> None:
        """Two connections whose transactions overlap: rows become visible in another order than they are numbered."""
        n = 0
        while not self.stopping.is_set():
            with suppress(psycopg.Error), self._connect() as first, self._connect() as second:
                while not self.stopping.wait(0.02):
                    n += 1
                    for db in (first, second):
                        db.execute(
                            "INSERT INTO orders (what, price) VALUES (%s, %s), (%s, %s)", [f"row {n}", n / 7] * 2
                        )
                    second.commit()
                    time.sleep(0.005)
                    first.commit()
            self.stopping.wait(0.2)

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.url(self.database), connect_timeout=2)

    # --- what is there ----------------------------------------------------------------------------------

    def read(self, connection: str, table: str) -> Counter[tuple[Any, ...]]:
        """Return the rows of a table with how often each is there."""
        sql = f"SELECT id, what, price FROM {table}"
        if connection == "pg":
            with suppress(psycopg.errors.UndefinedTable):
                return Counter(self.server.execute(sql, self.database))
            return Counter()
        return Counter(rows(self.directory / f"{connection}.db", sql))

    def source(self, task: str) -> Counter[tuple[Any, ...]]:
        return self.read(TASKS[task][0], "orders")

    def target(self, task: str) -> Counter[tuple[Any, ...]]:
        return self.read(TASKS[task][1], table_of(task))


def table_of(task: str) -> str:
    return task.replace("-", "_")
