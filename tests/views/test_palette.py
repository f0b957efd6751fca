"""ctrl-k: finds pages, tasks and what a task allows."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tasks.models import Task
from tasks.statuses import Status
from tests.factories import make_snapshot, make_task, make_user

pytestmark = pytest.mark.django_db


def found(client: Client, asked: str) -> list[str]:
    return [item["label"] for item in client.get("/palette/", {"q": asked}).json()["items"]]


def test_it_finds_pages_tasks_and_what_they_allow(operator: Client, django_assert_max_num_queries: Any) -> None:
    make_snapshot(make_task("orders", status=Status.PAUSED))
    make_task("orders-copy", status=Status.RUNNING)
    make_task("tasks-of-old")
    assert found(operator, "ORD") == ["orders", "orders-copy"]
    assert found(operator, "task") == ["Tasks", "tasks-of-old"]
    assert found(operator, "pause") == ["Pause orders-copy"]
    assert found(operator, "forced pause ord") == ["Forced pause orders-copy"]
    assert found(operator, "continue") == ["Continue orders"]
    assert found(operator, "run orders") == []
    assert found(operator, "") == []
    Task.objects.update(status=Status.STOPPED, paused_how="")
    with django_assert_max_num_queries(9):
        assert len(found(operator, "run")) == 3


@pytest.mark.parametrize("asked", ["\0", "%", "' OR 1=1", "x" * 5000, "pause \0"])
def test_whatever_is_typed_is_answered(operator: Client, asked: str) -> None:
    assert operator.get("/palette/", {"q": asked}).status_code == 200


def test_it_offers_nothing_that_one_may_not_do(client: Client) -> None:
    make_task("orders", status=Status.RUNNING)
    client.force_login(make_user("vera", "view_task"))
    assert found(client, "pause") == []
    client.force_login(make_user("nobody"))
    assert client.get("/palette/").status_code == 403
