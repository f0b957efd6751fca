"""The demo: small real sources that keep growing, and tasks in several statuses of honest origin."""

from __future__ import annotations

import csv
import json
import random
import sqlite3
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from django.conf import settings

from tasks.models import Task
from tasks.operations import Actor, OperationRefused, accept
from tasks.statuses import Channel, Operation, Status
from tasks.submission import submit

#: Rows of a source beyond which the writer adds no more: a forgotten demo must not fill the disk.
MOST_ROWS: Final = 2_000_000
TICK: Final = 0.25  # seconds

SUBMISSION: Final = """
resource_groups:
  - {name: demo, kind: local, capacity: 20, description: The demo's tasks run here.}
connections:
  - {name: shop, kind: sqlite, path: shop.db}
  - {name: warehouse, kind: sqlite, path: warehouse.db}
  - {name: drop, kind: file, path: drop}
  - {name: out, kind: file, path: out}
tasks:
  - name: orders-copy
    description: Every order, appended as it comes.
    group: demo
    source: {connection: shop, object: orders, cursor: id}
    target: {connection: warehouse, object: orders}
  - name: customers-upsert
    description: Customers as they are now, one row each.
    group: demo
    source: {connection: shop, object: customers, cursor: updated_at}
    target: {connection: warehouse, object: customers, mode: upsert, key: [id]}
  - name: events-load
    description: Lines of a JSONL file into a table.
    group: demo
    source: {connection: drop, object: events.jsonl}
    target: {connection: warehouse, object: events}
  - name: prices-load
    description: A CSV file into a table; left paused, with a snapshot.
    group: demo
    source: {connection: drop, object: prices.csv}
    target: {connection: warehouse, object: prices}
  - name: orders-export
    description: Orders into a JSONL file; paused by force, so that Continue replays.
    group: demo
    source: {connection: shop, object: orders, cursor: id}
    target: {connection: out, object: orders.jsonl}
    snapshot_interval: 60
  - name: payments-copy
    description: Fails honestly - the target's CHECK refuses every refund.
    group: demo
    source: {connection: shop, object: payments, cursor: id}
    target: {connection: warehouse, object: payments}
    dirty_limit: 10
  - name: returns-copy
    description: Its source table does not exist yet - a Detection exception.
    group: demo
    source: {connection: shop, object: returns, cursor: id}
    target: {connection: warehouse, object: returns}
  - name: customers-archive
    description: Ran once and was stopped.
    group: demo
    source: {connection: shop, object: customers, cursor: id}
    target: {connection: warehouse, object: customers_archive}
  - name: orders-audit
    description: Submitted, never run.
    group: demo
    source: {connection: shop, object: orders, cursor: id}
    target: {connection: warehouse, object: orders_audit}
    start: latest
alert_rules:
  - name: failed
    description: A task is a Failure.
    metric: task_failure
    severity: urgent
    resolve_after: 0
    to: {owner: true}
  - {name: missing-objects, metric: detection_exception, severity: urgent, resolve_after: 0, to: {owner: true}}
  - {name: behind, description: The source grows faster than the task reads., metric: no_progress, threshold: 30}
  - {name: no-snapshot, metric: no_snapshot}
  - {name: restarts-often, metric: restarts_10m, threshold: 2}
  - {name: paused-for-long, metric: paused_long, severity: normal}
"""

_ACTOR: Final = Actor(name="demo")


def directory() -> Path:
    return Path(settings.OPS_DATA_DIR) / "demo"


def exists() -> bool:
    return directory().is_dir()


def prepare() -> list[str]:
    """Make the demo's sources and submit its tasks; nothing is done twice. Return what to tell."""
    if exists():
        return []
    base = directory()
    unfinished = base.with_name("demo.tmp")
    _make_sources(unfinished)
    unfinished.rename(base)
    _, changes = submit(textwrap.dedent(SUBMISSION), actor_name=_ACTOR.name, base=base)
    tasks = sum(change.kind == "task" for change in changes)
    return [f"The demo is ready: {tasks} tasks in resource group demo (OPS_DEMO=0 leaves it out)."]


def _make_sources(base: Path) -> None:
    for name in ("drop", "out"):
        (base / name).mkdir(parents=True, exist_ok=True)
    shop = sqlite3.connect(base / "shop.db")
    shop.executescript(
        """
        PRAGMA journal_mode=WAL;
        CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, amount REAL, at TEXT);
        CREATE TABLE IF NOT EXISTS customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT, updated_at TEXT);
        CREATE INDEX IF NOT EXISTS customers_updated ON customers (updated_at);
        CREATE TABLE IF NOT EXISTS payments (id INTEGER PRIMARY KEY, customer INTEGER, amount REAL, at TEXT);
        """
    )
    shop.close()
    warehouse = sqlite3.connect(base / "warehouse.db")
    warehouse.executescript(
        """
        PRAGMA journal_mode=WAL;
        CREATE TABLE IF NOT EXISTS payments (id INTEGER, customer INTEGER, amount REAL CHECK (amount > 0), at TEXT);
        """
    )
    warehouse.close()
    (base / "drop" / "events.jsonl").touch()
    with open(base / "drop" / "prices.csv", "w", newline="") as file:
        csv.writer(file).writerow(["item", "price", "at"])
    source = Source(base)
    for _ in range(40):
        source.grow()
    source.close()


