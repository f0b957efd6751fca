"""The admin as support staff use it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tasks.alerts import life, notices
from tasks.models import (
    Alert,
    AlertRule,
    Connection,
    Notification,
    RecipientChannel,
    RecipientGroup,
    ResourceGroup,
    StatusChange,
    Task,
)
from tasks.statuses import Status
from tests.alerts.conftest import make_recipients, make_rule
from tests.factories import make_connection, make_group, make_snapshot, make_task, make_user

pytestmark = pytest.mark.django_db

TASK = {
    "name": "orders-copy",
    "description": "",
    "owner": "",
    "group_name": "local",
    "source": "shop",
    "source_object": "orders",
    "cursor": "id",
    "format": "",
    "columns": "",
    "target": "warehouse",
    "target_object": "orders",
    "write_mode": "upsert",
    "key": "id",
    "start_position": "earliest",
    "snapshot_interval": "5",
    "dirty_limit": "100",
    "restart_limit": "5",
}


@pytest.fixture
def staff(client: Client) -> Client:
    make_group()
    make_connection("shop")
    make_connection("warehouse")
    client.force_login(make_user("sigrid", is_staff=True, is_superuser=True))
    return client


def text(response: Any) -> str:
    return str(response.content.decode())


def test_a_draft_is_made_then_submitted_and_the_history_says_by_whom(staff: Client) -> None:
    response = staff.post("/admin/tasks/task/add/", TASK)
    assert response.status_code == 302, text(response)
    task = Task.objects.get()
    assert (task.submitted_at, task.target_key, task.source_options) == (None, ["id"], {"read": "poll", "cursor": "id"})
    staff.post("/admin/tasks/task/", {"action": "submit_tasks", "_selected_action": [task.pk]})
    task.refresh_from_db()
    assert task.submitted_at is not None
    assert StatusChange.objects.get().actor_name == "sigrid"


def test_the_form_says_what_the_file_would(staff: Client) -> None:
    response = staff.post("/admin/tasks/task/add/", {**TASK, "key": "", "target_object": ""})
    assert "This field is required." in text(response)
    response = staff.post("/admin/tasks/task/add/", {**TASK, "key": ""})
    assert "Upsert writes by key: name the columns that identify a row." in text(response)
    assert not Task.objects.exists()


def test_a_crafted_post_changes_no_status(staff: Client) -> None:
    task = make_task("orders-copy", source_options={"read": "poll", "cursor": "id"})
    values = {
        **TASK,
        "status": "running",
        "paused_how": "normal",
        "rows_written": "9",
        "write_mode": "append",
        "key": "",
    }
    staff.post(f"/admin/tasks/task/{task.pk}/change/", {**values, "snapshot_interval": "8"})
    task.refresh_from_db()
    assert (task.status, task.rows_written, task.snapshot_interval) == (Status.INITIALIZE, 0, 8)


def test_a_running_task_is_not_edited(staff: Client) -> None:
    task = make_task("orders-copy", status=Status.RUNNING)
    response = staff.post(f"/admin/tasks/task/{task.pk}/change/", {**TASK, "write_mode": "append", "key": ""})
    assert "is Running and can&#x27;t be changed; Pause or Stop it first." in text(response)


def test_a_running_task_is_not_deleted(staff: Client) -> None:
    task = make_task("orders-copy", status=Status.RUNNING)
    assert staff.post(f"/admin/tasks/task/{task.pk}/delete/", {"post": "yes"}).status_code == 403
    selected = {"action": "delete_selected", "_selected_action": [task.pk], "post": "yes"}
    assert "Stop it first" in text(staff.post("/admin/tasks/task/", selected))
    assert Task.objects.exists()


def test_a_stopped_task_is_deleted_with_its_history(staff: Client) -> None:
    task = make_task("orders-copy", status=Status.STOPPED)
    StatusChange.objects.create(task=task, at=task.created_at, to_status="stopped", actor_name="test")
    assert staff.post(f"/admin/tasks/task/{task.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Task.objects.exists()


def test_deleting_a_group_names_the_tasks_that_lose_it(staff: Client) -> None:
    make_task("idle")
    make_task("busy", status=Status.RUNNING)
    group = ResourceGroup.objects.get()
    page = text(staff.get(f"/admin/tasks/resourcegroup/{group.pk}/delete/"))
    assert "1 task running now, to be paused with a snapshot first" in page
    assert "busy" in page
    assert "1 task to become Detection exception" in page
    staff.post(f"/admin/tasks/resourcegroup/{group.pk}/delete/", {"post": "yes"})
    assert not ResourceGroup.objects.exists()
    assert Task.objects.filter(group_id="local").count() == 2


def test_a_postgresql_connection_is_asked_for_its_own_address(staff: Client) -> None:
    values = {"name": "pg", "kind": "postgresql", "user": "app", "database": "app", "secret": "hunter-2-hunter"}
    assert "This is required." in text(staff.post("/admin/tasks/connection/add/", values))
    assert staff.post("/admin/tasks/connection/add/", {**values, "host": "db"}).status_code == 302
    connection = Connection.objects.get(name="pg")
    assert (connection.address, connection.secret()) == ("app@db:5432/app", "hunter-2-hunter")
    page = text(staff.get(f"/admin/tasks/connection/{connection.pk}/change/"))
    assert 'name="host"' in page
    assert 'name="path"' not in page
    assert "hunter" not in page


def test_a_groups_name_is_fixed(staff: Client) -> None:
    group = ResourceGroup.objects.get()
    staff.post(f"/admin/tasks/resourcegroup/{group.pk}/change/", {"name": "other", "capacity": "3", "enabled": "on"})
    group.refresh_from_db()
    assert (group.name, group.capacity) == ("local", 3)


def test_a_secret_is_stored_encrypted_kept_and_never_shown(staff: Client) -> None:
    values = {"name": "pw", "kind": "sqlite", "path": "/data/pw.db", "secret": "hunter-2-hunter"}
    assert staff.post("/admin/tasks/connection/add/", values).status_code == 302
    connection = Connection.objects.get(name="pw")
    assert connection.secret() == "hunter-2-hunter"
    assert "hunter" not in connection.secret_token
    address = f"/admin/tasks/connection/{connection.pk}/change/"
    assert "hunter" not in text(staff.get(address))
    staff.post(address, {"path": "/data/other.db", "secret": ""})
    connection.refresh_from_db()
    assert (connection.secret(), connection.settings) == ("hunter-2-hunter", {"path": "/data/other.db"})
    response = staff.post(address, {"path": "relative.db", "secret": "hunter-3"})
    assert "Give an absolute path" in text(response)
    assert "hunter" not in text(response)


def test_a_connection_is_tested_by_a_worker(staff: Client) -> None:
    connection = Connection.objects.get(name="shop")
    staff.post("/admin/tasks/connection/", {"action": "test_connections", "_selected_action": [connection.pk]})
    connection.refresh_from_db()
    assert connection.check_requested_at is not None
    assert "a worker carries it out" in text(staff.get("/admin/tasks/connection/"))
    response = staff.post(
        f"/admin/tasks/connection/{connection.pk}/change/", {"path": "/data/x.db", "secret": "", "_test": "1"}
    )
    assert response.status_code == 302


@pytest.mark.parametrize("name", ["statuschange", "operationrequest", "snapshot", "run", "workerheartbeat"])
def test_history_can_be_read_and_nothing_else(staff: Client, name: str) -> None:
    make_snapshot(make_task(status=Status.RUNNING))
    assert staff.get(f"/admin/tasks/{name}/").status_code == 200
    assert staff.get(f"/admin/tasks/{name}/add/").status_code == 403


@pytest.mark.parametrize("name", ["task", "resourcegroup", "connection", "snapshot"])
def test_a_list_costs_the_same_queries_however_long(
    staff: Client, name: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(15):
        make_group(f"group-{n}")
        make_connection(f"connection-{n}")
        make_snapshot(make_task(status=Status.RUNNING, group_id=f"group-{n}"))
    with django_assert_max_num_queries(8):
        assert staff.get(f"/admin/tasks/{name}/").status_code == 200


# --- alerts -----------------------------------------------------------------------------------------------

RULE = {
    "name": "late",
    "description": "",
    "enabled": "on",
    "severity": "urgent",
    "metric": "task_delay",
    "comparison": "above",
    "threshold": "90",
    "window": "2 min",
    "resolve_after": "60",
    "scope": "all",
    "names": "",
    "interval": "1 h",
    "cap": "5",
    "cap_period": "1 h",
    "quiet": "",
    "zone": "UTC",
    "people": "",
}


def test_a_rule_is_made_changed_and_deleted(staff: Client) -> None:
    assert staff.post("/admin/tasks/alertrule/add/", RULE).status_code == 302
    rule = AlertRule.objects.get()
    assert (rule.threshold, rule.window, rule.severity) == (90.0, 120, "urgent")
    path = f"/admin/tasks/alertrule/{rule.pk}/change/"
    assert 'value="2 min"' in staff.get(path).content.decode()
    assert staff.post(path, {**RULE, "threshold": "60"}).status_code == 302
    rule.refresh_from_db()
    assert rule.threshold == 60.0
    staff.post(path, {**RULE, "metric": "task_failure"})  # what this one does not ask for does not count
    rule.refresh_from_db()
    assert (rule.metric, rule.threshold) == ("task_failure", 0.0)
    task = make_task(status=Status.RUNNING)
    alert = Alert.objects.create(
        rule=rule,
        task=task,
        rule_name="late",
        severity="urgent",
        metric="task_delay",
        comparison="above",
        threshold=60,
        window=0,
        opened_at=timezone.now(),
        value=90,
        worst=90,
        seen_at=timezone.now(),
    )
    staff.post(f"/admin/tasks/alertrule/{rule.pk}/delete/", {"post": "yes"})
    alert.refresh_from_db()
    assert (alert.rule, alert.resolve_reason) == (None, "The rule was deleted.")


def test_recipients_of_a_rule_are_names_not_keys(staff: Client) -> None:
    """A group that is called 1 is not the group whose key is 1."""
    for name in ("on-call", "1"):
        RecipientGroup.objects.create(name=name)
    sent = {**RULE, "people": "sigrid", "groups": "1"}
    assert staff.post("/admin/tasks/alertrule/add/", sent).status_code == 302
    rule = AlertRule.objects.get()
    assert [group.name for group in rule.groups.all()] == ["1"]
    assert staff.post(f"/admin/tasks/alertrule/{rule.pk}/change/", sent).status_code == 302
    assert [person.get_username() for person in rule.people.all()] == ["sigrid"]


def test_a_deleted_task_ends_its_alerts(staff: Client) -> None:
    task = make_task("orders", status=Status.STOPPED)
    rule = make_rule("task_stopped")
    make_recipients(rule)
    life.judge(rule.pk, timezone.now() + timedelta(seconds=1))
    notices.send_due(timezone.now() + timedelta(seconds=2))
    staff.post(f"/admin/tasks/task/{task.pk}/delete/", {"post": "yes"})
    assert not Task.objects.exists()
    assert list(Notification.objects.order_by("pk").values_list("kind", flat=True)) == ["opened"] * 2 + ["resolved"] * 2


def channel(**values: str) -> dict[str, str]:
    return {
        "name": "on-call",
        "description": "",
        "channels-TOTAL_FORMS": "1",
        "channels-INITIAL_FORMS": "0",
        "channels-0-name": "chat",
        **values,
    }


def test_the_address_of_a_channel_is_never_shown_only_replaced(staff: Client) -> None:
    add = "/admin/tasks/recipientgroup/add/"
    answer = staff.post(add, channel(**{"channels-0-url": "nosuch://t0ken-one"})).content.decode()
    assert "apprise can&#x27;t read this nosuch:// address" in answer
    assert "t0ken-one" not in answer
    assert staff.post(add, channel(**{"channels-0-url": ""})).status_code == 200  # a new one needs its address
    assert staff.post(add, channel(**{"channels-0-url": "json://127.0.0.1/t0ken-one"})).status_code == 302
    stored = RecipientChannel.objects.get()
    assert (stored.service, stored.url()) == ("JSON", "json://127.0.0.1/t0ken-one")
    path = f"/admin/tasks/recipientgroup/{stored.group_id}/change/"
    assert "t0ken-one" not in staff.get(path).content.decode()
    kept = {"channels-INITIAL_FORMS": "1", "channels-0-id": str(stored.pk), "channels-0-group": str(stored.group_id)}
    assert staff.post(path, channel(**kept, **{"channels-0-url": ""})).status_code == 302
    assert RecipientChannel.objects.get().url() == "json://127.0.0.1/t0ken-one"
    assert staff.post(path, channel(**kept, **{"channels-0-url": "json://127.0.0.1/t0ken-two"})).status_code == 302
    assert RecipientChannel.objects.get().url() == "json://127.0.0.1/t0ken-two"
    staff.post("/admin/tasks/recipientgroup/", {"action": "send_test", "_selected_action": [stored.group_id]})
    assert Notification.objects.get().kind == "test"
    for page in ("alert", "notification", "alertrule", "recipientgroup"):
        answer = staff.get(f"/admin/tasks/{page}/")
        assert answer.status_code == 200
        assert "t0ken" not in answer.content.decode()
