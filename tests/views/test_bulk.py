"""Many tasks at once, on pages: the preview tells the truth, a form counts once, the progress page says what came."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from tasks.models import Batch, BatchItem, OperationRequest, Task
from tasks.statuses import Operation, Outcome, Status
from tasks.worker import batching
from tests.factories import make_group, make_snapshot, make_task, make_user

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


def text(client: Client, path: str, **values: Any) -> str:
    return client.get(path, **values).content.decode()


def form_of(page: str) -> dict[str, Any]:
    """Return the hidden fields of the dialog's form, as a browser would send them, with its defaults."""
    form = page[page.index('<form method="post"\n') :]
    found: dict[str, Any] = {"concurrency": "10"}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form):
        found.setdefault(name, []).append(value)
    return found


def running(count: int, **values: Any) -> list[Task]:
    return [make_task(f"t{n}", status=Status.RUNNING, **values) for n in range(count)]


def test_the_preview_splits_into_what_will_run_and_what_will_be_refused(operator: Client) -> None:
    tasks = running(3)
    stopped = make_task("idle", status=Status.STOPPED)
    page = text(operator, "/tasks/operations/pause/", data={"task": [task.pk for task in (*tasks, stopped)]})
    assert "Pause: 3 of 4 tasks" in page
    assert 'data-refused-count="1"' in page
    assert "Pause is for tasks in status Running; this one is Stopped." in page
    assert ">idle</a>" in page


def test_the_preview_knows_that_a_group_has_only_so_many_places(operator: Client) -> None:
    make_group("small", capacity=3)
    make_task("there", status=Status.RUNNING, group_id="small")
    for n in range(4):
        make_task(f"t{n}", group_id="small")
    make_task("elsewhere")
    page = text(operator, "/tasks/operations/run/?status=initialize&all=1")
    assert "Run: 3 of 5 tasks" in page
    assert "Resource group small is full: 3 of 3 places are taken." in page


def test_the_preview_adds_up_what_a_forced_pause_will_replay(operator: Client) -> None:
    append, upsert = running(2, high_water=100, position=100)
    Task.objects.filter(pk=upsert.pk).update(write_mode="upsert")
    for task in (append, upsert):
        make_snapshot(task, position=60)
    make_task("young", status=Status.RUNNING)
    page = text(operator, "/tasks/operations/forced-pause/?all=1")
    assert 'data-field="replay_rows" data-value="80"' in page
    assert 'data-field="duplicates" data-value="40"' in page
    assert "1 have no snapshot yet" in page


def test_stopping_many_wants_their_number_typed(operator: Client) -> None:
    make_snapshot(running(2)[0])
    page = text(operator, "/tasks/operations/stop/?all=1")
    assert 'data-field="snapshots" data-value="1"' in page
    sent = form_of(page)
    answer = operator.post("/tasks/operations/stop/", {**sent, "confirm": "3"})
    assert answer.status_code == 422
    assert "Type 2 to stop so many tasks." in answer.content.decode()
    assert operator.post("/tasks/operations/stop/", {**sent, "confirm": "2"}).status_code == 302
    assert Batch.objects.get().items.count() == 2


def test_a_form_without_a_tick_is_not_everything(operator: Client) -> None:
    running(2)
    page = text(operator, "/tasks/operations/pause/?selected=1&status=running")
    assert "No task is selected" in page
    assert '<form method="post"\n' not in page


