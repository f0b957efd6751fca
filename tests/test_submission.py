"""A submission is written whole or not at all, and says everything that is wrong with its place."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from tasks.models import Connection, ResourceGroup, StatusChange, Task
from tasks.statuses import Status
from tasks.submission import SubmissionInvalid, submit
from tests.factories import make_user

pytestmark = pytest.mark.django_db

BASE = Path("/data")
GOOD = """
resource_groups:
  - {name: local, kind: local, capacity: 7}
connections:
  - {name: shop, kind: sqlite, path: shop.db}
  - {name: drop, kind: file, path: /data/events}
tasks:
  - name: orders-copy
    group: local
    source: {connection: shop, object: orders, read: poll, cursor: id}
    target: {connection: shop, object: copy, mode: upsert, key: [id]}
    start: latest
    snapshot_interval: 9
  - name: events
    group: local
    source: {connection: drop, object: events.jsonl}
    target: {connection: shop, object: events}
"""


def submitted(text: str, **values: object) -> list[str]:
    _, changes = submit(text, actor_name="test", base=BASE, **values)  # type: ignore[arg-type]
    return [change.what for change in changes]


def problems(text: str) -> list[str]:
    with pytest.raises(SubmissionInvalid) as caught:
        submit(text, actor_name="test", base=BASE)
    assert not Task.objects.exists()
    assert not Connection.objects.exists()
    return [str(problem) for problem in caught.value.problems]


def test_a_submission_makes_what_it_names_with_defaults() -> None:
    assert submitted(GOOD) == ["created"] * 5
    task = Task.objects.get(name="orders-copy")
    assert (task.status, task.write_mode, task.target_key) == (Status.INITIALIZE, "upsert", ["id"])
    assert (task.start_position, task.snapshot_interval, task.dirty_limit) == ("latest", 9, 100)
    assert Connection.objects.get(name="shop").settings == {"path": "/data/shop.db"}
    assert ResourceGroup.objects.get().capacity == 7
    assert Task.objects.get(name="events").source_options == {"format": "jsonl"}
    change = StatusChange.objects.get(task=task)
    assert (change.from_status, change.to_status, change.actor_name) == ("", "initialize", "test")


def test_the_same_file_again_changes_nothing() -> None:
    submitted(GOOD)
    before = list(Task.objects.order_by("pk").values())
    assert submitted(GOOD) == ["unchanged"] * 5
    assert list(Task.objects.order_by("pk").values()) == before
    assert StatusChange.objects.count() == 2


def test_a_dry_run_writes_nothing() -> None:
    assert submitted(GOOD, dry_run=True) == ["created"] * 5
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("tasks: [", "This is not YAML"),
        ("", "The file is empty"),
        ("- 1\n- 2", "A mapping is expected here, not a list."),
        ("tasks: 3", "line 1, tasks: A list is expected here, not 3."),
        ("tasks: [3]", "tasks[0]: A mapping is expected here, not 3."),
        ("taskss: []\nconnections: []", "taskss: This key is not known. Did you mean tasks?"),
        ("a: &x [1]\nb: *x", "Aliases (*name) are not allowed"),
        (
            "connections:\n- {name: a, kind: oracle, path: /x}",
            "This must be sqlite or postgresql or file, not 'oracle'",
        ),
        ("connections:\n- {name: 'a b', kind: file, path: /x}", "A name has 1 to 100 letters"),
        ("connections:\n- {name: a, kind: file, path: /x}\n- {name: a, kind: file, path: /y}", "given twice"),
        ("connections:\n- {name: a, name: b, kind: file, path: /x}", "This key is given twice."),
        ("connections:\n- {name: a, kind: file}", "connections[0].path: This is required."),
        ("connections:\n- {name: a, kind: file, path: /x, pth: 1}", "pth: This key is not known. Did you mean path?"),
        ("resource_groups:\n- {name: a, capacity: 0}", "This must be between 1 and 100000, not 0."),
        ("resource_groups:\n- {name: a, capacity: many}", "A whole number is expected here, not 'many'."),
        ("resource_groups:\n- {name: a, enabled: maybe}", "true or false is expected here"),
        (GOOD.replace("cursor: id", "curser: id"), "curser: This key is not known. Did you mean cursor?"),
        (GOOD.replace("key: [id]", "key: id"), "A list of names is expected here, not 'id'."),
        (GOOD.replace(", key: [id]", ""), "Upsert writes by key"),
        (GOOD.replace("mode: upsert", "mode: append"), "Append writes every change"),
        (GOOD.replace("group: local", "group: lokal"), "There is no resource group lokal. Did you mean local?"),
        (GOOD.replace("{connection: shop, object: copy", "{connection: drop, object: copy"), "can only be appended to"),
        (GOOD.replace("object: copy", "object: orders"), "Source and target are the same object"),
        (GOOD.replace("events.jsonl", "../events.jsonl"), "without a path"),
        (GOOD.replace("events.jsonl", "events"), "does not tell the format"),
        (GOOD.replace("start: latest", "start: now"), "This must be earliest or latest, not 'now'"),
        (GOOD.replace("snapshot_interval: 9", "snapshot_interval: 0"), "This must be between 1 and 86400, not 0."),
        (GOOD.replace("start: latest", "owner: nobody"), "There is no user nobody."),
        (GOOD + "\n" + "#" * 1_100_000, "1048576 is the most"),
        ("x: " + "[" * 50 + "]" * 50, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_nothing_is_written(bad: str, sentence: str) -> None:
    found = problems(bad)
    assert any(sentence in problem for problem in found), found


def test_everything_wrong_is_said_at_once() -> None:
    bad = GOOD.replace("capacity: 7", "capacity: -1").replace("cursor: id", "curser: id").replace("[id]", "[]")
    found = problems(bad)
    assert len(found) == 3
    assert found[0].startswith("line 3, resource_groups[0].capacity:")
    assert "line 10, tasks[0].source.curser" in found[1]


def test_a_running_task_is_not_changed_under_its_feet() -> None:
    submitted(GOOD)
    Task.objects.update(status=Status.RUNNING)
    with pytest.raises(SubmissionInvalid, match=r"is Running and can't be changed; Pause or Stop it first"):
        submitted(GOOD.replace("snapshot_interval: 9", "snapshot_interval: 10"))
    assert submitted(GOOD) == ["unchanged"] * 5


def test_a_paused_task_takes_what_does_not_touch_its_offset() -> None:
    submitted(GOOD)
    Task.objects.update(status=Status.PAUSED, paused_how="normal")
    assert "changed" in submitted(GOOD.replace("snapshot_interval: 9", "snapshot_interval: 10"))
    with pytest.raises(SubmissionInvalid, match=r"source_object can't be changed without losing it. Stop it first."):
        submitted(GOOD.replace("object: orders", "object: orders2"))


def test_a_connection_in_use_keeps_its_address() -> None:
    submitted(GOOD)
    Task.objects.update(status=Status.RUNNING)
    with pytest.raises(SubmissionInvalid, match=r"tasks use it: events, orders-copy. Stop them first."):
        submitted(GOOD.replace("path: shop.db", "path: other.db"))


def test_an_owner_is_a_user() -> None:
    make_user("olga")
    submitted(GOOD.replace("start: latest", "owner: olga"))
    assert Task.objects.get(name="orders-copy").owner.username == "olga"  # type: ignore[union-attr]


def test_the_command_exits_2_and_prints_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("tasks: 3")
    out, error = StringIO(), StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("submit", str(path), stdout=out, stderr=error)
    assert caught.value.code == 2
    assert "1 problem; nothing was written." in error.getvalue()
    with pytest.raises(SystemExit):
        call_command("submit", str(tmp_path / "none.yaml"), stderr=error)
    assert "No such file or directory" in error.getvalue()


def test_the_command_shows_defaults_on_a_dry_run(tmp_path: Path) -> None:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    out = StringIO()
    call_command("submit", str(path), "--dry-run", stdout=out)
    assert "restart_limit: 5" in out.getvalue()
    assert f"path: {tmp_path}/shop.db" in out.getvalue()
    assert not Task.objects.exists()


POSTGRESQL = """
resource_groups: [{name: local}]
connections:
  - {name: pg, kind: postgresql, host: db.example.org, database: app, user: app, password_env: APP_PASSWORD}
