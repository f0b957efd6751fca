"""Compare plans with what is stored, and write what differs: all of it or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.utils import timezone

from tasks.models import Connection, ResourceGroup, Task, TaskTag
from tasks.models.fields import SecretUnreadable
from tasks.statuses import Status
from tasks.submission import alert_writing
from tasks.submission.changes import Change
from tasks.submission.plans import ConnectionPlan, GroupPlan, Plan, TaskPlan
from tasks.submission.sections import Notes, Problem, SubmissionInvalid
from tasks.transitions import write_history

#: Settings that may change while a snapshot is kept: they don't decide what is read, or written where.
HARMLESS: Final = {
    "snapshot_interval",
    "dirty_limit",
    "restart_limit",
    "time_limits",
    "description",
    "owner",
    "tags",
    "exactly_once",
}
#: And those that nothing that runs knows of.
AT_ANY_TIME: Final = {"description", "owner", "tags"}
IN_USE: Final = (Status.RUNNING, Status.OPERATING, Status.PAUSED)


def compare(plan: Plan, notes: Notes) -> list[Change]:
    """Return what writing `plan` would change; note what may not be changed now."""
    changes = [_compare(ResourceGroup, "resource group", group, asdict(group)) for group in plan.groups]
    for n, connection in enumerate(plan.connections):
        change = _compare_connection(connection)
        changes.append(change)
        if set(change.fields) - {"password"}:
            fixed = why_connection_is_fixed(connection.name)
            if fixed:
                notes.add(f"connections[{n}]", fixed)
    for n, task in enumerate(plan.tasks):
        changes.append(_compare_task(task, f"tasks[{n}]", notes))
    changes += [alert_writing.compare_recipient_group(group) for group in plan.recipient_groups]
    changes += [alert_writing.compare_rule(rule) for rule in plan.alert_rules]
    return changes


def _compare_connection(plan: ConnectionPlan) -> Change:
    change = _compare(Connection, "connection", plan, _stored(plan))
    password = os.environ.get(plan.password_env, "") if plan.password_env else ""
    if not password or change.what == "created" or _has_password(plan.name, password):
        return change
    return Change("connection", plan.name, "changed", (*change.fields, "password"))


def _stored(plan: ConnectionPlan) -> dict[str, Any]:
    return {"name": plan.name, "kind": plan.kind, "settings": plan.settings}


def _has_password(name: str, password: str) -> bool:
    try:
        return Connection.objects.get(name=name).secret() == password
    except SecretUnreadable:
        return False


def _compare(model: Any, kind: str, plan: GroupPlan | ConnectionPlan, values: dict[str, Any]) -> Change:
    found = model.objects.filter(name=plan.name).first()
    return _change(kind, plan.name, found, values)


def _change(kind: str, name: str, found: Any, values: dict[str, Any]) -> Change:
    if found is None:
        return Change(kind, name, "created")
    fields = tuple(key for key, value in values.items() if getattr(found, key) != value)
    return Change(kind, name, "changed" if fields else "unchanged", fields)


def why_connection_is_fixed(name: str) -> str | None:
    """Return why the address of connection `name` can't be changed now; None where it can."""
    users = Task.objects.filter(status__in=IN_USE)
    names = sorted(
        {
            *users.filter(source_connection__name=name).values_list("name", flat=True)[:5],
            *users.filter(target_connection__name=name).values_list("name", flat=True)[:5],
        }
    )
    if not names:
        return None
    return f"Connection {name} can't be changed while tasks use it: {', '.join(names)}. Stop them first."


def _compare_task(plan: TaskPlan, place: str, notes: Notes) -> Change:
    found = Task.objects.select_related("owner").filter(name=plan.name).first()
    values = columns_of(plan)
    if plan.owner and values["owner"] is None:
        notes.add(f"{place}.owner", f"There is no user {plan.owner}.")
    change = _change("task", plan.name, found, values)
    if found is not None and plan.tags != tags_of(found):
        change = Change("task", plan.name, "changed", (*change.fields, "tags"))
    if found is None or found.submitted_at is None:
        return Change("task", plan.name, "created")
    if change.what == "changed":
        refusal = why_unchangeable(found, change.fields)
        if refusal:
            notes.add(place, refusal)
    return change


def columns_of(plan: TaskPlan) -> dict[str, Any]:
    """Return the fields of a task as `plan` has them; tags stand in a table of their own."""
    values = asdict(plan)
    del values["tags"]
    return {**values, "owner": get_user_model().objects.filter(username=plan.owner).first() if plan.owner else None}


