"""The task list: its hooks, its filters, and what it costs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.cache import cache, caches
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tasks.models import Connection, OperationRequest, ResourceGroup, SavedView, Task, TaskTag
from tasks.statuses import Status
from tasks.urls import urlpatterns
from tasks.views.preferences import COLUMNS
from tests.factories import make_snapshot, make_task, make_user

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


def text(response: Any) -> str:
    return str(response.content.decode())


def names(page: str) -> list[str]:
    return re.findall(r'data-task="([^"]*)"', page)


def versions(page: str) -> str:
    return ",".join(f"{n}.{v}" for n, v in re.findall(r'<tr id="(task-\d+)"[^>]* data-version="(\w+)"', page))


def test_a_row_carries_the_hooks_that_scripts_rely_on(operator: Client) -> None:
    task = make_task("orders", status=Status.PAUSED, paused_how="forced", rows_written=1_234_567)
    page = text(operator.get("/tasks/"))
    assert f'<tr id="task-{task.pk}" data-task="orders" data-status="paused" data-paused="forced"' in page
    assert '<span data-field="rows_written" data-value="1234567">1,234,567</span>' in page
    refused = re.search(r'<button[^>]* data-operation="pause"[^>]*>', page)
    assert refused is not None
    assert 'aria-disabled="true" data-refused="not_allowed"' in refused.group()
    assert "Pause is for tasks in status Running; this one is Paused. It is paused already." in page
    allowed = re.search(r'<button[^>]* data-operation="stop"[^>]*>', page)
    assert allowed is not None
    assert "aria-disabled" not in allowed.group()


@pytest.mark.parametrize("status", list(Status))
def test_each_status_is_shown_by_its_name(operator: Client, status: Status) -> None:
    make_task("orders", status=status)
    page = text(operator.get("/tasks/"))
    assert f'data-status="{status}"' in page
    assert ('data-operation="detect"' in page) == (status is Status.DETECTION_EXCEPTION)


def test_drafts_are_not_shown(operator: Client) -> None:
    make_task("draft", submitted_at=None)
    assert "No task is submitted yet" in text(operator.get("/tasks/"))


def test_the_query_filters_and_sorts(operator: Client) -> None:
    make_task("a-orders", status=Status.RUNNING, rows_written=5)
    make_task("b-events", status=Status.FAILURE, source_object="events", rows_written=9, write_mode="upsert")
    make_task("c-orders", group_id="big", rows_written=7, owner=make_user("otto"))

    def listed(query: str) -> list[str]:
        return names(text(operator.get(f"/tasks/?{query}")))

    assert listed("status=running&status=failure") == ["a-orders", "b-events"]
    assert listed("q=EVENT") == ["b-events"]
    assert listed("q=shop") == ["a-orders", "b-events", "c-orders"]
    assert listed("group=big") == listed("owner=otto") == ["c-orders"]
    assert listed("mode=upsert") == ["b-events"]
    assert listed("source_kind=sqlite&target_kind=sqlite&owner=otto") == ["c-orders"]
    TaskTag.objects.create(task=Task.objects.get(name="b-events"), name="eu")
    for nobody in ("source_kind=file", "owner=gone", "group=gone", "tag=gone"):
        assert listed(nobody) == []
    assert listed("attention=1") == ["b-events"]
    TaskTag.objects.create(task=Task.objects.get(name="a-orders"), name="nightly")
    assert listed("tag=nightly") == ["a-orders"]
    assert listed("source=shop&target=warehouse&q=c-") == ["c-orders"]
    assert listed("sort=-rows_written") == ["b-events", "c-orders", "a-orders"]
    assert "No task matches" in text(operator.get("/tasks/?q=nothing"))


@pytest.mark.parametrize(
    "query",
    [
        "page=abc",
        "page=-1",
        "page=99999999999999",
        "sort=evil",
        "sort=-password",
        "status=resting",
        "q=" + "x" * 5000,
        "q=%00",
        "q=%25%27%22%3Cscript%3E",
        "group=%F0%9F%92%A9",
        "v=1",
    ],
)
def test_a_hostile_query_is_a_page_like_any_other(operator: Client, query: str) -> None:
    make_task("orders")
    response = operator.get(f"/tasks/?{query}")
    assert response.status_code == 200
    assert "<script>" not in text(response)


def test_each_question_offers_its_values_with_their_counts(operator: Client) -> None:
    for n in range(3):
        TaskTag.objects.create(task=make_task(f"a{n}", status=Status.RUNNING), name="nightly")
    make_task("b", group_id="big", write_mode="upsert", owner=make_user("otto"))

    def offered(query: str, question: str) -> list[str]:
        page = text(operator.get(f"/tasks/?{query}"))
        found = re.search(rf'<select name="{question}".*?</select>', page, re.S)
        return re.findall(r"<option value=\"[^\"]+\" ?(?:selected)?>([^<]*)</option>", found.group()) if found else []

    assert offered("", "group") == ["big (1)", "local (3)"]
    assert offered("", "owner") == ["otto (1)"]
    assert offered("", "source_kind") == ["SQLite (4)"]
    assert offered("", "mode") == ["Append (3)", "Upsert (1)"]
    assert offered("", "tag") == ["nightly (3)"]
    assert offered("status=running", "group") == ["local (3)"]
    assert offered("group=big", "group") == ["big (1)", "local (3)"]  # the others can still be chosen
    assert offered("group=big", "mode") == ["Upsert (1)"]
    assert offered("group=gone", "group") == ["big (1)", "gone (0)", "local (3)"]


def test_other_tasks_on_the_page_are_announced_and_not_forced_in(operator: Client) -> None:
    make_task("b")
    page = text(operator.get("/tasks/"))
    shown = ",".join(f"{name}.{version}" for name, version in re.findall(r'id="(\w+)"[^>]*data-version="(\w+)"', page))
    assert "list_news.0" in shown
    assert operator.get(f"/tasks/rows/?v={shown}", headers=HTMX).status_code == 204
    make_task("a")
    answer = text(operator.get(f"/tasks/rows/?v={shown}", headers=HTMX))
    assert "Other tasks belong on this page now" in answer
    assert 'data-value="2"' in answer


def test_columns_and_density_are_kept_for_each_person(operator: Client) -> None:
    make_task("orders")
    sent = {"column": ["source", "target", "last"], "density": "compact", "next": "/tasks/?q=o"}
    assert operator.post("/tasks/preferences/", sent)["Location"] == "/tasks/?q=o"
    page = text(operator.get("/tasks/"))
    assert 'class="list-frame compact without-rows without-lag"' in page
    operator.post("/tasks/preferences/", {"column": list(COLUMNS), "density": "nonsense"})
    assert 'class="list-frame comfortable"' in text(operator.get("/tasks/"))


def test_views_are_saved_shared_and_deleted_by_their_owner(operator: Client) -> None:
    sent = {"name": "Broken", "query": "status=failure&evil=1&page=9", "shared": "1"}
    assert operator.post("/tasks/views/", sent)["Location"] == "/tasks/?status=failure"
    assert '<a class="chip" href="/tasks/?status=failure"' in text(operator.get("/tasks/"))
    operator.post("/tasks/views/", {"name": "Broken", "query": "q=x"})  # the same name again replaces it
    view = SavedView.objects.get()
    assert (view.query, view.shared) == ("q=x", False)
    assert "name: give the view a name" in text(operator.post("/tasks/views/", {"name": " "}, follow=True))
    others = [make_user(f"other-{n}") for n in range(30)]
    SavedView.objects.bulk_create(SavedView(user=others[n % 30], name=f"A {n:03}", shared=True) for n in range(600))
    assert ">Broken</a>" in text(operator.get("/tasks/"))  # others' do not crowd out one's own
    SavedView.objects.exclude(pk=view.pk).delete()
    SavedView.objects.update(shared=True)
    operator.force_login(make_user("vera", "view_task"))
    assert "Broken" in text(operator.get("/tasks/"))
    operator.post(f"/tasks/views/{view.pk}/delete/")
    assert SavedView.objects.count() == 1  # it is not hers
    operator.post("/tasks/views/", {"name": "For all", "shared": "1"})
    assert not SavedView.objects.filter(name="For all", shared=True).exists()  # that is for who operates
    operator.force_login(make_user("root", is_superuser=True))
    assert "Delete view Broken of olga" in text(operator.get("/tasks/"))
    operator.post(f"/tasks/views/{view.pk}/delete/")
    assert not SavedView.objects.filter(pk=view.pk).exists()


def test_what_is_rendered_for_one_is_not_shown_to_who_may_do_less(operator: Client, settings: Any) -> None:
    settings.CACHES = {name: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"} for name in configured.CACHES}
    make_task("orders", status=Status.RUNNING)
    viewer = Client()
    viewer.force_login(make_user("vera", "view_task"))
    seen = [versions(text(client.get("/tasks/"))) for client in (operator, viewer)]
    Task.objects.update(rows_read=5)
    rows = [
        text(client.get(f"/tasks/rows/?v={shown}", headers=HTMX))
        for client, shown in zip((operator, viewer), seen, strict=True)
    ]
    assert ["You may not pause tasks" in row for row in rows] == [False, True]
    for cached in caches.all():
        cached.clear()


def test_counts_are_kept_for_some_seconds(operator: Client, settings: Any) -> None:
    settings.CACHES = {
        **settings.CACHES,
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "counts"},
    }
    cache.clear()
    make_task("a")
    assert 'data-count="initialize" data-value="1"' in text(operator.get("/tasks/"))
    make_task("b")
    page = text(operator.get("/tasks/"))
    assert 'data-count="initialize" data-value="1"' in page
    assert names(page) == ["a", "b"]  # the rows are as they are
    with CaptureQueriesContext(connection) as queries:
        operator.get("/tasks/")
    assert len(queries) <= 12


def test_a_task_of_a_deleted_group_stays_in_the_list_and_in_its_filter(operator: Client) -> None:
    make_task("orders")
    ResourceGroup.objects.all().delete()
    Connection.objects.all().delete()
    assert names(text(operator.get("/tasks/"))) == ["orders"]
    assert names(text(operator.get("/tasks/?group=local&source=shop"))) == ["orders"]


def test_a_poll_answers_only_what_changed(operator: Client) -> None:
    first, second = make_task("a"), make_task("b")
    seen = versions(text(operator.get("/tasks/")))
    assert operator.get(f"/tasks/rows/?v={seen}", headers=HTMX).status_code == 204
    Task.objects.filter(pk=second.pk).update(rows_written=5)
    page = text(operator.get(f"/tasks/rows/?v={seen}", headers=HTMX))
    assert names(page) == ["b"]
    assert 'hx-swap-oob="true"' in page
    Task.objects.filter(pk=first.pk).delete()
    page = text(operator.get(f"/tasks/rows/?v={seen}", headers=HTMX))
    assert f'<tr id="task-{first.pk}" class="gone" hx-swap-oob="true">' in page  # announced: nothing jumps


@pytest.mark.parametrize("v", ["", "task-1", "task-x.1", "task-" + "9" * 40 + ".a", ",,,", "a.b,c.d", "task-1.%00"])
def test_a_hostile_poll_is_answered(operator: Client, v: str) -> None:
    assert operator.get(f"/tasks/rows/?v={v}", headers=HTMX).status_code in (200, 204)


def test_the_list_costs_the_same_queries_however_long(operator: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert operator.get("/tasks/").status_code == 200
        return len(captured)

    def poll() -> int:
        seen = versions(text(operator.get("/tasks/")))
        with CaptureQueriesContext(connection) as captured:
            operator.get(f"/tasks/rows/?v={seen}", headers=HTMX)
        return len(captured)

    for _ in range(5):
        make_snapshot(make_task(status=Status.RUNNING))
    few = queries(), poll()
    for n in range(45):
        make_snapshot(make_task(status=Status.RUNNING, group_id=f"group-{n % 5}", source_connection_id=f"c-{n % 7}"))
    assert (queries(), poll()) == few


def test_names_are_escaped(operator: Client) -> None:
    make_task("orders", source_object="<b>x</b>", fault_cause="<script>alert(1)</script>", status=Status.FAILURE)
    page = text(operator.get("/tasks/"))
    assert "<b>x</b>" not in page
    assert "<script>alert" not in page


#: Of anybody: whether the console lives, and what each page polls.
_OPEN = {"healthz", "readyz"}


def addresses_of(task: Task) -> list[str]:
    """One address for each pattern that the console has."""
    fill = {"task_id": task.pk, "operation": "pause", "form": "csv", "act": "acknowledge"}
    found = []
    for pattern in urlpatterns:
        needed = pattern.pattern.regex.groupindex if pattern.name == "audit_file" else pattern.pattern.converters
        found.append(reverse(f"tasks:{pattern.name}", kwargs={name: fill.get(name, 1) for name in needed}))
    return [address for address in found if address.strip("/") not in _OPEN]


def test_every_page_wants_a_sign_in_and_the_right_to_see(client: Client) -> None:
    addresses = addresses_of(make_task("orders", status=Status.RUNNING))
    assert len(addresses) > 40
    for method in (client.get, client.post):
        for address in addresses:
            response = method(address)
            assert (response.status_code, response.headers["Location"].partition("?")[0]) == (302, "/accounts/login/")
    client.force_login(make_user("nobody"))
    for method in (client.get, client.post):
        for address in addresses:
            response = method(address)
            if address == "/pulse/" or response.status_code == 405:
                assert not response.content.strip(), address
                continue
            assert response.status_code == 403, address
            assert "Ask an administrator" in text(response)
    assert not OperationRequest.objects.exists()


def test_the_content_security_policy_is_strict(operator: Client) -> None:
    policy = operator.get("/tasks/").headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_healthz_and_readyz_need_no_sign_in(client: Client) -> None:
    assert client.get("/healthz").content == b"ok"
    response = client.get("/readyz")
    assert (response.status_code, response.json()["ready"]) == (503, False)
    assert "No worker answers" in response.json()["problem"]


def test_a_shared_answer_never_takes_back_what_somebody_just_did(operator: Client, settings: Any) -> None:
    memory = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "shared"}
    settings.CACHES = {"default": memory, "answers": memory}
    task = make_task("orders", status=Status.RUNNING)
    before = text(operator.get(f"/tasks/rows/?v=task-{task.pk}.0"))  # another page's poll: its answer is shared
    assert 'data-status="running"' in before
    row = text(operator.post(f"/tasks/{task.pk}/operations/pause/", headers={"hx-request": "true"}))
    assert 'data-status="operating"' in row
    version = re.findall(r'data-version="(\w+)"', row)[0]
    answer = operator.get(f"/tasks/rows/?v=task-{task.pk}.{version}", headers={"hx-request": "true"})
    assert answer.status_code == 204, text(answer)