tasks:
  - name: orders-copy
    group: local
    source: {connection: pg, object: shop.orders, cursor: updated_at, tie: id, settle: 2}
    target: {connection: pg, object: lake.orders, mode: upsert, key: [id]}
    time_limits: {pause: 600, forced-pause: 20}
"""


def test_a_postgresql_connection_takes_its_password_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APP_PASSWORD", raising=False)
    with pytest.raises(SubmissionInvalid, match="APP_PASSWORD is not set"):
        submitted(POSTGRESQL)
    monkeypatch.setenv("APP_PASSWORD", "s3cret")
    submitted(POSTGRESQL)
    connection, task = Connection.objects.get(), Task.objects.get()
    assert (connection.secret(), connection.address) == ("s3cret", "app@db.example.org:5432/app")
    assert "s3cret" not in connection.secret_token
    assert task.source_options == {"read": "poll", "cursor": "updated_at", "tie": "id", "settle": 2.0}
    assert task.time_limits == {"pause": 600, "forced-pause": 20}
    # A password may be changed while tasks use the connection; the address may not.
    Task.objects.update(status=Status.RUNNING)
    monkeypatch.setenv("APP_PASSWORD", "n3xt")
    assert submitted(POSTGRESQL)[1] == "changed"
    assert Connection.objects.get().secret() == "n3xt"
    assert submitted(POSTGRESQL)[1] == "unchanged"


@pytest.mark.parametrize(
    "wrong, said",
    [
        ("object: shop.orders|object: a.b.c", "must be the name of a table, or schema.table"),
        ("settle: 2|settle: -1", "must be between 0 and 86400"),
        ("settle: 2|settle: soon", "A number is expected here"),
        ("{pause: 600, |{pauze: 600, ", "This key is not known"),
        ("pause: 600|pause: 0", "must be between 1 and 86400"),
        ("host: db.example.org|port: 1", "host: This is required"),
        ("user: app,|user: app, sslmode: maybe,", "must be disable or allow"),
    ],
)
def test_what_is_wrong_with_a_postgresql_task_is_said(monkeypatch: pytest.MonkeyPatch, wrong: str, said: str) -> None:
    monkeypatch.setenv("APP_PASSWORD", "s3cret")
    with pytest.raises(SubmissionInvalid, match=said):
        submitted(POSTGRESQL.replace(*wrong.split("|")))
    assert not Connection.objects.exists()
