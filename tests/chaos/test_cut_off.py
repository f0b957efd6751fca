"""Workers asleep or cut off, engines that fall silent, and jobs started or ended behind the console's back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tasks.engines.local.client import LocalEngine
from tasks.models import Attempt, OperationRequest, ResourceGroup, StatusChange, Task, WorkerHeartbeat
from tasks.statuses import Operation, Outcome, Status
from tasks.worker import specs
from tests.chaos import truths
from tests.chaos.conftest import SUBMISSION, Writer, on, running_stack
from tests.chaos.proxy import Proxy
from tests.chaos.test_kills import end_exact
from tests.chaos.watch import task_processes
from tests.postgres import PostgresServer
from tests.stack import Stack
from tests.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]


@pytest.fixture
def quick(tmp_path: Path, control: PostgresServer | None, django_db_blocker: DjangoDbBlocker) -> Iterator[Stack]:
    """A stack on either database with short leases and deadlines; tasks append and upsert run."""
    stack = Stack(tmp_path, server=control)
    stack.environment |= {"OPS_LEASE_SECONDS": "5", "OPS_DETECT_SECONDS": "1"}
    writer = Writer(tmp_path / "shop.db")
    with running_stack(stack, django_db_blocker):
        stack.submit(SUBMISSION.format(directory=tmp_path))
        Task.objects.update(time_limits={"pause": 3})
        for name in ("append", "upsert"):
            stack.operate(name, Operation.RUN)
            stack.await_written(name, 10)
        yield stack
        for name in ("append", "upsert"):
            if stack.task(name).status == Status.PAUSED:
                stack.operate(name, Operation.CONTINUE)
        end_exact(stack, writer)
        truths.histories_are_whole()
        truths.each_request_has_one_chain()
    writer.end()


def held_by(name: str) -> str:
    return Task.objects.values_list("lease_owner", flat=True).get(name=name)


@pytest.mark.parametrize("how", ["stopped", "cut off"])
def test_a_worker_that_comes_back_late_changes_nothing(
    how: str,
    tmp_path: Path,
    server: PostgresServer,
    django_db_blocker: DjangoDbBlocker,
) -> None:
    """The first worker holds a task when it falls asleep, or loses the database; the second takes over; then the first
    wakes up in the middle of what it was doing."""
    proxy = Proxy(server.port)
    stack = Stack(tmp_path, server=server)
    stack.environment |= {"OPS_LEASE_SECONDS": "5"}
    writer = Writer(tmp_path / "shop.db")
    try:
        with running_stack(stack, django_db_blocker, workers=()):
            stack.submit(SUBMISSION.format(directory=tmp_path))
            start_behind(proxy, stack)
            stack.operate("upsert", Operation.RUN)
            stack.await_written("upsert", 10)
            engine, first = stack.processes["engine"], stack.processes["worker"]
            os.kill(engine.pid, signal.SIGSTOP)  # so that the operation stays in the first worker's hand
            request = stack.ask("upsert", Operation.FORCED_PAUSE)
            wait_for(lambda: held_by("upsert"), "the first worker has it in hand")
            beat = WorkerHeartbeat.objects.get()
            os.kill(first.pid, signal.SIGSTOP) if how == "stopped" else proxy.cut()
            os.kill(engine.pid, signal.SIGCONT)
            stack.start("worker-2")
            stack.await_status("upsert", Status.PAUSED, seconds=30)
            stack.operate("upsert", Operation.CONTINUE)
            os.kill(first.pid, signal.SIGCONT) if how == "stopped" else proxy.heal()
            back = WorkerHeartbeat.objects.filter(name=beat.name, beat_at__gt=beat.beat_at)
            wait_for(back.exists, "the first worker is back", seconds=40)
            nothing_more_happens(stack, request)
    finally:
        writer.end()
        proxy.close()


def start_behind(proxy: Proxy, stack: Stack) -> None:
    """Start a worker whose way to the database can be cut."""
    direct = stack.environment["DATABASE_URL"]
    stack.environment["DATABASE_URL"] = direct.replace(f":{proxy.target}/", f":{proxy.port}/")
    stack.start("worker")
    stack.environment["DATABASE_URL"] = direct


def nothing_more_happens(stack: Stack, request: OperationRequest) -> None:
    before = StatusChange.objects.count()
    stack.await_written("upsert", 50)
    request.refresh_from_db()
    task = stack.task("upsert")
    assert (request.outcome, task.status) == (Outcome.SUCCEEDED, Status.RUNNING)
    assert task.run is not None
    assert list(Attempt.objects.filter(run=task.run).order_by("epoch").values_list("epoch", flat=True)) == [1, 2]
    assert StatusChange.objects.count() == before
    assert len(task_processes(stack.data_dir)["upsert"]) == 1
    truths.each_request_has_one_chain()


@on("postgresql")
def test_an_engine_that_falls_silent_leaves_an_unknown_outcome_until_it_answers(quick: Stack) -> None:
    engine = quick.processes["engine"]
    os.kill(engine.pid, signal.SIGSTOP)
    request = quick.ask("upsert", Operation.PAUSE)

    def outcome() -> str:
        request.refresh_from_db()
        return request.outcome

    wait_for(lambda: outcome() == Outcome.UNKNOWN, "the deadline passes", seconds=30)
    task = quick.task("upsert")
    assert (task.status, task.engine_state) == (Status.RUNNING, "unreachable")
    os.kill(engine.pid, signal.SIGCONT)
    wait_for(lambda: outcome() in (Outcome.SUCCEEDED, Outcome.FAILED), "it is settled when the engine answers")
    expected = Status.PAUSED if outcome() == Outcome.SUCCEEDED else Status.RUNNING
    quick.await_status("upsert", expected)


@on("sqlite")
def test_a_snapshot_that_comes_after_the_deadline_is_adopted(quick: Stack) -> None:
    (pid,) = task_processes(quick.data_dir)["append"]
    os.kill(pid, signal.SIGSTOP)
    request = quick.ask("append", Operation.PAUSE)

    def failed() -> bool:
        request.refresh_from_db()
        return request.outcome == Outcome.FAILED

    wait_for(failed, "the deadline passes", seconds=30)
    assert "Forced pause is the way out" in request.message
    assert quick.task("append").status == Status.RUNNING
    os.kill(pid, signal.SIGCONT)
    task = quick.await_status("append", Status.PAUSED)
    assert (task.paused_how, task.status_reason) == ("normal", "A late snapshot was adopted.")


@on("postgresql")
def test_what_is_started_or_ended_behind_the_consoles_back_is_noticed(quick: Stack) -> None:
    engine = LocalEngine(quick.data_dir)
    task = quick.task("append")
    assert task.run is not None
    ref = specs.attempt_ref(task, task.run)
    engine.kill(ref)
    task = quick.await_status("append", Status.PAUSED)
    assert task.status_reason == "The engine ended it, though nobody asked for that here."
    engine.start(specs.task_spec(task, task.run), ref.epoch + 1, None)
    wait_for(
        lambda: StatusChange.objects.filter(task=task, reason__contains="which is not the newest here").exists(),
        "the stray is found",
    )
    wait_for(lambda: not task_processes(quick.data_dir).get("append"), "and ended")
    assert quick.task("append").status == Status.PAUSED


@on("sqlite")
def test_the_tasks_of_a_deleted_group_are_paused_first_and_return(quick: Stack) -> None:
    ResourceGroup.objects.all().delete()
    for name in ("append", "upsert"):
        task = quick.await_status(name, Status.DETECTION_EXCEPTION, seconds=40)
        assert (task.fault_cause, task.status_before) == ("Resource group local does not exist.", Status.PAUSED)
        newest = task.snapshots.order_by("-taken_at", "-pk").first()
        assert newest is not None
        assert newest.kind == "pause"
    assert not any(task_processes(quick.data_dir).values())
    ResourceGroup.objects.create(name="local", kind="local")
    quick.manage("ops", "detect", "append", "upsert", "--wait", "20")
    for name in ("append", "upsert"):
        assert quick.operate(name, Operation.CONTINUE).rows_replayed == 0


@on("postgresql")
def test_a_source_that_vanishes_and_comes_back(quick: Stack) -> None:
    quick.operate("append", Operation.PAUSE)
    quick.operate("upsert", Operation.FORCED_PAUSE)
    shop = quick.directory / "shop.db"
    away = shop.with_suffix(".away")
    for path in (shop, *shop.parent.glob("shop.db-*")):
        path.rename(path.parent / path.name.replace("shop.db", "shop.away"))
    for name in ("append", "upsert"):
        task = quick.await_status(name, Status.DETECTION_EXCEPTION, seconds=40)
        assert "shop.db does not exist" in task.fault_cause
        assert task.missing_since is not None
    for path in away.parent.glob("shop.away*"):
        path.rename(path.parent / path.name.replace("shop.away", "shop.db"))
    wait_for(lambda: "Re-detect returns it" in quick.task("append").fault_advice, "it is said that it is there again")
    for name, how in (("append", "normal"), ("upsert", "forced")):
        task = quick.operate(name, Operation.DETECT)
        assert (task.status, task.paused_how, task.snapshots.count() > 0) == (Status.PAUSED, how, True)
    assert not OperationRequest.objects.filter(outcome=Outcome.OPEN).exists()
