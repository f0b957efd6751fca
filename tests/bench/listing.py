"""The task list: 50 rows out of 100,000 and of 1,000,000 tasks, on SQLite and PostgreSQL, with filters and a deep page,
beside raw SQL with strings and the changelist on the same rows. Times are the server's own: a WSGI call each."""

from __future__ import annotations

import html
import io
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone

from opsconsole.settings import CACHES
from tasks.models import Task
from tasks.statuses import Status
from tasks.views import versions
from tests.factories import make_connection, make_group, make_task
from tests.postgres import PostgresServer
from tests.stack import Stack

SIZES = (100_000, 1_000_000)
ROUNDS = 30
RUNNING = 100  # the capacity of a group: no more can run at once
ADDRESSES = {
    "list page": "/tasks/",
    "two statuses": "/tasks/?status=failure&status=stopped",
    "group, mode": "/tasks/?group=group-7&mode=append",
    "by rows written": "/tasks/?sort=-rows_written",
    "by lag": "/tasks/?sort=-lag",
    "status, by rows": "/tasks/?status=failure&sort=-rows_written",
    "needs attention": "/tasks/?attention=1",
    "text of many": "/tasks/?q=table_97",
    "text of one": "/tasks/?q=task-0000123",
    "text of none": "/tasks/?q=nothing",
    "an owner": "/tasks/?owner=user-07",
    "by owner": "/tasks/?sort=owner",
    "source's kind": "/tasks/?source_kind=file",
    "page 200": "/tasks/?page=200",
}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-") as directory:
        server = PostgresServer()
        server.start()
        try:
            for count in SIZES:
                for name, own in (("SQLite", None), ("PostgreSQL", server)):
                    stack = Stack(Path(directory) / f"{name}-{count}", server=own)
                    with stack.use():
                        call_command("migrate", verbosity=0)
                        fill(count)
                        _measure(name, count)
                    stack.close()
        finally:
            server.close()


# --- a million tasks ----------------------------------------------------------------------------------------


def fill(count: int) -> None:
    """Write `count` tasks of ten groups and fifty owners, by one statement: a tenth failed, a hundred run."""
    for n in range(10):
        make_group(f"group-{n}", capacity=RUNNING)
    make_connection("shop")
    make_connection("warehouse")
    users = get_user_model().objects.bulk_create(get_user_model()(username=f"user-{n:02}") for n in range(50))
    task = make_task("task-template", observed_at=timezone.now())
    sqlite = connection.vendor == "sqlite"
    values = {
        "id": f"{task.pk} + n",
        "name": "printf('task-%%07d', n)" if sqlite else "'task-' || lpad(n::text, 7, '0')",
        "uid": "lower(hex(randomblob(16)))" if sqlite else "gen_random_uuid()",
        "status": f"CASE WHEN n <= {RUNNING} THEN '{Status.RUNNING}' WHEN n %% 10 = 7 THEN '{Status.FAILURE}' "
        f"WHEN n %% 10 = 8 THEN '{Status.INITIALIZE}' ELSE '{Status.STOPPED}' END",
        "group_id": "'group-' || (n %% 10)",
        "owner_id": f"{users[0].pk or _first_user()} + n %% 50",
        "source_object": "'table_' || (n %% 977)",
        "target_object": "'table_' || (n %% 977)",
        "rows_read": "n * 7",
        "rows_written": "n * 7",
        "lag_seconds": f"CASE WHEN n <= {RUNNING} THEN n / 100.0 END",
    }
    columns = [field.column for field in Task._meta.concrete_fields]
    chosen = ", ".join(values.get(column, f't."{column}"') for column in columns)
    series = (
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %s) "
        if sqlite
        else "WITH s AS (SELECT generate_series(1, %s) AS n) "
    )
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        if not sqlite:
            cursor.execute("SET statement_timeout = 0")  # a million rows take longer than any statement of the console
        cursor.execute(
            f"{series} INSERT INTO tasks_task ({names}) SELECT {chosen} FROM s, tasks_task t WHERE t.id = %s",
            [count, task.pk],
        )
        # What a server does by itself within a minute.
        cursor.execute("ANALYZE" if sqlite else "VACUUM ANALYZE")
        if not sqlite:
            cursor.execute("RESET statement_timeout")
    Task.objects.filter(pk=task.pk).delete()


def _first_user() -> int:
    return int(get_user_model().objects.earliest("pk").pk)


# --- measuring ----------------------------------------------------------------------------------------------


def _measure(database: str, count: int) -> None:
    settings.CACHES = CACHES  # the console's own: tests do without
    client = Client(headers={"host": "localhost"})
    client.force_login(get_user_model().objects.create_superuser("bench"))
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    ask = _asker(cookie)
    raw = _median(_raw)
    changelist = _median(lambda: ask("/admin/tasks/task/"))
    where = f"list     {database:10} {count:>9,}"
    print(f"{where}  raw SQL and strings {raw * 1000:7.1f} ms   admin changelist {changelist * 1000:7.1f} ms")

    def tell(what: str, address: str) -> None:
        began = time.perf_counter()
        ask(address)
        first = time.perf_counter() - began
        seconds = _median(lambda: ask(address))
        print(
            f"{where}  {what:16} {seconds * 1000:7.1f} ms   {seconds / raw:6.1f} x raw   "
            f"changelist / it {changelist / seconds:4.1f}   the first time {first * 1000:6.1f} ms"
        )

    for what, address in ADDRESSES.items():
        tell(what, address)
    # Polls at the same time share what one of them read; one alone has to read it.
    tell("poll, shared", _poll_of(ask("/tasks/")))
    fresh, versions.FRESH = versions.FRESH, 0
    time.sleep(2 * fresh)  # what was shared last is forgotten
    tell("unchanged poll", _poll_of(ask("/tasks/")))
    versions.FRESH = fresh


def _asker(cookie: str) -> Callable[[str], str]:
    from opsconsole.wsgi import application  # it makes ready what the settings of this measurement say

    def ask(address: str) -> str:
        path, _, query = address.partition("?")
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "HTTP_HOST": "localhost",
            "HTTP_COOKIE": cookie,
            "HTTP_HX_REQUEST": "true" if path == "/tasks/rows/" else "",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.url_scheme": "http",
        }
        told: list[str] = []
        body = b"".join(application(environ, lambda status, headers: told.append(status)))
        assert told[0][:3] in ("200", "204"), (address, told)
        return body.decode()

    return ask


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


def _poll_of(page: str) -> str:
    """Return the address that the page's own script would poll: its rows with their versions."""
    rows = re.findall(r'<tr id="(task-\d+)"[^>]* data-version="(\w+)"', page)
    assert len(rows) == 50
    return "/tasks/rows/?v=" + ",".join(f"{name}.{version}" for name, version in rows)