def tags_of(task: Task) -> list[str]:
    return sorted(task.tags.values_list("name", flat=True))


def write_tags(task: Task, tags: list[str]) -> None:
    task.tags.exclude(name__in=tags).delete()
    TaskTag.objects.bulk_create([TaskTag(task=task, name=tag) for tag in tags], ignore_conflicts=True)


def why_unchangeable(task: Task, fields: Iterable[str]) -> str | None:
    """Return why `fields` of `task` can't be changed in its present status; None where they can."""
    status = Status(task.status)
    if status in (Status.INITIALIZE, Status.STOPPED):
        return None
    if status in (Status.RUNNING, Status.OPERATING) and set(fields) - AT_ANY_TIME:
        return f"Task {task.name} is {status.label} and can't be changed; Pause or Stop it first."
    grave = sorted(set(fields) - HARMLESS)
    if grave:
        return (
            f"Task {task.name} is {status.label} with its offset kept: {', '.join(grave)} can't be changed "
            "without losing it. Stop it first."
        )
    return None


def write(plan: Plan, notes: Notes, actor_name: str) -> list[Change]:
    """Write what differs, in one transaction. Raises SubmissionInvalid with nothing written."""
    with transaction.atomic():
        # Nobody runs one of them between the look at its status and the writing.
        names = [task.name for task in plan.tasks]
        list(Task.objects.select_for_update().filter(name__in=names).order_by("pk").values_list("pk"))
        changes = compare(plan, notes)
        if notes.problems:
            raise SubmissionInvalid(notes.problems)
        done = {(change.kind, change.name): change for change in changes}
        for group in plan.groups:
            _write(ResourceGroup, group.name, asdict(group), done["resource group", group.name])
        for connection in plan.connections:
            _write_connection(connection, done["connection", connection.name])
        for task in plan.tasks:
            write_task(task, done["task", task.name], actor_name)
        for recipients in plan.recipient_groups:
            alert_writing.write_recipient_group(recipients, done["recipient group", recipients.name])
        for rule in plan.alert_rules:
            alert_writing.write_rule(rule, done["alert rule", rule.name], actor_name)
    return changes


def _write(model: Any, name: str, values: dict[str, Any], change: Change) -> None:
    if change.what == "created":
        model.objects.create(**values)
    elif change.what == "changed":
        model.objects.filter(name=name).update(**{key: values[key] for key in change.fields}, updated_at=timezone.now())


def _write_connection(plan: ConnectionPlan, change: Change) -> None:
    fields = tuple(name for name in change.fields if name != "password")
    if change.what == "created" or fields:
        _write(Connection, plan.name, _stored(plan), Change(change.kind, plan.name, change.what, fields))
    if plan.password_env and (change.what == "created" or "password" in change.fields):
        connection = Connection.objects.get(name=plan.name)
        connection.set_secret(os.environ[plan.password_env])
        connection.save(update_fields=["secret_token", "updated_at"])


def write_task(plan: TaskPlan, change: Change, actor_name: str) -> None:
    """Create, submit or change one task, inside the caller's transaction.

    Raises SubmissionInvalid where it is to be created, and somebody else submitted one of its name at that moment.
    """
    values = columns_of(plan)
    now = timezone.now()
    if change.what == "created":
        task = _submit_draft({**values, "submitted_at": now, "status_since": now})
        write_tags(task, plan.tags)
        write_history(task, None, Status.INITIALIZE, actor_name=actor_name, reason="Submitted")
    elif change.what == "changed":
        chosen = {key: values[key] for key in change.fields if key != "tags"}
        Task.objects.filter(name=plan.name).update(**chosen, updated_at=now)
        task = Task.objects.select_related("run").get(name=plan.name)
        write_tags(task, plan.tags)
        status = Status(task.status)
        write_history(task, status, status, actor_name=actor_name, reason=f"Changed: {', '.join(change.fields)}")


def _submit_draft(values: dict[str, Any]) -> Task:
    """Make a draft of this name a submitted task, or a new one where there is none."""
    name = values["name"]
    Task.objects.filter(name=name, submitted_at__isnull=True).update(**values, updated_at=timezone.now())
    task = Task.objects.filter(name=name).first()
    try:
        with transaction.atomic():
            task = task or Task.objects.create(**values)
    except IntegrityError:
        if not Task.objects.filter(name=name, submitted_at__isnull=False).exists():
            raise
    if task is None or task.submitted_at != values["submitted_at"]:
        # It may be running by now: it is not written over by whoever meant to make a new one.
        raise SubmissionInvalid([Problem("name", f"Somebody submitted a task {name} just now. Look at it first.")])
    return task
