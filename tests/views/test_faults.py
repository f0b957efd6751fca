"""What pages show of unknown outcomes, missing objects, restarts, and a database that is gone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from tasks.models import Attempt, OperationRequest, Task
from tasks.operations import SYSTEM, accept
from tasks.statuses import Channel, Operation, Outcome, Status
from tests.factories import make_connection, make_task

pytestmark = pytest.mark.django_db


def text(client: Client, path: str, **values: object) -> str:
    return client.get(path, **values).content.decode()  # type: ignore[arg-type]


def missing(name: str, **values: object) -> Task:
    return make_task(
        name,
        status=Status.DETECTION_EXCEPTION,
        fault_code="table_missing",
        fault_cause="Table orders does not exist.",
        fault_subject="table orders of connection shop",
        missing_since=timezone.now() - timedelta(minutes=5),
        **values,
    )


def test_an_unknown_outcome_is_shown_as_such_with_its_age(operator: Client) -> None:
    task = make_task("a", status=Status.RUNNING, observed_at=timezone.now() - timedelta(seconds=90))
    request = accept(task_id=task.pk, operation=Operation.PAUSE, actor=SYSTEM, channel=Channel.CLI)
    OperationRequest.objects.filter(pk=request.pk).update(outcome=Outcome.UNKNOWN, settled_at=timezone.now())
    Task.objects.filter(pk=task.pk).update(status=Status.RUNNING, engine_state="unreachable")
    for path in ("/tasks/", f"/tasks/{task.pk}/"):
        page = text(operator, path)
        assert "outcome of Pause unknown, engine last seen" in page
        assert "90 s ago" in page
        assert 'data-status="running"' in page


def test_an_operation_in_progress_says_when_its_engine_does_not_answer(operator: Client) -> None:
    make_task("a", status=Status.OPERATING, engine_state="unreachable", observed_at=timezone.now())
    assert "engine unreachable, last seen" in text(operator, "/tasks/")


def test_a_missing_object_names_itself_since_when_and_who_shares_it(operator: Client) -> None:
    task = missing("a")
    missing("b")
    make_task("reader", status=Status.STOPPED)
    make_connection("archive")
    make_task("writer", source_connection_id="archive", target_connection_id="shop", status=Status.STOPPED)
    make_task("stranger", source_object="other", target_object="other", status=Status.STOPPED)
    page = text(operator, f"/tasks/{task.pk}/")
    assert "table orders of connection shop" in page
    assert "5 min ago" in page
    shared = [name for name in ("b", "reader", "writer", "stranger") if f'data-sharing="{name}"' in page]
    assert shared == ["b", "reader", "writer"]
    assert "Re-detect all of them" in page


@pytest.mark.parametrize(
    "code, subject, found",
    [
        ("group_missing", "Resource group local", {"other"}),
        ("connection_missing", "Connection warehouse", {"other"}),
        ("connection_missing", "connection warehouse", {"other"}),
        ("odd", "something else", set()),
    ],
)
def test_who_shares_a_group_or_a_connection(operator: Client, code: str, subject: str, found: set[str]) -> None:
    task = make_task(
        "a", status=Status.DETECTION_EXCEPTION, fault_code=code, fault_subject=subject, fault_cause="Gone."
    )
    make_task("other", source_object="x", target_object="y")
    page = text(operator, f"/tasks/{task.pk}/")
    assert ({"other"} if 'data-sharing="other"' in page else set()) == found


def test_the_lists_query_chooses_too(operator: Client) -> None:
    missing("m1")
    missing("other")
    page = text(operator, "/tasks/?status=detection_exception&q=m1")
    assert "/tasks/operations/detect/?q=m1&amp;status=detection_exception" in page
    assert "Re-detect: 1 of 1 task" in text(operator, "/tasks/operations/detect/?q=m1&status=detection_exception")
    assert "Re-detect all" not in text(operator, "/tasks/")


def test_restarts_are_shown_with_what_caused_them(operator: Client) -> None:
    task = make_task("a", status=Status.RUNNING, restarts=1, restarts_in_row=1)
    for epoch, cause, why in ((1, "run", "The database is locked."), (2, "restart", "")):
        began = timezone.now()
        ended = began if why else None
        Attempt.objects.create(run=task.run, epoch=epoch, cause=cause, started_at=began, ended_at=ended, end_reason=why)
    page = text(operator, f"/tasks/{task.pk}/")
    assert "Automatic restarts" in page
    assert "1 in a row of 5 allowed" in page
    assert "The database is locked." in page


def test_a_database_that_does_not_answer_is_said_to_be_that(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.raise_request_exception = False

    def gone(*_: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("tasks.views.listing.build_rows", gone)
    response = operator.get("/tasks/")
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "database does not answer" in response.content.decode()
    monkeypatch.setattr("tasks.views.listing.build_rows", lambda *_: 1 / 0)
    assert operator.get("/tasks/").status_code == 500
