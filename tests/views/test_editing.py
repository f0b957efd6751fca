"""A task is made, cloned, changed and exported in the console; the worker looks things up for whoever does it."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client
from django.utils import timezone

from tasks.models import Attempt, Lookup, Task, TaskTag
from tasks.statuses import Status
from tasks.submission import check_task, submit, write_task
from tasks.task_forms import ChangedMeanwhile, as_submitted, fingerprint, save_task
from tasks.views import editing
from tasks.worker import lookups
from tests.factories import make_connection, make_group, make_task, make_user
from tests.fakes import FakeEngine

pytestmark = pytest.mark.django_db


@pytest.fixture
def configurer(client: Client) -> Client:
    make_group()
    make_connection("shop")
    make_connection("warehouse")
    client.force_login(make_user("carla", "view_task", "add_task", "change_task"))
    return client


def fields(page: str) -> dict[str, Any]:
    """Return what the form of the step holds, as a browser would send it."""
    form = page[page.index('<form method="post" class="rule-form"') :]
    form = form[: form.index("</form>")]
    found: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and (' type="checkbox"' not in tag or " checked" in tag):
            found[name[1]] = unescape(value[1]) if value else ""
    for name, text in re.findall(r'<textarea name="([^"]*)"[^>]*>\n?([^<]*)</textarea>', form):
        found[name] = unescape(text).strip()
    for name, body in re.findall(r'<select name="([^"]*)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', body) or re.search(r'<option value="([^"]*)"', body)
        found[name] = chosen[1] if chosen else ""
    return found


def step(client: Client, path: str, page: str, act: str = "next", **values: Any) -> tuple[int, str]:
    answer = client.post(path, {**fields(page), act: "1", **values})
    return answer.status_code, answer.content.decode()


def walk(client: Client, path: str, page: str, **values: Any) -> str:
    """Go from the first step to the review."""
    _, page = step(client, path, page, **{"source": "shop", "source_object": "orders", **values})
    _, page = step(client, path, page, target="warehouse", target_object="copy")
    status, page = step(client, path, page, name="orders-copy", tags="nightly, eu", group_name="local")
    assert status == 200, page
    return page


def test_a_task_is_made_step_by_step_and_submitted(configurer: Client) -> None:
    path = "/tasks/new/"
    page = walk(configurer, path, configurer.get(path).content.decode(), cursor="id")
    assert "cursor: id" in page
    assert not Task.objects.exists()  # nothing is half written
    status, _ = step(configurer, path, page, "save")
    assert status == 302
    task = Task.objects.get()
    assert (task.name, task.status, task.source_options) == (
        "orders-copy",
        Status.INITIALIZE,
        {"read": "poll", "cursor": "id"},
    )
    assert sorted(task.tags.values_list("name", flat=True)) == ["eu", "nightly"]
    assert task.submitted_at is not None


def test_what_is_wrong_stays_in_its_step_and_back_loses_nothing(configurer: Client) -> None:
    path = "/tasks/new/"
    page = configurer.get(path).content.decode()
    status, page = step(configurer, path, page, source="shop", source_object="")
    assert status == 422
    assert "This field is required" in page
    _, page = step(configurer, path, page, source="shop", source_object="orders")
    assert 'class="problem"' not in page  # nobody has answered the second step yet
    _, third = step(configurer, path, page, target="warehouse", target_object="copy")
    assert 'class="problem"' not in third
    status, page = step(configurer, path, page, target="warehouse", target_object="copy", write_mode="upsert")
    assert status == 422
    assert "Upsert writes by key" in page
    assert re.search(r'name="key"[^>]* autofocus', page)
    assert 'aria-describedby="id_key_helptext id_key_error"' in page
    assert 'id="id_key_error"' in page
    assert re.findall(r'<li aria-current="step">([^<]*)', page) == ["Target"]
    _, page = step(configurer, path, page, "back", back="0")
    assert fields(page)["source_object"] == "orders"
    assert fields(page)["target_object"] == "copy"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (Status.STOPPED, ""),
        (Status.RUNNING, "orders is Running: only description, owner, tags can be changed now."),
        (Status.PAUSED, "orders is Paused: only description, dirty limit, exactly once, owner, restart limit"),
    ],
)
def test_what_can_not_be_changed_now_is_said_first(configurer: Client, status: Status, said: str) -> None:
    page = configurer.get(f"/tasks/{make_task('orders', status=status).pk}/edit/").content.decode()
    assert said in page
    assert ("can be changed now." in page) == bool(said)


def test_the_worker_looks_up_objects_columns_and_checks(configurer: Client) -> None:
    path = "/tasks/new/"
    page = configurer.get(path).content.decode()
    _, page = step(configurer, path, page, "look", source="shop", source_object="orders")
    assert page.count('data-answered="0"') == 2
    one = Lookup.objects.earliest("pk")
    poll = f"/lookups/{one.pk}/"
    assert configurer.get(poll, headers={"HX-Request": "true"}).status_code == 204
    lookups.answer_lookups(lambda kind: FakeEngine())
    answers = [configurer.get(f"/lookups/{it.pk}/").content.decode() for it in Lookup.objects.order_by("pk")]
    assert "customers" in answers[0]
    assert "Its key is id." in answers[1]
    page = walk(configurer, path, configurer.get(path).content.decode())
    lookups.answer_lookups(lambda kind: FakeEngine())
    check = Lookup.objects.latest("pk")
    assert (check.kind, check.found, check.problem) == ("check", [], "")
    assert "can be used" in configurer.get(f"/lookups/{check.pk}/").content.decode()


def test_an_engine_that_does_not_answer_is_said(configurer: Client) -> None:
    engine = FakeEngine()
    engine.reachable = False
    page = configurer.get("/tasks/new/").content.decode()
    step(configurer, "/tasks/new/", page, "look", source="shop")
    lookups.answer_lookups(lambda kind: engine)
    assert Lookup.objects.get().problem == "The fake engine does not answer."


def test_one_look_up_that_nobody_thought_of_does_not_hold_up_the_others(configurer: Client) -> None:
    class Odd(FakeEngine):
        def look_up(self, connection: Any, object_name: str) -> Any:
            if connection.name == "warehouse":
                raise KeyError("nobody thought of this")
            return replace(super().look_up(connection, object_name), objects=("a\0b",))

    user = make_user("vera")
    for name in ("warehouse", "shop"):
        Lookup.objects.create(user=user, kind="objects", asked={"connection": name}, asked_at=timezone.now())
    lookups.answer_lookups(lambda kind: Odd())
    first, second = Lookup.objects.order_by("pk")
    assert "its log says why" in first.problem
    assert second.found == ["a\N{REPLACEMENT CHARACTER}b"]


def test_a_look_up_is_its_askers_alone(configurer: Client, client: Client) -> None:
    page = configurer.get("/tasks/new/").content.decode()
    step(configurer, "/tasks/new/", page, "look", source="shop")
    client.force_login(make_user("vera", "view_task"))
    assert client.get(f"/lookups/{Lookup.objects.get().pk}/").status_code == 404


def test_a_task_is_cloned(configurer: Client) -> None:
    like = make_task("orders", source_object="things", snapshot_interval=77)
    TaskTag.objects.create(task=like, name="nightly")
    path = f"/tasks/new/?clone={like.pk}"
    page = configurer.get(path).content.decode()
    assert fields(page) | {"name": "orders-copy", "source_object": "things", "snapshot_interval": "77"} == fields(page)
    page = walk(configurer, path, page, source_object="things")
    step(configurer, path, page, "save")
    assert Task.objects.get(name="orders-copy").snapshot_interval == 77


def test_a_task_is_changed_while_it_is_not_running(configurer: Client) -> None:
    task = make_task("orders")
    path = f"/tasks/{task.pk}/edit/"
    page = configurer.get(path).content.decode()
    for _ in range(3):
        status, page = step(configurer, path, page, snapshot_interval="9")
        assert status == 200, page
    assert step(configurer, path, page, "save")[0] == 302
    task.refresh_from_db()
    assert task.snapshot_interval == 9
    Task.objects.update(status=Status.RUNNING)
    page = configurer.get(path).content.decode()
    for _ in range(3):
        status, page = step(configurer, path, page, snapshot_interval="10")
    assert status == 422
    assert "orders is Running and can&#x27;t be changed; Pause or Stop it first." in page


def edited(client: Client, task: Task, **values: Any) -> tuple[int, str]:
    """Open the task's form and go on to its review."""
    path = f"/tasks/{task.pk}/edit/"
    page = client.get(path).content.decode()
    for _ in range(3):
        status, page = step(client, path, page, **values)
    return status, page


