"""The task list page, 50 rows out of 100,000, beside raw SQL and strings, and beside the admin's changelist."""

from __future__ import annotations

import html
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

from tasks.models import Connection, ResourceGroup, Task
from tasks.statuses import Status

TASKS = 100_000
ROUNDS = 30
RUNNING = 100  # the capacity of the group: no more can run at once
STATUSES = [Status.STOPPED] * 7 + [Status.FAILURE, Status.INITIALIZE, Status.STOPPED]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-") as name:
        _use(Path(name) / "console.db")
        call_command("migrate", verbosity=0)
        _fill()
        client = Client(headers={"host": "localhost"})
        client.force_login(get_user_model().objects.create_superuser("bench"))
        raw = _median(_raw)
        poll = _poll_of(client.get("/tasks/").content.decode())
        lines = {
            "list page": _median(lambda: _get(client, "/tasks/")),
            "its unchanged poll": _median(lambda: _get(client, poll, **{"HX-Request": "true"})),
            "filtered, sorted": _median(lambda: _get(client, "/tasks/?status=failure&sort=-rows_written")),
            "page 100": _median(lambda: _get(client, "/tasks/?page=100")),
            "admin changelist": _median(lambda: _get(client, "/admin/tasks/task/")),
        }
        print(f"list     raw SQL and strings, 50 of {TASKS:,}: {raw * 1000:6.1f} ms")
        for what, seconds in lines.items():
            ratio = lines["admin changelist"] / seconds
            times = f"{seconds * 1000:6.1f} ms   {seconds / raw:5.1f} x raw"
            print(f"list     {what:20} {times}   changelist / it {ratio:.1f}")
        connection.close()


def _use(path: Path) -> None:
    own = connections.create_connection("default")
    own.settings_dict = {**own.settings_dict, "NAME": str(path)}
    connections["default"] = own


def _fill() -> None:
    ResourceGroup.objects.create(name="local", capacity=RUNNING)
    for name in ("shop", "warehouse"):
        Connection.objects.create(name=name, kind="sqlite", settings={"path": f"/data/{name}.db"})
    now = timezone.now()
    Task.objects.bulk_create(
        (
            Task(
                name=f"task-{n:06}",
                group_id="local",
                source_connection_id="shop",
                source_object=f"table_{n % 977}",
                target_connection_id="warehouse",
                target_object=f"table_{n % 977}",
                status=Status.RUNNING if n < RUNNING else STATUSES[n % 10],
                submitted_at=now,
                rows_read=n * 7,
                rows_written=n * 7,
                observed_at=now,
            )
            for n in range(TASKS)
        ),
        batch_size=2_000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _median(action: Callable[[], Any]) -> float:
    action()
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _raw() -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, name, status, source_connection_id, source_object, target_connection_id, target_object, "
            "write_mode, group_id, rows_read, rows_written, lag_seconds, status_since FROM tasks_task "
            "WHERE submitted_at IS NOT NULL ORDER BY name, id LIMIT 50"
        )
        return "".join(
            "<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row) + "</tr>"
            for row in cursor.fetchall()
        )


def _get(client: Client, address: str, **headers: str) -> None:
    response = client.get(address, headers=headers)
    assert response.status_code in (200, 204), (address, response.status_code)


def _poll_of(page: str) -> str:
    """Return the address that the page's own script would poll: its rows with their versions."""
    rows = re.findall(r'<tr id="(task-\d+)"[^>]* data-version="(\w+)"', page)
    assert len(rows) == 50
    return "/tasks/rows/?v=" + ",".join(f"{name}.{version}" for name, version in rows)
