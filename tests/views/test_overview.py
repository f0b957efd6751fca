"""The overview: who needs somebody, throughput, and the use of the groups."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks import attention, metrics
from tasks.models import GroupSample, OperationRequest, Task
from tasks.operations import SYSTEM, accept
from tasks.statuses import Channel, Operation, Outcome, Status
from tests.factories import make_task, make_user

pytestmark = pytest.mark.django_db


def needed() -> dict[str, list[str]]:
    return {need.code: [task.name for task in need.tasks] for need in attention.needs(timezone.now())}


def ago(**values: float) -> Any:
    return timezone.now() - timedelta(**values)


def running(name: str = "orders", **values: Any) -> Task:
    return make_task(name, status=Status.RUNNING, **{"observed_at": timezone.now(), **values})


def test_a_console_where_all_is_well_needs_nobody(viewer: Client) -> None:
    running(last_write_at=ago(seconds=1), snapshot_overdue_at=ago(seconds=-9), lag_seconds=0.5)
    make_task("new")
    make_task("paused", status=Status.PAUSED)
    make_task("stopped", status=Status.STOPPED)
    assert needed() == {}
    assert "Every task does what it was asked to." in viewer.get("/").content.decode()


@pytest.mark.parametrize(
    ("code", "status", "values"),
    [
        ("failure", Status.FAILURE, {}),
        ("detection", Status.DETECTION_EXCEPTION, {}),
        ("unheard", Status.RUNNING, {"engine_state": "unreachable"}),
        ("unheard", Status.RUNNING, {"observed_at": ago(seconds=20)}),
        ("restarting", Status.RUNNING, {"restart_at": ago(seconds=-5), "observed_at": ago(seconds=20)}),
        ("stale", Status.RUNNING, {"last_write_at": ago(seconds=0), "snapshot_overdue_at": ago(seconds=1)}),
        ("lagging", Status.RUNNING, {"lag_seconds": 61.0}),
        ("paused", Status.PAUSED, {"status_since": ago(hours=7)}),
    ],
)
def test_each_need_is_seen(code: str, status: Status, values: dict[str, Any]) -> None:
    task = make_task("orders", status=status)
    Task.objects.filter(pk=task.pk).update(**{"observed_at": timezone.now(), **values})
    assert needed() == {code: ["orders"]}


def test_an_idle_task_with_an_old_snapshot_is_well() -> None:
    running(last_write_at=ago(hours=2), snapshot_overdue_at=ago(hours=1))
    assert needed() == {}


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.OPEN, "overdue"), (Outcome.UNKNOWN, "unknown")])
def test_an_operation_that_does_not_settle_is_seen(outcome: Outcome, code: str) -> None:
    task = make_task("orders")
    accept(task_id=task.pk, operation=Operation.RUN, actor=SYSTEM, channel=Channel.CLI)
    assert needed() == {}
    OperationRequest.objects.update(deadline_at=ago(seconds=5))
    if outcome is Outcome.UNKNOWN:
        OperationRequest.objects.update(outcome=outcome, settled_at=timezone.now())
        Task.objects.update(status=Status.FAILURE)
    assert code in needed()


def test_a_kind_is_bounded_and_says_that_there_are_more(viewer: Client) -> None:
    for n in range(attention.MOST + 3):
        make_task(f"t{n:02}", status=Status.FAILURE, fault_cause=f"Disk {n} is full.")
    page = viewer.get("/").content.decode()
    assert page.count("is full.") == attention.MOST
    assert "only the first 10 are shown" in page


def sample(n: int, name: str = "local") -> None:
    at = metrics.last_closed(time.time())
    zeros = {"rows_read": 50, "rows_written": 50, "bytes_read": 0, "bytes_written": 0}
    GroupSample.objects.bulk_create(
        GroupSample(group=name, resolution=10, at=at - 10 * k, running=2, **zeros) for k in range(n)
    )


def test_it_costs_the_same_queries_however_much_there_is(viewer: Client) -> None:
    counts = []
    for n in range(2):
        for status in (Status.FAILURE, Status.RUNNING, Status.PAUSED):
            for k in range(1 + 4 * n):
                make_task(f"{status}-{n}-{k}", status=status, group_id=f"group-{n}-{k}")
        sample(5 + 20 * n, f"group-{n}-0")
        with CaptureQueriesContext(connection) as queries:
            assert viewer.get("/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_poll_that_finds_nothing_new_gets_nothing(viewer: Client) -> None:
    sample(9)
    page = viewer.get("/?range=15m").content.decode()
    assert "5 rows/s" in page
    version = page.partition('id="overview" data-version="')[2].partition('"')[0]
    htmx = {"HTTP_HX_REQUEST": "true"}
    assert viewer.get(f"/?range=15m&v=overview.{version}", **htmx).status_code in (200, 204)
    make_task("broken", status=Status.FAILURE)
    changed = viewer.get(f"/?range=15m&v=overview.{version}", **htmx)
    assert changed.content.decode().strip().startswith('<div id="overview"')


def test_it_needs_the_right_to_see_tasks(client: Client) -> None:
    assert client.get("/").status_code == 302
    client.force_login(make_user("stranger"))
    assert client.get("/").status_code == 403