_ITEMS: Final = ("anchor", "buoy", "chart", "compass", "lantern", "line", "sail", "sextant")
_CITIES: Final = ("Bergen", "Bremen", "Brest", "Genoa", "Lisbon", "Lagos", "Osaka", "Valparaíso")


class Source:
    """Adds a few rows to each source at every call."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.random = random.Random()  # noqa: S311  (demo data)
        self.shop = sqlite3.connect(base / "shop.db", timeout=20)
        self.customers: int = self.shop.execute("SELECT COUNT(*) FROM customers").fetchone()[0]

    def grow(self) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{int(time.time() * 1e6) % 1_000_000:06}"
        with self.shop:
            (newest,) = self.shop.execute("SELECT COALESCE(MAX(id), 0) FROM orders").fetchone()
            if newest > MOST_ROWS:
                return
            count = self.random.randint(1, 12)
            orders = [(self._customer(), self.random.choice(_ITEMS), self._amount(), now) for _ in range(count)]
            self.shop.executemany("INSERT INTO orders (customer, item, amount, at) VALUES (?, ?, ?, ?)", orders)
            refund = -1 if self.random.random() < 0.3 else 1
            payment = (self._customer(), refund * self._amount(), now)
            self.shop.execute("INSERT INTO payments (customer, amount, at) VALUES (?, ?, ?)", payment)
            self._touch_customer(now)
        self._append_files(now)

    def _amount(self) -> float:
        return round(self.random.uniform(3, 400), 2)

    def _customer(self) -> int:
        return self.random.randint(1, max(1, self.customers))

    def _touch_customer(self, now: str) -> None:
        if self.customers < 5_000 and self.random.random() < 0.5:
            self.customers += 1
            added = (f"Customer {self.customers}", self.random.choice(_CITIES), now)
            self.shop.execute("INSERT INTO customers (name, city, updated_at) VALUES (?, ?, ?)", added)
        else:
            moved = (self.random.choice(_CITIES), now, self._customer())
            self.shop.execute("UPDATE customers SET city = ?, updated_at = ? WHERE id = ?", moved)

    def _append_files(self, now: str) -> None:
        drop = self.base / "drop"
        with open(drop / "events.jsonl", "a") as file:
            for _ in range(self.random.randint(1, 6)):
                event = {"at": now, "kind": self.random.choice(("view", "cart", "buy")), "customer": self._customer()}
                file.write(json.dumps(event) + "\n")
        with open(drop / "prices.csv", "a", newline="") as file:
            csv.writer(file).writerow([self.random.choice(_ITEMS), round(self.random.uniform(3, 99), 2), now])

    def close(self) -> None:
        self.shop.close()


def play(stopped: Callable[[float], bool]) -> None:
    """Keep the sources growing until `stopped` (which waits that many seconds) says so; operate the tasks once."""
    source = Source(directory())
    scenes = Scenes()
    try:
        while not stopped(TICK):
            source.grow()
            scenes.go_on()
    finally:
        source.close()


class Scenes:
    """Operates the demo's tasks as a person would, once: each step waits for what the one before has shown."""

    def __init__(self) -> None:
        self.marker = directory() / "played"
        self.steps: list[tuple[str, Operation, Callable[[Task], bool]]] = [
            *(
                (name, Operation.RUN, lambda task: task.status == Status.INITIALIZE)
                for name in (
                    "orders-copy",
                    "customers-upsert",
                    "events-load",
                    "prices-load",
                    "orders-export",
                    "payments-copy",
                    "returns-copy",
                    "customers-archive",
                )
            ),
            ("prices-load", Operation.PAUSE, _has_written),
            ("orders-export", Operation.FORCED_PAUSE, _has_written),
            ("customers-archive", Operation.STOP, _has_written),
        ]
        if self.marker.exists():
            self.steps = []

    def go_on(self) -> None:
        """Take the steps whose time has come, at most once each."""
        if not self.steps:
            return
        left = []
        for name, operation, ready in self.steps:
            task = Task.objects.filter(name=name).first()
            if task is None or task.status == Status.FAILURE:
                continue
            if not ready(task):
                left.append((name, operation, ready))
                continue
            try:
                accept(task_id=task.pk, operation=operation, actor=_ACTOR, channel=Channel.CLI, reason="demo")
            except OperationRefused:
                continue  # a person was quicker: the task is theirs
        self.steps = left
        if not left:
            self.marker.touch()


def _has_written(task: Task) -> bool:
    return task.status == Status.RUNNING and task.rows_written > 50
