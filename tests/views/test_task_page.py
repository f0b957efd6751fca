"""The page of one task, and the pages beside the tasks."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks.matrix import FIVE, MATRIX
from tasks.models import DirtyRow, Task, WorkerHeartbeat
from tasks.operations import SYSTEM, OperationRefused, accept
from tasks.statuses import Channel, Operation, Status
from tests.factories import make_connection, make_snapshot, make_task

pytestmark = pytest.mark.django_db
TABS = ["", "metrics/", "logs/", "snapshots/", "history/", "configuration/"]


def text(response: Any) -> str:
    return str(response.content.decode())


def full(name: str = "orders") -> Task:
    """A task with something on each tab."""
    task = make_task(name, status=Status.FAILURE, fault_cause="Disk full.", fault_advice="Make room.", rows_dirty=1)
    assert task.run is not None
    for _ in range(3):
        make_snapshot(task)
    DirtyRow.objects.create(run=task.run, n=1, at=timezone.now(), reason="CHECK failed", row="(1, 'bad')")
    with pytest.raises(OperationRefused):
        accept(task_id=task.pk, operation=Operation.PAUSE, actor=SYSTEM, channel=Channel.CLI, reason="try")
    return task


def test_the_overview_says_what_is_wrong_and_what_to_do(operator: Client) -> None:
    task = full()
    page = text(operator.get(f"/tasks/{task.pk}/"))
    for wanted in ("Disk full.", "Make room.", "CHECK failed", 'data-field="rows_dirty" data-value="1"'):
        assert wanted in page


def test_the_history_shows_what_was_refused_and_why(operator: Client) -> None:
    task = full()
    page = text(operator.get(f"/tasks/{task.pk}/history/"))
    assert 'data-outcome="refused"' in page
    assert "Pause is for tasks in status Running" in page
    assert "Reason: try" in page


def test_the_configuration_shows_no_secret(operator: Client) -> None:
    task = full()
    connection_ = make_connection("shop")
    connection_.set_secret("hunter-2-hunter")
    connection_.save(update_fields=["secret_token"])
    page = text(operator.get(f"/tasks/{task.pk}/configuration/"))
    assert "/data/shop.db" in page
    assert "hunter" not in page
    assert connection_.secret_token not in page


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("query", ["", "?page=zz", "?requests=-4&changes=1e9&attempts=%00"])
def test_each_tab_opens(operator: Client, tab: str, query: str) -> None:
    assert operator.get(f"/tasks/{full().pk}/{tab}{query}").status_code == 200


@pytest.mark.parametrize("tab", TABS)
def test_a_tab_costs_the_same_queries_however_much_there_is(operator: Client, tab: str) -> None:
    task = full()

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            operator.get(f"/tasks/{task.pk}/{tab}")
        return len(captured)

    few = queries()
    for _ in range(20):
        make_snapshot(task)
        with pytest.raises(OperationRefused):
            accept(task_id=task.pk, operation=Operation.PAUSE, actor=SYSTEM, channel=Channel.CLI)
    assert queries() == few


def test_a_live_poll_answers_204_until_something_changed(operator: Client) -> None:
    task = full()
    page = operator.get(f"/tasks/{task.pk}/")
    shown = ",".join(f"{region['id']}.{region['version']}" for region in page.context["regions"])
    address = f"/tasks/{task.pk}/live/?v={shown}"
    assert operator.get(address, headers={"HX-Request": "true"}).status_code == 204
    Task.objects.filter(pk=task.pk).update(rows_written=99)
    changed = text(operator.get(address, headers={"HX-Request": "true"}))
    assert 'id="task_overview"' in changed
    assert 'id="task_header"' not in changed


def test_an_engine_that_does_not_answer_is_an_overlay_not_a_status(operator: Client) -> None:
    make_task("orders", status=Status.RUNNING, engine_state="unreachable", observed_at=timezone.now())
    page = text(operator.get("/tasks/"))
    assert "engine unreachable, last seen" in page
    assert 'data-status="running"' in page


def test_a_restart_to_come_is_counted_down(operator: Client) -> None:
    make_task("orders", status=Status.RUNNING, restart_at=timezone.now(), restarts_in_row=2, observed_at=timezone.now())
    page = text(operator.get("/tasks/"))
    assert "restarting" in page
    assert "(2 of 5)" in page
    assert 'data-refused="restarting"' in page


def test_the_matrix_page_is_the_matrix(operator: Client) -> None:
    page = text(operator.get("/matrix/"))
    for operation in FIVE:
        assert MATRIX[operation].effect in page.replace("&#x27;", "'")


def test_the_groups_page_shows_use_and_health(operator: Client) -> None:
    task = make_task("orders", status=Status.RUNNING)
    assert task.group is not None
    type(task.group).objects.update(reachable=False, problem="It does not answer.", enabled=False)
    page = text(operator.get("/groups/"))
    for wanted in ("1 of 100 places taken", "It does not answer.", "Disabled for maintenance"):
        assert wanted in page


def test_each_page_says_when_no_worker_answers(operator: Client) -> None:
    assert "No worker answers" in text(operator.get("/groups/"))
    now = timezone.now()
    WorkerHeartbeat.objects.create(name="w", pid=1, started_at=now, beat_at=now)
    assert "No worker answers" not in text(operator.get("/groups/"))
