"""Make what a test needs, in the state it needs."""

from __future__ import annotations

from itertools import count
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.utils import timezone

from tasks.models import Connection, ResourceGroup, Run, Snapshot, Task
from tasks.statuses import PausedHow, Status

_numbers = count(1)


def make_group(name: str = "local", **values: Any) -> ResourceGroup:
    return ResourceGroup.objects.get_or_create(name=name, defaults=values)[0]


def make_connection(name: str = "shop", **values: Any) -> Connection:
    return Connection.objects.get_or_create(
        name=name, defaults={"kind": "sqlite", "settings": {"path": f"/data/{name}.db"}, **values}
    )[0]


def make_task(
    name: str = "", *, status: Status = Status.INITIALIZE, with_run: bool | None = None, **values: Any
) -> Task:
    """Make a submitted task in `status`; with an open run where that status has one."""
    make_group(values.get("group_id", "local"))
    make_connection(values.get("source_connection_id", "shop"))
    make_connection(values.get("target_connection_id", "warehouse"))
    task = Task.objects.create(
        **{
            "name": name or f"task-{next(_numbers)}",
            "group_id": "local",
            "source_connection_id": "shop",
            "source_object": "orders",
            "target_connection_id": "warehouse",
            "target_object": "orders",
            "submitted_at": timezone.now(),
            "status": status,
            "paused_how": PausedHow.NORMAL if status is Status.PAUSED else "",
            "status_before": Status.STOPPED if status is Status.DETECTION_EXCEPTION else "",
            **values,
        }
    )
    if with_run if with_run is not None else status in (Status.RUNNING, Status.PAUSED, Status.FAILURE):
        task.run = Run.objects.create(
            task=task,
            number=1,
            epoch=1,
            engine="local",
            start_position="earliest",
            started_at=timezone.now(),
            started_by="test",
        )
        task.save(update_fields=["run"])
    return task


def make_snapshot(task: Task, *, engine_id: str = "", **values: Any) -> Snapshot:
    assert task.run is not None
    return Snapshot.objects.create(
        **{
            "task": task,
            "run": task.run,
            "engine_id": engine_id or f"e1-{next(_numbers):06}",
            "kind": "periodic",
            "epoch": 1,
            "taken_at": timezone.now(),
            "offset": {"cursor": 10},
            "offset_text": "id = 10",
            "position": 10,
            **values,
        }
    )


def make_user(name: str = "olga", *permissions: str, **values: Any) -> Any:
    """Make a user with permissions of the app, by codename: view_task, operate_task, stop_task ..."""
    user = get_user_model().objects.create_user(name, password="a quiet harbour", **values)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions, content_type__app_label="tasks"))
    return user
