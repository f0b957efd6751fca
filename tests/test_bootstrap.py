"""What a new console gets, once: roles, the user admin, the demo; and prune, which keeps the rest bounded."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.utils import timezone

from tasks import demo
from tasks.models import OperationRequest, StatusChange, Task
from tasks.operations import SYSTEM, OperationRefused, accept
from tasks.statuses import Channel, Operation, Status
from tests.factories import make_task

pytestmark = pytest.mark.django_db


def said(command: str, *words: str) -> str:
    out = StringIO()
    call_command(command, *words, stdout=out)
    return out.getvalue()


def test_roles_and_admin_are_made_once_and_the_password_is_shown_once(settings: Any, tmp_path: Path) -> None:
    settings.OPS_DATA_DIR, settings.OPS_DEMO, settings.OPS_ADMIN_PASSWORD = tmp_path, False, ""
    first = said("bootstrap")
    password = first.partition("password: ")[2].split()[0]
    assert get_user_model().objects.get(username="admin").check_password(password)
    assert said("bootstrap") == ""
    operators = Group.objects.get(name="Operators").permissions.values_list("codename", flat=True)
    assert set(operators) == {"view_task", "operate_task", "stop_task"}
    assert "delete_resourcegroup" in Group.objects.get(name="Configurers").permissions.values_list(
        "codename", flat=True
    )


def test_a_changed_admin_password_is_taken_over(settings: Any, tmp_path: Path) -> None:
    settings.OPS_DATA_DIR, settings.OPS_DEMO = tmp_path, False
    for password in ("first-harbour", "second-harbour"):
        settings.OPS_ADMIN_PASSWORD = password
        assert password not in said("bootstrap")
        assert get_user_model().objects.get(username="admin").check_password(password)


def test_the_demo_is_made_once_and_its_sources_grow(settings: Any, tmp_path: Path) -> None:
    settings.OPS_DATA_DIR, settings.OPS_DEMO = tmp_path, True
    assert "9 tasks" in said("bootstrap")
    assert Task.objects.submitted().count() == 9
    assert "demo" not in said("bootstrap")
    before = (tmp_path / "demo" / "drop" / "events.jsonl").stat().st_size
    turns = iter([False, False, True])
    demo.play(lambda seconds: next(turns))
    assert (tmp_path / "demo" / "drop" / "events.jsonl").stat().st_size > before
    assert Task.objects.filter(status=Status.OPERATING).count() == 8
    assert set(OperationRequest.objects.values_list("actor_name", "operation")) == {("demo", "run")}


def test_a_console_with_tasks_gets_no_demo(settings: Any, tmp_path: Path) -> None:
    settings.OPS_DATA_DIR, settings.OPS_DEMO = tmp_path, True
    make_task("own")
    said("bootstrap")
    assert Task.objects.count() == 1


def test_prune_keeps_what_is_open_and_each_tasks_last_change() -> None:
    task = make_task("orders")
    long_ago = timezone.now() - timedelta(days=400)
    for _ in range(3):
        StatusChange.objects.create(task=task, at=long_ago, to_status="initialize", actor_name="x")
    with pytest.raises(OperationRefused):
        accept(task_id=task.pk, operation=Operation.PAUSE, actor=SYSTEM, channel=Channel.CLI)
    OperationRequest.objects.update(settled_at=long_ago, counted=True)
    accept(task_id=task.pk, operation=Operation.RUN, actor=SYSTEM, channel=Channel.CLI)
    StatusChange.objects.update(at=long_ago)
    out = said("prune", "--days", "90")
    assert "3 status changes deleted" in out
    assert "1 requests deleted" in out
    assert StatusChange.objects.get().to_status == Status.OPERATING
    assert OperationRequest.objects.get().operation == Operation.RUN