def test_a_batch_runs_to_its_end_with_the_truth_on_its_page(operator: Client) -> None:
    running(3)
    make_task("idle", status=Status.STOPPED)
    sent = form_of(text(operator, "/tasks/operations/pause/?all=1"))
    sent |= {"reason": "maintenance", "concurrency": "2"}
    answer = operator.post("/tasks/operations/pause/", sent)
    assert operator.post("/tasks/operations/pause/", sent)["Location"] == answer["Location"]  # a double click
    assert "This form was sent before" not in text(operator, answer["Location"])
    batch = Batch.objects.get()
    assert answer["Location"] == batch.get_absolute_url()
    page = text(operator, answer["Location"])
    assert "1 of 4 have an outcome" in page
    batching.carry_on()
    assert set(OperationRequest.objects.values_list("reason", flat=True)) == {"maintenance"}
    version = re.search(r'id="batch_progress" data-version="(\w+)"', text(operator, answer["Location"]))
    assert version is not None
    items = re.search(r'id="batch_items" data-version="(\w+)"', text(operator, answer["Location"]))
    assert items is not None
    poll = f"{answer['Location']}?v=batch_progress.{version[1]},batch_items.{items[1]}"
    assert operator.get(poll, headers=HTMX).status_code == 204
    request = OperationRequest.objects.get(task__name="t0")
    OperationRequest.objects.filter(pk=request.pk).update(
        outcome=Outcome.FAILED, message="The disk is full.", settled_at=request.requested_at
    )
    batching.carry_on()
    changed = text(operator, poll, headers=HTMX)
    assert 'data-item="t0" data-state="failed"' in changed
    assert "The disk is full." in changed
    assert re.findall(r'data-item="(\w+)"', text(operator, f"{answer['Location']}?state=refused")) == ["idle"]
    Batch.objects.update(finished_at=request.requested_at)
    operator.post("/tasks/operations/pause/", sent)
    assert "This form was sent before. Nothing was asked for now" in text(operator, answer["Location"])
    assert "None stands there" not in text(operator, f"{answer['Location']}?state=nonsense")


def test_it_is_cancelled_and_what_failed_asked_for_again(operator: Client) -> None:
    running(3)
    sent = form_of(text(operator, "/tasks/operations/pause/?all=1")) | {"concurrency": "1"}
    path = operator.post("/tasks/operations/pause/", sent)["Location"]
    batching.carry_on()
    assert "Leave out the 2 that have not begun" in text(operator, path)
    operator.post(f"{path}cancel/")
    request = OperationRequest.objects.get()
    OperationRequest.objects.update(outcome=Outcome.SUCCEEDED, settled_at=request.requested_at)
    batching.carry_on()
    assert "Ask again for the 2 that failed, were refused or left out" in text(operator, path)
    link = re.search(r'id="batch-retry" href="([^"]*)"', text(operator, path))
    assert link is not None
    page = text(operator, link[1])
    assert "Pause: 2 of 2 tasks" in page
    again = operator.post("/tasks/operations/pause/", form_of(page))["Location"]
    assert text(operator, again).count("data-item=") == 2
    assert f'again for those of <a href="{path}">' in text(operator, again)
    page = text(operator, "/tasks/batches/")
    assert "1 succeeded, 2 not begun" in page
    version = re.search(r'id="batch_list" data-version="(\w+)"', page)
    assert version is not None
    poll = f"/tasks/batches/?v=batch_list.{version[1]}"
    assert operator.get(poll, headers=HTMX).status_code == 204
    batching.carry_on()
    assert 'id="batch_list"' in text(operator, poll, headers=HTMX)


def test_those_that_came_after_the_look_are_not_asked_for_unseen(operator: Client) -> None:
    [seen] = running(1)
    other = make_task("other", status=Status.STOPPED)
    sent = form_of(text(operator, "/tasks/operations/stop/?status=running&all=1")) | {"confirm": "1"}
    # As many as were seen, but not the same.
    Task.objects.filter(pk=seen.pk).update(status=Status.STOPPED)
    Task.objects.filter(pk=other.pk).update(status=Status.RUNNING)
    answer = operator.post("/tasks/operations/stop/", sent)
    assert answer.status_code == 409
    assert "No task here allows Stop now." in answer.content.decode()
    Task.objects.update(status=Status.RUNNING)
    operator.post("/tasks/operations/stop/", sent)
    assert list(BatchItem.objects.values_list("task_name", flat=True)) == ["t0"]


def test_one_that_was_to_be_refused_is_not_asked_for_when_it_allows_it_since(operator: Client) -> None:
    running(1)
    idle = make_task("idle", status=Status.STOPPED)
    gone = make_task("gone", status=Status.STOPPED)
    sent = form_of(text(operator, "/tasks/operations/pause/?all=1"))
    Task.objects.filter(pk=idle.pk).update(status=Status.RUNNING)
    gone.delete()
    operator.post("/tasks/operations/pause/", sent)
    assert list(BatchItem.objects.values_list("task_name", "state")) == [("t0", "waiting")]


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"task": "t1"},
        {"task": "99999999999999999999"},
        {"all": "1"},
        {"agreed": "one"},
        {"agreed": "1-99999999"},
        {"agreed": "3-1"},
        {"agreed": ""},
        {"again": "1"},
    ],
)
def test_a_form_that_names_nothing_readable_does_nothing(operator: Client, sent: dict[str, str]) -> None:
    running(3)
    answer = operator.post("/tasks/operations/pause/", {"key": "k", "concurrency": "10", **sent})
    assert answer.status_code == 422
    assert "No task is selected" in answer.content.decode()
    assert not Batch.objects.exists()
    assert "No task is selected" in text(operator, "/tasks/operations/pause/?task=t1")
    assert "No task is selected" in text(operator, "/tasks/operations/pause/?again=77")


