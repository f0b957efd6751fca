"""kill -9 of each process: statuses become true by themselves, and no row is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tasks.models import OperationRequest, StatusChange
from tasks.statuses import Operation, Outcome, Status
from tests.chaos.conftest import Writer
from tests.chaos.test_rounds import source, target
from tests.stack import Stack
from tests.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

#: Seconds within which a status has to be true again after the killed process was restarted.
TRUE_WITHIN = 15


def children_of(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                state, parent = (Path("/proc") / entry / "stat").read_text().rpartition(") ")[2].split()[:2]
            except OSError:
                continue
            if int(parent) == pid and state != "Z":
                found.append(int(entry))
    return found


def end_exact(stack: Stack, writer: Writer) -> None:
    """Nothing is missing on append, nothing is there twice on upsert, nobody waits for anything."""
    writer.end()
    wait_for(lambda: set(target(stack, "appended")) == set(source(stack)), "append misses nothing")
    wait_for(lambda: target(stack, "upserted") == source(stack), "upsert equals its source")
    assert not OperationRequest.objects.filter(outcome=Outcome.OPEN).exists()


@pytest.fixture
def running(stack: Stack, writer: Writer) -> Stack:
    for name in ("append", "upsert"):
        stack.operate(name, Operation.RUN)
    for name in ("append", "upsert"):
        stack.await_written(name, 50)
    return stack


def test_a_killed_task_process_is_restarted_from_its_snapshot(running: Stack, writer: Writer) -> None:
    for pid in children_of(running.processes["engine"].pid):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: running.task("append").restarts == 1, "the crash is noticed")
    for name in ("append", "upsert"):
        task = running.await_status(name, Status.RUNNING, seconds=TRUE_WITHIN)
        running.await_written(name, 20)
        assert (task.restarts, running.task(name).run.epoch) == (1, 2)
        assert "Automatic restart 1 of 50" in StatusChange.objects.filter(task=task)[0].reason
    end_exact(running, writer)


def test_a_killed_engine_takes_its_tasks_along_and_they_go_on_when_it_is_back(running: Stack, writer: Writer) -> None:
    pids = children_of(running.processes["engine"].pid)
    running.kill("engine")
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "no task outlives its engine")
    wait_for(lambda: running.task("append").engine_state == "unreachable", "the console says so")
    assert running.task("append").status == Status.RUNNING
    running.start("engine")
    for name in ("append", "upsert"):
        wait_for(lambda: running.task(name).run.epoch == 2, "the next attempt", seconds=TRUE_WITHIN)  # noqa: B023
        running.await_status(name, Status.RUNNING, seconds=TRUE_WITHIN)
        running.await_written(name, 20)
    end_exact(running, writer)


def test_an_engine_shut_down_drains_and_its_tasks_go_on_by_themselves(running: Stack, writer: Writer) -> None:
    running.kill("engine", signal.SIGTERM)
    running.start("engine")
    for name in ("append", "upsert"):
        wait_for(lambda: running.task(name).run.epoch == 2, "the next attempt", seconds=TRUE_WITHIN)  # noqa: B023
        running.await_written(name, 20)
        assert running.task(name).rows_replayed == 0
        assert running.task(name).restarts_in_row == 0
    end_exact(running, writer)


def test_a_killed_worker_is_healed_by_the_next_one(running: Stack, writer: Writer) -> None:
    """It dies with operations in flight: the next worker settles them to what the engine shows."""
    os.kill(running.processes["worker"].pid, signal.SIGSTOP)
    running.ask("append", Operation.PAUSE)
    running.ask("upsert", Operation.FORCED_PAUSE)
    os.kill(running.processes["worker"].pid, signal.SIGCONT)
    running.kill("worker")
    pids = children_of(running.processes["engine"].pid)
    running.start("worker")
    # A dead worker's lease may have to run out first.
    paused = running.await_status("append", Status.PAUSED, seconds=TRUE_WITHIN)
    forced = running.await_status("upsert", Status.PAUSED, seconds=TRUE_WITHIN)
    assert (paused.paused_how, forced.paused_how) == ("normal", "forced")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    for name in ("append", "upsert"):
        running.operate(name, Operation.CONTINUE)
        running.await_written(name, 20)
    end_exact(running, writer)


def test_a_killed_web_server_leaves_tasks_and_operations_alone(running: Stack, writer: Writer) -> None:
    running.start("web")
    running.ask("append", Operation.PAUSE)
    running.kill("web")
    running.await_status("append", Status.PAUSED)
    running.start("web")
    wait_for(running.answers, "the web server answers", seconds=20)
    assert running.task("upsert").run.epoch == 1
    running.operate("append", Operation.CONTINUE)
    running.await_written("append", 20)
    end_exact(running, writer)


def test_tasks_run_on_while_no_worker_is_there(running: Stack, writer: Writer) -> None:
    before = len(target(running, "appended"))
    running.kill("worker")
    wait_for(lambda: len(target(running, "appended")) > before + 50, "rows go on being written")
    running.start("worker")
    running.await_written("append", 20, seconds=TRUE_WITHIN)
    assert running.task("append").run.epoch == 1
    end_exact(running, writer)
