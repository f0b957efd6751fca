"""/metrics, /readyz, and the totals that a counter needs to never fall."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from tasks.api.auth import make_token
from tasks.models import OperationRequest, OperationTotal, ResourceGroup, Task, WorkerHeartbeat
from tasks.statuses import Operation, Outcome, Status
from tasks.worker import totals
from tests.factories import make_group, make_task, make_user

pytestmark = pytest.mark.django_db


def request_of(task: Task, outcome: Outcome, seconds: float, **values: Any) -> OperationRequest:
    begun = timezone.now() - timedelta(seconds=100)
    return OperationRequest.objects.create(
        **{
            "task": task,
            "operation": Operation.PAUSE,
            "actor_name": "olga",
            "channel": "page",
            "from_status": Status.RUNNING,
            "requested_at": begun,
            "deadline_at": begun + timedelta(seconds=60),
            "outcome": outcome,
            "settled_at": None if outcome is Outcome.OPEN else begun + timedelta(seconds=seconds),
            **values,
        }
    )


def scraped(client: Client, **headers: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = client.get("/metrics", **headers)
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


@pytest.fixture
def scraper(client: Client) -> Client:
    client.force_login(make_user("prometheus", "view_task"))
    return client


def test_it_tells_what_the_console_knows(scraper: Client) -> None:
    task = make_task("orders", status=Status.RUNNING, rows_read=7, lag_seconds=1.5)
    make_task("new")
    make_task("draft", submitted_at=None)
    ResourceGroup.objects.update(reachable=True)
    for outcome, seconds in ((Outcome.SUCCEEDED, 0.2), (Outcome.SUCCEEDED, 4), (Outcome.REFUSED, 0), (Outcome.OPEN, 0)):
        request_of(task, outcome, seconds)
    WorkerHeartbeat.objects.create(
        name="w", pid=1, started_at=timezone.now(), beat_at=timezone.now(), pass_ms=12.0, in_hand=3
    )
    totals.count_settled()
    found = scraped(scraper)
    of_orders = (("group", "local"), ("task", "orders"))
    pause = (("operation", "pause"), ("outcome", "succeeded"))
    for name, labels, value in (
        ("opsconsole_tasks", (("status", "running"),), 1),
        ("opsconsole_tasks", (("status", "initialize"),), 1),
        ("opsconsole_operations_total", pause, 2),
        ("opsconsole_operations_total", (("operation", "pause"), ("outcome", "refused")), 1),
        ("opsconsole_operation_seconds_count", pause, 2),
        ("opsconsole_operation_seconds_sum", pause, 4.2),
        ("opsconsole_operation_seconds_bucket", (("le", "0.25"), *pause), 1),
        ("opsconsole_operation_seconds_bucket", (("le", "5"), *pause), 2),
        ("opsconsole_operations_unsettled", (("state", "overdue"),), 1),
        ("opsconsole_worker_pass_seconds", (("worker", "w"),), 0.012),
        ("opsconsole_worker_tasks", (("worker", "w"),), 3),
        ("opsconsole_engine_reachable", (("group", "local"),), 1),
        ("opsconsole_group_tasks", (("group", "local"),), 1),
        ("opsconsole_task_rows_read_total", of_orders, 7),
        ("opsconsole_task_lag_seconds", of_orders, 1.5),
    ):
        assert found[name, labels] == pytest.approx(value), (name, labels)
    assert not any("draft" in str(labels) for _, labels in found)


def test_each_request_is_counted_once_and_stays_counted_when_it_is_pruned() -> None:
    task = make_task()
    request_of(task, Outcome.SUCCEEDED, 1, requested_at=timezone.now() - timedelta(days=200))
    unknown = request_of(task, Outcome.UNKNOWN, 1)
    for _ in range(3):
        totals.count_settled()
    assert list(OperationTotal.objects.values_list("outcome", "count")) == [("succeeded", 1)]
    OperationRequest.objects.filter(pk=unknown.pk).update(outcome=Outcome.FAILED)
    OperationRequest.objects.filter(counted=True).update(settled_at=timezone.now() - timedelta(days=199))
    call_command("prune", "--days", "90")
    totals.count_settled()
    assert dict(OperationTotal.objects.values_list("outcome", "count")) == {"succeeded": 1, "failed": 1}


def test_what_was_not_counted_yet_is_not_pruned() -> None:
    request_of(make_task(), Outcome.SUCCEEDED, 1, settled_at=timezone.now() - timedelta(days=200))
    call_command("prune", "--days", "90")
    assert OperationRequest.objects.count() == 1


def test_more_than_a_chunk_is_counted_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "CHUNK", 3)
    task = make_task()
    for n in range(8):
        request_of(task, Outcome.FAILED, n)
    totals.count_settled()
    assert OperationTotal.objects.get().count == 8


def test_the_tasks_can_be_left_out(scraper: Client, settings: Any) -> None:
    make_task("orders", status=Status.RUNNING)
    settings.OPS_METRICS_TASKS = False
    assert not any(name.startswith("opsconsole_task_") for name, _ in scraped(scraper))


def test_it_costs_the_same_queries_however_much_there_is(scraper: Client) -> None:
    counts = []
    for n in (1, 9):
        for k in range(n):
            make_task(f"t{n}-{k}", status=Status.RUNNING, group_id=f"g{n}-{k}")
        with CaptureQueriesContext(connection) as queries:
            scraped(scraper)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 14


def test_it_needs_a_token_or_a_session(client: Client) -> None:
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", HTTP_AUTHORIZATION="Bearer nonsense").status_code == 401
    stranger, viewer = make_user("stranger"), make_user("vera", "view_task")
    assert client.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {make_token(stranger, 1)}").status_code == 403
    assert scraped(client, HTTP_AUTHORIZATION=f"Bearer {make_token(viewer, 1)}")


@pytest.mark.parametrize(
    ("answers", "ready"), [([True, True], 200), ([True, False], 200), ([False, False], 503), ([None], 200), ([], 200)]
)
def test_readiness_is_of_the_worker_and_the_engines(client: Client, answers: list[bool | None], ready: int) -> None:
    for n, value in enumerate(answers):
        make_group(f"g{n}", reachable=value)
    make_group("maintenance", reachable=False, enabled=False)
    assert client.get("/readyz").status_code == 503
    WorkerHeartbeat.objects.create(name="w", pid=1, started_at=timezone.now(), beat_at=timezone.now())
    response = client.get("/readyz")
    assert response.status_code == ready
    assert response.json()["engines"] == {f"g{n}": value for n, value in enumerate(answers) if value is not None}