#: Each that a file may say of a source, by the source's kind.
OPTIONS: Any = [
    ("sqlite", {"read": "poll", "cursor": "id", "event_time": "at"}),
    (
        "postgresql",
        {"read": "poll", "cursor": "id", "tie": "b", "settle": 2.0, "settle_limit": 9.0, "event_time": "at"},
    ),
    ("file", {"format": "csv", "columns": ["a", "b"], "event_time": "at"}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIONS)
def test_what_a_file_can_say_of_a_source_is_kept_by_edit_and_clone(
    configurer: Client, kind: str, options: dict[str, Any]
) -> None:
    make_connection("from", kind=kind)
    task = make_task("orders", source_connection_id="from", source_object="orders.csv", source_options=options)
    task.source_object = task.source_object if kind == "file" else "orders"
    task.save(update_fields=["source_object"])
    _, page = edited(configurer, task, description="new")
    step(configurer, f"/tasks/{task.pk}/edit/", page, "save")
    task.refresh_from_db()
    assert (task.description, task.source_options) == ("new", options)
    path = f"/tasks/new/?clone={task.pk}"
    page = configurer.get(path).content.decode()
    for _ in range(3):
        _, page = step(configurer, path, page)
    step(configurer, path, page, "save")
    assert Task.objects.get(name="orders-copy").source_options == options


def test_what_nothing_that_runs_knows_of_may_change_while_it_runs(configurer: Client) -> None:
    task = make_task("orders", status=Status.RUNNING, source_options={"read": "poll", "event_time": "at"})
    status, page = edited(configurer, task, description="new")
    assert status == 200
    assert step(configurer, f"/tasks/{task.pk}/edit/", page, "save")[0] == 302


def test_what_somebody_else_saved_meanwhile_is_not_written_over_unseen(configurer: Client) -> None:
    task = make_task("orders", dirty_limit=100)
    path = f"/tasks/{task.pk}/edit/"
    page = configurer.get(path).content.decode()
    for _ in range(2):
        _, page = step(configurer, path, page, snapshot_interval="9")
        Task.objects.filter(pk=task.pk).update(dirty_limit=5)
    _, page = step(configurer, path, page, "back", back="1")  # where nothing is said of it
    _, page = step(configurer, path, page)
    status, page = step(configurer, path, page)
    assert status == 422
    assert "Somebody has changed orders since you opened it. Yours differs from it in " in page
    status, page = step(configurer, path, page)  # read, and gone on
    assert status == 200
    Task.objects.filter(pk=task.pk).update(dirty_limit=6)
    status, page = step(configurer, path, page, "save")
    assert status == 422
    Task.objects.filter(pk=task.pk).update(rows_read=5, status_reason="new", lag_seconds=3)  # no business of the form
    for act, expected in (("next", 200), ("save", 302)):
        status, page = step(configurer, path, page, act)
        assert status == expected
    task.refresh_from_db()
    assert (task.snapshot_interval, task.dirty_limit) == (9, 100)


def test_what_changes_between_the_check_and_the_writing_is_seen_under_the_lock(configurer: Client) -> None:
    task = make_task("orders")
    plan, _ = check_task({**as_submitted(task), "dirty_limit": 7})
    seen = fingerprint(task)
    Task.objects.filter(pk=task.pk).update(description="hers")
    with pytest.raises(ChangedMeanwhile):
        save_task(task, plan, "olga", seen=seen)
    task = Task.objects.get()
    Task.objects.update(status=Status.RUNNING)
    with pytest.raises(ChangedMeanwhile):
        save_task(task, plan, "olga")
    assert Task.objects.get().dirty_limit == 100


def test_a_new_task_never_writes_over_one_that_came_meanwhile(
    configurer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/tasks/new/"
    page = walk(configurer, path, configurer.get(path).content.decode())

    def late(plan: Any, change: Any, actor: str) -> None:
        make_task("orders-copy", status=Status.RUNNING, target_object="precious")
        write_task(plan, change, actor)

    monkeypatch.setattr(editing, "write_task", late)
    status, page = step(configurer, path, page, "save")
    assert status == 409
    assert "Somebody submitted a task orders-copy just now." in page
    assert not Task.objects.filter(target_object="copy").exists()


def test_a_name_that_is_taken_is_refused(configurer: Client) -> None:
    make_task("orders-copy")
    path = "/tasks/new/"
    page = configurer.get(path).content.decode()
    _, page = step(configurer, path, page, source="shop", source_object="orders")
    _, page = step(configurer, path, page, target="warehouse", target_object="copy")
    status, page = step(configurer, path, page, name="orders-copy", group_name="local")
    assert status == 422
    assert "already exists" in page


def test_the_export_is_what_submit_takes(configurer: Client, tmp_path: Path) -> None:
    task = make_task("orders", target_key=["id"], write_mode="upsert", dirty_limit=7, source_options={"read": "poll"})
    TaskTag.objects.create(task=task, name="nightly")
    answer = configurer.get(f"/tasks/{task.pk}/task.yaml")
    text = answer.content.decode()
    assert yaml.safe_load(text)["tasks"][0]["dirty_limit"] == 7
    _, changes = submit(text, actor_name="test", base=tmp_path)
    assert [change.what for change in changes] == ["unchanged"]


def test_the_configuration_tells_what_the_running_attempt_uses_instead(configurer: Client) -> None:
    task = make_task("orders", status=Status.RUNNING, snapshot_interval=9)
    Attempt.objects.create(
        run=task.run, epoch=1, cause="run", started_at=task.status_since, settings={"snapshot_interval": 5}
    )
    page = configurer.get(f"/tasks/{task.pk}/configuration/").content.decode()
    assert 'data-differs="1"' in page
    assert "in use, 9 from its next start on" in page
    Attempt.objects.update(ended_at=task.status_since)
    page = configurer.get(f"/tasks/{task.pk}/configuration/").content.decode()
    assert "Attempt 1 ran with other settings" in page
    assert "then, 9 from its next start on" in page


@pytest.mark.parametrize("path", ["/tasks/new/", "/tasks/{}/edit/"])
def test_it_is_for_those_who_may(operator: Client, path: str) -> None:
    task = make_task("orders")
    assert operator.get(path.format(task.pk)).status_code == 403
    assert operator.get(f"/tasks/{task.pk}/task.yaml").status_code == 200


@pytest.mark.parametrize("sent", [{"step": "9"}, {"step": "x"}, {"step": "-1"}, {"save": "1", "step": "0"}, {}])
def test_odd_steps_write_nothing(configurer: Client, sent: dict[str, str]) -> None:
    assert configurer.post("/tasks/new/", sent).status_code in (200, 422)
    assert not Task.objects.exists()
