"""One history for page, API, shell, system and alerts, with what was refused; as a page and as files."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks.alerts import life
from tasks.models import OperationRequest, StatusChange, Task
from tasks.operations import SYSTEM, Actor, OperationRefused, accept
from tasks.statuses import Channel, Operation, Status
from tests.alerts.conftest import make_rule
from tests.factories import make_task, make_user

pytestmark = pytest.mark.django_db


def text(client: Client, path: str) -> str:
    return client.get(path).content.decode()


def listed(client: Client, query: str = "") -> list[str]:
    return re.findall(r'data-event="(\w+)-\d+"', text(client, f"/history/?{query}"))


@pytest.fixture
def past() -> Task:
    """A Run by the API, a refused Pause on a page, a restart by the system, an alert."""
    task = make_task("orders", status=Status.STOPPED)
    accept(task_id=task.pk, operation=Operation.RUN, actor=Actor("olga"), channel=Channel.API, reason="nightly")
    with pytest.raises(OperationRefused):
        accept(task_id=task.pk, operation=Operation.PAUSE, actor=Actor("omar"), channel=Channel.PAGE)
    StatusChange.objects.create(
        task=task,
        at=timezone.now(),
        from_status=Status.RUNNING,
        to_status=Status.RUNNING,
        actor_name="system",
        reason="Restarted: the database is locked.",
    )
    other = make_task("other", status=Status.FAILURE)
    rule = make_rule("task_failure")
    life.judge(rule.pk, timezone.now() + timedelta(seconds=1))
    assert other.pk
    return task


def test_everything_stands_in_one_order_the_latest_first(viewer: Client, past: Task) -> None:
    assert listed(viewer) == ["alert", "system", "operation", "operation"]
    page = text(viewer, "/history/")
    for said in ("Reason: nightly", "API", "refused", "Restarted: the database is locked.", "task-failure: opened"):
        assert said in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=operation", ["operation", "operation"]),
        ("kind=system", ["system"]),
        ("kind=alert", ["alert"]),
        ("task=ORD", ["system", "operation", "operation"]),
        ("actor=olga", ["operation"]),
        ("operation=pause", ["operation"]),
        ("outcome=refused", ["operation"]),
        ("channel=api", ["operation"]),
        ("range=1h", ["alert", "system", "operation", "operation"]),
        ("from=2020-01-01T00:00&to=2020-01-02T00:00", []),
        ("to=2020-01-02T00:00", []),
        ("range=1h&from=2020-01-01T00:00&to=2020-01-02T00:00", ["alert", "system", "operation", "operation"]),
        ("kind=nonsense&outcome=nonsense&after=nonsense&task=%00", ["alert", "system", "operation", "operation"]),
    ],
)
def test_it_is_narrowed_by_each_question(viewer: Client, past: Task, query: str, found: list[str]) -> None:
    assert listed(viewer, query) == found


def test_it_is_paged_by_time_and_nothing_is_left_out(viewer: Client) -> None:
    task = make_task("orders")
    begin = timezone.now() - timedelta(hours=1)
    StatusChange.objects.bulk_create(
        StatusChange(
            task=task,
            at=begin + timedelta(seconds=n // 120),  # many at the same moment
            from_status="stopped",
            to_status="stopped",
            actor_name="system",
            reason=f"number {n};",
        )
        for n in range(250)
    )
    seen: list[str] = []
    address = "/history/?kind=system"
    for _ in range(3):
        page = text(viewer, address)
        seen += re.findall(r"number (\d+);", page)
        older = re.search(r'rel="next" href="\?([^"]*)"', page)
        address = f"/history/?{older[1].replace('&amp;', '&')}" if older else ""
    assert address == ""
    assert [int(n) for n in seen] == list(range(249, -1, -1))


def test_the_same_as_files(viewer: Client, past: Task) -> None:
    OperationRequest.objects.filter(actor_name="olga").update(reason='=HYPERLINK("http://evil.example")')
    answer = viewer.get("/history.csv?task=ord")
    lines = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))  # type: ignore[arg-type]
    assert [line["what"] for line in lines] == ["Running", "Pause", "Run"]
    assert lines[-1]["reason"].startswith("'=")  # no spreadsheet takes it for a formula
    found = json.loads(b"".join(viewer.get("/history.json")))  # type: ignore[arg-type]
    assert [event["kind"] for event in found] == ["alert", "system", "operation", "operation"]
    assert found[-1]["outcome"] == "open"


def test_a_range_that_can_not_be_read_gives_no_file_instead_of_another_one(viewer: Client, past: Task) -> None:
    for query in ("from=garbage", "to=garbage", "range=nonsense"):
        answer = viewer.get(f"/history.csv?{query}")
        assert answer.status_code == 400
        assert text(viewer, f"/history.csv?{query}").startswith(f"{query.partition('=')[0]}: ")
        assert "Shown is the last 24 h" in text(viewer, f"/history/?{query}")


def test_it_costs_the_same_however_much_happened(viewer: Client) -> None:
    def cost(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            b"".join(viewer.get(path))  # type: ignore[arg-type]
        return len(queries)

    task = make_task("orders", status=Status.STOPPED)
    text(viewer, "/history/")
    few = cost("/history/"), cost("/history.csv")
    for n in range(120):
        with pytest.raises(OperationRefused):
            accept(task_id=task.pk, operation=Operation.PAUSE, actor=SYSTEM, channel=Channel.CLI, key=str(n))
    assert (cost("/history/"), cost("/history.csv")) == few


def test_it_is_for_those_who_may_see_tasks(client: Client, past: Task, settings: Any) -> None:
    client.force_login(make_user("nobody"))
    for path in ("/history/", "/history.csv", "/history.json"):
        assert client.get(path).status_code == 403
