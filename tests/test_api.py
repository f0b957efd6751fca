"""The API: one answer a key, refusals as everywhere else, and JSON whatever goes wrong."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tasks.api import auth, resources
from tasks.models import OperationRequest, StatusChange
from tasks.statuses import Operation, Outcome, Status
from tests.factories import make_snapshot, make_task, make_user

pytestmark = pytest.mark.django_db


class Caller:
    def __init__(self, *rights: str, name: str = "robot") -> None:
        self.user = make_user(name, *rights)
        self.headers = {"Authorization": f"Bearer {auth.make_token(self.user, 1)}"}
        self.client = Client(enforce_csrf_checks=True)

    def get(self, path: str) -> tuple[int, Any]:
        response = self.client.get(f"/api/v1/{path}", headers=self.headers)
        return response.status_code, response.json()

    def post(self, path: str, body: object = None, key: str = "") -> tuple[int, Any]:
        headers = {**self.headers, **({"Idempotency-Key": key} if key else {})}
        data = body if isinstance(body, str) else json.dumps(body or {})
        response = self.client.post(f"/api/v1/{path}", data, content_type="application/json", headers=headers)
        return response.status_code, response.json()


@pytest.fixture
def robot() -> Caller:
    return Caller("view_task", "operate_task", "stop_task")


def test_an_operation_is_accepted_and_its_request_can_be_followed(robot: Caller) -> None:
    task = make_task("a")
    status, made = robot.post("tasks/a/operations/run/", {"reason": "nightly"})
    assert (status, made["outcome"], made["status"]) == (202, "open", "operating")
    request = OperationRequest.objects.get()
    assert (request.channel, request.actor_name, request.reason) == ("api", "robot", "nightly")
    assert robot.get(f"requests/{made['request']}/")[1]["operation"] == "run"
    assert robot.get(f"requests/{made['request']}/?wait=0.1") == robot.get(f"requests/{made['request']}/")
    task.refresh_from_db()
    assert task.status == Status.OPERATING


def test_the_same_key_gets_the_first_answer_again_and_does_nothing(robot: Caller) -> None:
    make_task("a")
    first = robot.post("tasks/a/operations/run/", key="k")
    assert first == robot.post("tasks/a/operations/run/", key="k")
    refused = robot.post("tasks/a/operations/pause/", key="p")
    assert refused == robot.post("tasks/a/operations/pause/", key="p")
    assert (refused[0], refused[1]["code"]) == (409, "in_progress")
    assert robot.post("tasks/a/operations/stop/", {"confirm": True}, key="k")[0] == 422
    assert OperationRequest.objects.count() == 2
    assert StatusChange.objects.count() == 1


def test_a_repeated_answer_says_so(robot: Caller) -> None:
    make_task("a")

    def marked(operation: str, key: str) -> tuple[int, str | None]:
        headers = {**robot.headers, "Idempotency-Key": key}
        address = f"/api/v1/tasks/a/operations/{operation}/"
        response = robot.client.post(address, "{}", content_type="application/json", headers=headers)
        return response.status_code, response.get("Idempotent-Replay")

    assert [marked("run", "k") for _ in range(2)] == [(202, None), (202, "true")]
    assert [marked("pause", "p") for _ in range(2)] == [(409, None), (409, "true")]
    assert marked("pause", "k") == (422, None)


def test_a_competing_request_hears_who_was_first(robot: Caller) -> None:
    make_task("a")
    robot.post("tasks/a/operations/run/")
    other = Caller("view_task", "operate_task", name="other")
    status, why = other.post("tasks/a/operations/run/")
    assert status == 409
    assert why["message"] == "Run was already requested by robot, 0 s ago."
    assert why["wait_for"]


def test_a_task_says_what_it_allows(robot: Caller) -> None:
    make_snapshot(make_task("a", status=Status.PAUSED))
    _, shown = robot.get("tasks/a/")
    assert (shown["status"], shown["paused"], shown["operations"]["continue"]) == ("paused", "normal", None)
    assert shown["operations"]["pause"]["code"] == "not_allowed"
    assert shown["operations"]["pause"]["allowed"] == ["continue", "stop"]


def test_the_matrix(robot: Caller) -> None:
    _, shown = robot.get("matrix/")
    assert shown["matrix"]["stopped"]["run"] is None
    assert "Stop kept no snapshot" in shown["matrix"]["stopped"]["continue"]


def test_tasks_are_listed_in_pages_of_a_constant_number_of_queries(
    robot: Caller, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(3):
        make_task(f"a{n}")
    with django_assert_max_num_queries(7):
        assert robot.get("tasks/")[1]["count"] == 3
    for n in range(110):
        make_task(f"b{n:03}", status=Status.STOPPED)
    with django_assert_max_num_queries(7):
        _, page = robot.get("tasks/?page=2")
    assert (page["page"], page["pages"], len(page["tasks"])) == (2, 2, 13)
    assert robot.get("tasks/?status=initialize&q=a1")[1]["count"] == 1
    assert robot.get("tasks/?status=&q=&page=")[1]["count"] == 113
    assert robot.get("tasks/?status=odd")[0] == 400


@pytest.mark.parametrize(
    "operation, body, status, field",
    [
        ("run", "no json", 400, "body"),
        ("run", [1], 400, "body"),
        ("run", {"resaon": "x"}, 400, "resaon"),
        ("run", {"reason": "x" * 501}, 400, "reason"),
        ("run", {"reason": 5}, 400, "reason"),
        ("run", {"start": "yesterday"}, 400, "start"),
        ("pause", {"start": "latest"}, 400, "start"),
        *(("run", {"start": wrong}, 400, "start") for wrong in (None, False, 0, [], {}, ["latest"])),
        ("run", {"reason": None}, 400, "reason"),
        ("run", {"reason": "a\0b"}, 400, "reason"),
        ("run", '{"reason": "\\ud800"}', 400, "reason"),
        ("run", {"confirm": "yes"}, 400, "confirm"),
        ("run", " " * 1_100_000 + "{}", 400, "body"),
        ("stop", {}, 400, "confirm"),
        ("stop", {"confirm": False}, 400, "confirm"),
        ("detonate", {}, 404, None),
    ],
)
def test_bad_input_names_its_field(robot: Caller, operation: str, body: object, status: int, field: str) -> None:
    make_task("a", status=Status.RUNNING)
    answer = robot.post(f"tasks/a/operations/{operation}/", body)
    assert (answer[0], answer[1].get("field")) == (status, field)
    assert not OperationRequest.objects.exists()


def test_what_is_not_there_is_404_in_json(robot: Caller) -> None:
    make_task("draft", submitted_at=None)
    assert robot.get("tasks/nobody/")[1]["message"] == "There is no task nobody."
    assert robot.get("tasks/draft/")[0] == 404
    assert robot.get("requests/1/")[0] == 404
    assert robot.post("tasks/nobody/operations/run/")[0] == 404
    assert robot.get("tasks/a%00b/")[0] == 404
    assert robot.get("")[0] == robot.get("nothing/here/")[0] == robot.post("nothing/")[0] == 404
    assert robot.client.get("/api/v1/matrix", headers=robot.headers)["Location"] == "/api/v1/matrix/"
    assert robot.client.delete("/api/v1/tasks/", headers=robot.headers).status_code == 405
    assert robot.post("tasks/draft/operations/run/", key="x" * 101)[0] == 404


@pytest.mark.parametrize("key", ["x" * 101, "a\x01b"])
def test_a_bad_key_is_named(robot: Caller, key: str) -> None:
    make_task("a")
    status, why = robot.post("tasks/a/operations/run/", key=key)
    assert (status, why["field"]) == (400, "Idempotency-Key")
    assert not OperationRequest.objects.exists()


@pytest.mark.parametrize("wait", ["nan", "-1", "soon"])
def test_a_wait_that_is_none_ends_at_once(robot: Caller, wait: str) -> None:
    make_task("a")
    _, made = robot.post("tasks/a/operations/run/")
    status, why = robot.get(f"requests/{made['request']}/?wait={wait}")
    assert (status, why["field"]) == (400, "wait")


def test_a_wait_ends_when_the_request_is_settled(robot: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    make_task("a")
    _, made = robot.post("tasks/a/operations/run/")
    pauses: list[float] = []

    def settle_meanwhile(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            OperationRequest.objects.update(outcome=Outcome.SUCCEEDED, settled_at=timezone.now())

    monkeypatch.setattr("tasks.api.resources.time.sleep", settle_meanwhile)
    status, found = robot.get(f"requests/{made['request']}/?wait=30")
    assert (status, found["outcome"], bool(found["settled_at"])) == (200, "succeeded", True)
    assert len(pauses) == 3
    assert pauses == sorted(pauses)


def test_rights_are_the_users_own() -> None:
    make_task("a", status=Status.RUNNING)
    assert Caller(name="nobody").get("tasks/")[0] == 403
    viewer = Caller("view_task", name="viewer")
    assert viewer.get("tasks/")[0] == 200
    status, why = viewer.post("tasks/a/operations/pause/")
    assert (status, why["code"]) == (403, "permission")


def test_a_token_ends_with_its_time_its_password_and_its_user(robot: Caller) -> None:
    assert robot.get("tasks/")[0] == 200
    assert auth.user_of(auth.make_token(robot.user, -1)) is None
    for bad in ("", "Bearer", "Bearer x", "Basic eDp5", f"{robot.headers['Authorization']}x"):
        response = robot.client.get("/api/v1/tasks/", headers={"Authorization": bad} if bad else {})
        assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")
    robot.user.is_active = False
    robot.user.save(update_fields=["is_active"])
    assert robot.get("tasks/")[0] == 401
    robot.user.is_active = True
    robot.user.set_password("another quiet harbour")
    robot.user.save(update_fields=["is_active", "password"])
    assert robot.get("tasks/")[0] == 401


def test_a_session_needs_its_csrf_token(robot: Caller) -> None:
    make_task("a")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(robot.user)
    assert browser.get("/api/v1/tasks/").status_code == 200
    refused = browser.post("/api/v1/tasks/a/operations/run/", "{}", content_type="application/json")
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
    assert not OperationRequest.objects.exists()
    browser.get("/tasks/")
    headers = {"X-CSRFToken": browser.cookies["csrftoken"].value}
    accepted = browser.post("/api/v1/tasks/a/operations/run/", "{}", content_type="application/json", headers=headers)
    assert accepted.status_code == 202


def test_a_form_with_files_of_a_session_is_no_json(robot: Caller) -> None:
    make_task("a")
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(robot.user)
    browser.get("/tasks/")
    form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
    refused = browser.post("/api/v1/tasks/a/operations/run/", form)
    assert (refused.status_code, refused.json()["field"]) == (400, "body")


def test_a_database_that_does_not_answer_is_503(robot: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    make_task("a")

    def gone(**values: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("tasks.api.resources.accept", gone)
    assert robot.post("tasks/a/operations/run/", key="k")[0] == 503
    monkeypatch.undo()
    assert robot.post("tasks/a/operations/run/", key="k")[0] == 202


def test_the_command_prints_a_token() -> None:
    user = make_user("robot", "view_task")
    out = StringIO()
    call_command("api_token", "robot", "--days", "2", stdout=out)
    assert auth.user_of(out.getvalue().strip()) == user
    with pytest.raises(CommandError, match="no active user"):
        call_command("api_token", "nobody")


def test_operations_of_the_api_are_those_of_the_matrix(robot: Caller) -> None:
    make_task("a", status=Status.PAUSED)
    _, shown = robot.get("tasks/a/")
    assert set(shown["operations"]) == set(Operation.values)
    assert OperationRequest.objects.filter(outcome=Outcome.OPEN).count() == 0


def test_scripts_that_wait_leave_threads_for_people(robot: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    make_task("a")
    _, made = robot.post("tasks/a/operations/run/")
    for _ in range(resources.MOST_WAITING):
        assert resources._waiting.acquire(blocking=False)
    try:
        monkeypatch.setattr("tasks.api.resources.time.sleep", lambda _: pytest.fail("it waits"))
        assert robot.get(f"requests/{made['request']}/?wait=30")[1]["outcome"] == "open"
    finally:
        for _ in range(resources.MOST_WAITING):
            resources._waiting.release()
