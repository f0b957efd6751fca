"""manage.py ops: exit codes and what scripts read."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tasks.engines.base import EngineState
from tasks.models import OperationRequest, Task
from tasks.operations import accept
from tasks.statuses import Operation, Status
from tasks.worker.reconciler import reconcile
from tests.factories import make_snapshot, make_task
from tests.fakes import FakeEngine

pytestmark = pytest.mark.django_db


def ops(*words: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("ops", *words, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_the_list_gives_scripts_what_they_rely_on() -> None:
    task = make_task("orders", status=Status.PAUSED, rows_read=7, rows_written=6, rows_replayed=2, rows_dirty=1)
    make_snapshot(task, kind="pause")
    make_task("draft", submitted_at=None)
    code, out = ops("list", "--json")
    (row,) = json.loads(out)
    assert code == 0
    assert (row["name"], row["status"], row["paused"], row["run"], row["epoch"]) == ("orders", "paused", "normal", 1, 1)
    assert (row["rows_read"], row["rows_written"], row["replayed"], row["dirty"], row["restarts"]) == (7, 6, 2, 1, 0)
    assert row["error"] is None
    assert {"kind", "at", "offset"} <= row["last_snapshot"].keys()


def test_the_list_needs_two_queries_however_long_it_is(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for _ in range(12):
        make_snapshot(make_task(status=Status.RUNNING))
    with django_assert_num_queries(2):
        ops("list")


def test_the_list_filters_by_status_and_says_when_it_is_empty() -> None:
    assert "No task is submitted yet" in ops("list")[1]
    make_task("a", status=Status.RUNNING)
    make_task("b")
    assert "b" not in ops("list", "--status", "running")[1].split()
    assert "No task matches." in ops("list", "--status", "failure")[1]


def test_accepted_without_waiting_is_0() -> None:
    make_task("a")
    assert ops("run", "a") == (0, "a: accepted.\n")
    assert Task.objects.get().status == Status.OPERATING


def test_refused_is_2_and_says_why() -> None:
    make_task("a")
    code, out = ops("pause", "a", "--json")
    (result,) = json.loads(out)
    assert (code, result["outcome"], result["code"], result["allowed"]) == (2, "refused", "not_allowed", ["run"])
    assert ops("run", "nobody") == (2, "nobody: refused. There is no task nobody.\n")


def test_not_settled_within_the_wait_is_4() -> None:
    make_task("a")
    assert ops("run", "a", "--wait", "0.1") == (4, "a: not settled. Still in progress after 0.1 s.\n")


@pytest.mark.parametrize(
    ("state", "code"), [(EngineState.RUNNING, 0), (EngineState.FAILED, 3), (EngineState.UNREACHABLE, 4)]
)
def test_settled_is_0_or_3_and_unknown_is_4(monkeypatch: pytest.MonkeyPatch, state: EngineState, code: int) -> None:
    """The worker's steps are taken between two looks of the command."""
    task, engine = make_task("a"), FakeEngine()
    engine.reachable = state is not EngineState.UNREACHABLE
    engine.on_start = state

    def work(_: Any) -> None:
        OperationRequest.objects.filter(begun_at__isnull=False).update(deadline_at=timezone.now())
        for _ in range(3):
            reconcile(task.pk, engine, "worker")

    monkeypatch.setattr("tasks.management.commands.ops.time.sleep", work)
    assert ops("run", "a", "--wait", "20")[0] == code


def test_the_same_key_gets_the_first_answer_again() -> None:
    make_task("a")
    first = ops("run", "a", "--key", "nightly-1")
    assert first == ops("run", "a", "--key", "nightly-1") == (0, "a: accepted.\n")
    assert OperationRequest.objects.count() == 1
    code, out = ops("stop", "a", "--yes", "--key", "nightly-1")
    assert code == 2
    assert "was used for Run before" in out


def test_stop_wants_a_confirmation() -> None:
    make_task("a", status=Status.RUNNING)
    with pytest.raises(CommandError, match="confirm it with --yes"):
        ops("stop", "a")
    assert ops("stop", "a", "--yes", "--reason", "spring cleaning")[0] == 0
    request = OperationRequest.objects.get()
    assert (request.operation, request.reason, request.channel) == (Operation.STOP, "spring cleaning", "cli")
    assert request.actor_name.startswith("cli:")


def test_of_several_the_worst_decides_and_each_is_tried() -> None:
    make_task("a")
    make_task("b", status=Status.RUNNING)
    code, out = ops("run", "b", "a")
    assert code == 2
    assert Task.objects.get(name="a").status == Status.OPERATING
    assert out.splitlines()[1] == "a: accepted."


def test_an_answer_that_got_lost_is_asked_for_again_and_nothing_is_done_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    make_task("a")
    answers = []

    def lost(**values: Any) -> OperationRequest:
        answers.append(accept(**values))
        if len(answers) < 3:
            raise OperationalError("the connection is lost")
        return answers[-1]

    monkeypatch.setattr("tasks.management.commands.ops.accept", lost)
    monkeypatch.setattr("tasks.management.commands.ops.time.sleep", lambda _: None)
    monkeypatch.setattr("tasks.management.commands.ops.connection.close", lambda: None)
    assert ops("run", "a") == (0, "a: accepted.\n")
    assert OperationRequest.objects.count() == 1
    answers[:] = []
    monkeypatch.setattr("tasks.management.commands.ops.accept", lambda **_: (_ for _ in ()).throw(OperationalError()))
    code, out = ops("stop", "a", "--yes")
    assert code == 4
    assert "Ask again with --key" in out