def test_a_form_that_was_used_for_another_operation_is_told_so(operator: Client) -> None:
    running(1)
    sent = form_of(text(operator, "/tasks/operations/pause/?all=1"))
    operator.post("/tasks/operations/pause/", sent)
    answer = operator.post("/tasks/operations/stop/", sent | {"confirm": "1"})
    assert answer.status_code == 409
    assert "This form was used for Pause already. Open it anew." in answer.content.decode()


def test_what_is_asked_for_again_is_seen_and_agreed_to_first(operator: Client) -> None:
    """What was refused then may be running by now: no click may stop it unseen."""
    running(1)
    idle = make_task("idle", status=Status.INITIALIZE)
    sent = form_of(text(operator, "/tasks/operations/stop/?all=1"))
    path = operator.post("/tasks/operations/stop/", sent | {"confirm": "1", "concurrency": "3", "reason": "why"})
    Batch.objects.update(finished_at="2026-01-01T00:00Z")
    Task.objects.filter(pk=idle.pk).update(status=Status.RUNNING)
    page = text(operator, f"/tasks/operations/stop/?again={Batch.objects.get().pk}")
    assert "Stop: 1 of 1 task" in page
    assert 'name="concurrency" value="3"' in page
    assert 'value="why"' in page
    again = form_of(page)
    assert operator.post("/tasks/operations/stop/", again).status_code == 422
    assert operator.post("/tasks/operations/stop/", again | {"confirm": "1"})["Location"] != path["Location"]


def test_the_lists_query_chooses(operator: Client) -> None:
    running(3)
    make_task("loud", status=Status.RUNNING)
    make_task("t-paused", status=Status.PAUSED)
    page = text(operator, "/tasks/operations/pause/?q=t&status=running&all=1&selected=1&sort=name&page=4&group=local")
    assert "Pause: 3 of 3 tasks" in page
    assert "loud" not in page
    operator.post("/tasks/operations/pause/", form_of(page))
    assert list(BatchItem.objects.values_list("task_name", flat=True)) == ["t0", "t1", "t2"]


def test_a_reason_is_asked_for_where_the_console_says_so(operator: Client, settings: Any) -> None:
    settings.OPS_REASON_REQUIRED = frozenset({"pause"})
    [task] = running(1)
    sent = form_of(text(operator, "/tasks/operations/pause/?all=1"))
    assert operator.post("/tasks/operations/pause/", sent).status_code == 422
    assert operator.post(f"/tasks/{task.pk}/operations/pause/", {"reason": " "}).status_code == 422
    assert operator.post(f"/tasks/{task.pk}/operations/pause/", {"reason": "maintenance"}).status_code == 302


def test_only_those_who_may_are_let(viewer: Client) -> None:
    running(1)
    page = text(viewer, "/tasks/operations/pause/?all=1")
    assert "You may not pause tasks" in page
    boss = make_user("boss", "view_task", "operate_task")
    batch = Batch.objects.create(
        operation=Operation.PAUSE, actor=boss, actor_name="boss", key="k", created_at="2026-01-01T00:00Z"
    )
    assert viewer.get(batch.get_absolute_url()).status_code == 200
    assert viewer.post(f"{batch.get_absolute_url()}cancel/").status_code == 403
    assert viewer.get("/tasks/batches/999/").status_code == 404


def test_preview_and_progress_cost_the_same_for_many(operator: Client, django_assert_max_num_queries: Any) -> None:
    running(120)
    with django_assert_max_num_queries(12):
        page = text(operator, "/tasks/operations/pause/?all=1")
    path = operator.post("/tasks/operations/pause/", form_of(page))["Location"]
    assert BatchItem.objects.count() == 120
    with django_assert_max_num_queries(12):
        assert text(operator, path).count("data-item=") == 50
