"""A task is made, cloned, changed and exported in the console; the worker looks things up for whoever does it."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client

from tasks.models import Attempt, Lookup, Task, TaskTag
from tasks.statuses import Status
from tasks.submission import submit
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
    _, page = step(configurer, path, page, target="warehouse", target_object="copy", write_mode="upsert")
    status, page = step(configurer, path, page, name="a", group_name="local")
    assert status == 422
    assert "Upsert writes by key" in page
    assert 'aria-current="step"' in page[page.index("<li >Source") if "<li >Source" in page else 0 :]
    _, page = step(configurer, path, page, "back", back="0")
    assert fields(page)["source_object"] == "orders"
    assert fields(page)["target_object"] == "copy"


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


@pytest.mark.parametrize("path", ["/tasks/new/", "/tasks/{}/edit/"])
def test_it_is_for_those_who_may(operator: Client, path: str) -> None:
    task = make_task("orders")
    assert operator.get(path.format(task.pk)).status_code == 403
    assert operator.get(f"/tasks/{task.pk}/task.yaml").status_code == 200


@pytest.mark.parametrize("sent", [{"step": "9"}, {"step": "x"}, {"step": "-1"}, {"save": "1", "step": "0"}, {}])
def test_odd_steps_write_nothing(configurer: Client, sent: dict[str, str]) -> None:
    assert configurer.post("/tasks/new/", sent).status_code in (200, 422)
    assert not Task.objects.exists()
