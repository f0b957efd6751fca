"""The dialog of an operation: what it says, and what its POST does."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tasks.models import OperationRequest, Task
from tasks.statuses import Operation, Outcome, Status
from tests.factories import make_snapshot, make_task

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/tasks/"}


def text(response: Any) -> str:
    return str(response.content.decode())


def address(task: Task, operation: str) -> str:
    return f"/tasks/{task.pk}/operations/{operation}/"


def test_the_forced_pause_dialog_forecasts_what_will_be_replayed(operator: Client) -> None:
    task = make_task("orders", status=Status.RUNNING, position=150, high_water=150)
    make_snapshot(task, position=27)
    page = text(operator.get(address(task, "forced-pause"), headers=HTMX))
    assert 'data-field="replay_rows" data-value="123"' in page
    assert "The task appends: that many duplicates in the target." in page
    assert "data-confirm" in page
    assert "<html" not in page
    Task.objects.update(write_mode="upsert")
    assert "no duplicates" in text(operator.get(address(task, "forced-pause"), headers=HTMX))
    assert "<html" in text(operator.get(address(task, "forced-pause")))


@pytest.mark.parametrize("operation", ["run", "pause", "forced-pause", "continue", "stop", "detect"])
@pytest.mark.parametrize("status", list(Status))
def test_each_dialog_opens_in_each_status_or_says_why_not(operator: Client, status: Status, operation: str) -> None:
    task = make_task("orders", status=status)
    if task.run:
        make_snapshot(task)
    page = text(operator.get(address(task, operation), headers=HTMX))
    assert ("data-confirm" in page) != ("data-refused=" in page)


def test_plain_forms_do_it_without_htmx(operator: Client) -> None:
    task = make_task("orders")
    response = operator.post(address(task, "run"), {"start": "latest", "reason": "first light"})
    assert (response.status_code, response.headers["Location"]) == (302, f"/tasks/{task.pk}/")
    request = OperationRequest.objects.get()
    assert (request.start_position, request.reason, request.actor_name) == ("latest", "first light", "olga")
    assert "Run of orders is requested." in text(operator.get(f"/tasks/{task.pk}/"))


def test_a_form_that_was_sent_before_says_what_came_of_it(operator: Client) -> None:
    """Out of the browser's history: nobody may take its first answer for a new one."""
    task = make_task("orders", status=Status.RUNNING)
    sent = {"key": "k"}
    operator.post(address(task, "pause"), sent)
    OperationRequest.objects.update(outcome=Outcome.SUCCEEDED, settled_at=timezone.now())
    Task.objects.update(status=Status.RUNNING)
    operator.post(address(task, "pause"), sent)
    page = text(operator.get(f"/tasks/{task.pk}/"))
    assert "This form was sent before, at " in page
    assert "Nothing was asked for now; open it anew." in page
    answer = operator.post(address(task, "pause"), sent, headers=HTMX)
    assert '"tone": "bad"' in answer.headers["HX-Trigger-After-Swap"]


def test_htmx_gets_the_row_back_and_closes_the_dialog(operator: Client) -> None:
    task = make_task("orders")
    response = operator.post(address(task, "run"), {"start": "earliest"}, headers=HTMX)
    assert f'<tr id="task-{task.pk}" data-task="orders" data-status="operating"' in text(response)
    assert "closeDialog" in response.headers["HX-Trigger-After-Swap"]


def test_the_same_form_sent_twice_is_one_request(operator: Client) -> None:
    task = make_task("orders")
    key = re.search(r'name="key" value="(\w+)"', text(operator.get(address(task, "run"))))
    assert key is not None
    for _ in range(2):
        assert operator.post(address(task, "run"), {"key": key[1], "start": "earliest"}).status_code == 302
    assert OperationRequest.objects.count() == 1


def test_another_form_for_the_same_is_refused_with_409_and_says_who_was_first(operator: Client) -> None:
    task = make_task("orders")
    operator.post(address(task, "run"), {"key": "one"})
    response = operator.post(address(task, "run"), {"key": "two"}, headers=HTMX)
    assert response.status_code == 409
    assert "Run was already requested by olga" in text(response)
    assert 'data-refused="in_progress"' in text(response)
    assert OperationRequest.objects.filter(outcome=Outcome.REFUSED).count() == 1


def test_stop_wants_the_name_and_does_nothing_without_it(operator: Client) -> None:
    task = make_task("orders", status=Status.RUNNING)
    response = operator.post(address(task, "stop"), {"confirm": "order"}, headers=HTMX)
    assert response.status_code == 422
    assert "This is not the task’s name. Type orders to stop it." in text(response)
    assert not OperationRequest.objects.exists()
    assert operator.post(address(task, "stop"), {"confirm": "orders"}, headers=HTMX).status_code == 200
    assert OperationRequest.objects.get().operation == Operation.STOP


def test_who_may_only_see_is_refused_by_the_server_too(viewer: Client) -> None:
    task = make_task("orders")
    assert 'data-refused="permission"' in text(viewer.get("/tasks/"))
    response = viewer.post(address(task, "run"), {"start": "earliest"})
    assert response.status_code == 409
    assert "You may not run tasks" in text(response)
    task.refresh_from_db()
    assert task.status == Status.INITIALIZE


def test_a_post_needs_its_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    task = make_task("orders")
    from tests.factories import make_user

    client.force_login(make_user("olga", "view_task", "operate_task"))
    assert client.post(address(task, "run")).status_code == 403


@pytest.mark.parametrize("values", [{"start": "yesterday"}, {"reason": "x" * 501}, {"key": "k" * 101}])
def test_bad_values_are_a_form_error(operator: Client, values: dict[str, str]) -> None:
    task = make_task("orders")
    assert operator.post(address(task, "run"), values).status_code == 422
    assert not OperationRequest.objects.exists()


def test_what_does_not_exist_is_404(operator: Client) -> None:
    task = make_task("orders")
    assert operator.get("/tasks/999999/").status_code == 404
    assert operator.get(address(task, "explode")).status_code == 404
    assert operator.get(f"/tasks/{make_task('draft', submitted_at=None).pk}/").status_code == 404
    assert operator.put(address(task, "run")).status_code == 405
