"""A poll is let pass by what was found a moment ago; nothing else is, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as configured
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tasks import sign_in
from tasks.models import Task
from tasks.statuses import Status
from tasks.views import versions as versions_module
from tasks.views.htmx import version_of
from tests.factories import make_task, make_user
from tests.views.test_list import HTMX, text, versions

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def remembering(settings: Any) -> Iterator[None]:
    settings.CACHES = {name: {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"} for name in configured.CACHES}
    yield
    cache.clear()


@pytest.fixture
def poll(operator: Client) -> str:
    make_task("orders", status=Status.RUNNING)
    return f"/tasks/rows/?v={versions(text(operator.get('/tasks/')))}"


@pytest.mark.parametrize(("fresh", "cost"), [(60, 0), (0, 2)])
def test_an_unchanged_poll_costs_two_queries_whoever_asks_and_less_when_others_asked(
    operator: Client, poll: str, monkeypatch: pytest.MonkeyPatch, fresh: int, cost: int
) -> None:
    monkeypatch.setattr(versions_module, "FRESH", fresh)
    operator.get(poll, headers=HTMX)
    with CaptureQueriesContext(connection) as queries:
        assert operator.get(poll, headers=HTMX).status_code == 204
    assert len(queries) == cost


def test_nothing_else_is_let_pass_without_asking(operator: Client, poll: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operator.get(poll, headers=HTMX)
    task = Task.objects.get()
    operator.session.flush()  # as if it had ended: the browser does not know yet
    assert operator.get(poll, headers=HTMX).status_code == 204
    # What changed is rendered by the rights that there were, without a question whose they are.
    Task.objects.update(rows_read=5)
    monkeypatch.setattr(versions_module, "FRESH", 0)
    cache.delete(f"versions:{version_of([task.pk])}")
    changed = text(operator.get(poll, headers=HTMX))
    assert 'data-value="5"' in changed
    assert "You may not pause tasks" not in changed
    for path in ("/tasks/", f"/tasks/{task.pk}/", "/pulse/", "/palette/", f"/tasks/{task.pk}/live/"):
        assert operator.get(path).status_code == 302, path
    assert operator.post(f"/tasks/{task.pk}/operations/pause/").status_code == 302


def test_nobody_is_let_pass_who_may_not_see_tasks_or_is_not_signed_in(client: Client, poll: str) -> None:
    client.logout()
    for _ in range(2):
        assert client.get(poll, headers=HTMX).status_code == 302
    client.force_login(make_user("nobody"))
    for _ in range(2):
        assert client.get(poll, headers=HTMX).status_code == 403


def test_what_is_remembered_is_read_once_a_request(
    operator: Client, poll: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could be forgotten after the sign-in was spared, and the poll be refused."""
    operator.get(poll, headers=HTMX)
    operator.session.flush()
    rights = iter([frozenset({"tasks.view_task"})])
    monkeypatch.setattr(sign_in, "cache", SimpleNamespace(get=lambda name: next(rights, None)))
    assert "You may not pause tasks" in text(operator.get(poll, headers=HTMX))


def test_it_is_forgotten_after_some_seconds(operator: Client, poll: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "REMEMBERED", 0)  # at once
    operator.get(poll, headers=HTMX)
    operator.session.flush()
    assert operator.get(poll, headers=HTMX).status_code == 302


def test_what_is_new_costs_the_rows_and_no_question_who_asks(
    operator: Client, poll: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions_module, "FRESH", 0)
    operator.get(poll, headers=HTMX)
    Task.objects.update(rows_read=5)
    with CaptureQueriesContext(connection) as queries:
        assert 'data-value="5"' in text(operator.get(poll, headers=HTMX))
    asked = [query["sql"] for query in queries]
    assert not [sql for sql in asked if "session" in sql or "auth_permission" in sql], asked


def test_a_right_that_was_lost_or_granted_shows_without_a_change_of_the_task(
    operator: Client, poll: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.get(poll, headers=HTMX)
    user = get_user_model().objects.get(username="olga")
    rights = list(user.user_permissions.all())
    user.user_permissions.set([right for right in rights if right.codename == "view_task"])
    assert operator.get(poll, headers=HTMX).status_code == 204  # it is remembered yet
    cache.clear()
    shown = text(operator.get(poll, headers=HTMX))
    assert "You may not pause tasks" in shown
    poll = f"/tasks/rows/?v={versions(shown)}"
    assert operator.get(poll, headers=HTMX).status_code == 204
    user.user_permissions.set(rights)
    cache.clear()
    assert "You may not pause tasks" not in text(operator.get(poll, headers=HTMX))


def test_who_may_do_less_is_shown_less(operator: Client, poll: str) -> None:
    viewer = Client()
    viewer.force_login(make_user("vera", "view_task"))
    Task.objects.update(rows_read=5)
    for client, refused in ((operator, False), (viewer, True)) * 2:
        assert ("You may not pause tasks" in text(client.get(poll, headers=HTMX))) is refused
