"""Twenty rounds each of what operators do all day, with a source that never stands still."""

from __future__ import annotations

import pytest

from tasks.impact import load_ledger, replay_rows
from tasks.statuses import Operation, Status
from tests.chaos.conftest import Writer
from tests.stack import Stack, counted, rows
from tests.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

ROUNDS = 20
ALL = "SELECT id, what, price FROM {} ORDER BY id"


def source(stack: Stack) -> list[tuple[object, ...]]:
    return rows(stack.directory / "shop.db", ALL.format("orders"))


def target(stack: Stack, table: str) -> list[tuple[object, ...]]:
    return rows(stack.directory / "warehouse.db", ALL.format(table))


def test_pause_and_continue_neither_lose_nor_repeat_a_row(stack: Stack, writer: Writer) -> None:
    stack.operate("append", Operation.RUN)
    for _ in range(ROUNDS):
        stack.await_written("append", 10)
        task = stack.operate("append", Operation.PAUSE)
        assert (task.status, task.paused_how) == (Status.PAUSED, "normal")
        stack.operate("append", Operation.CONTINUE)
    writer.end()
    wait_for(lambda: target(stack, "appended") == source(stack), "the target equals the source")
    assert stack.task("append").rows_replayed == 0


def test_forced_pause_and_continue_leave_an_upsert_target_exact(stack: Stack, writer: Writer) -> None:
    stack.operate("upsert", Operation.RUN)
    for _ in range(ROUNDS):
        stack.await_written("upsert", 10)
        task = stack.operate("upsert", Operation.FORCED_PAUSE)
        assert (task.status, task.paused_how) == (Status.PAUSED, "forced")
        stack.operate("upsert", Operation.CONTINUE)
    writer.end()
    wait_for(lambda: target(stack, "upserted") == source(stack), "the target equals the source")


def test_forced_pause_and_continue_repeat_on_append_what_was_forecast(stack: Stack, writer: Writer) -> None:
    forecast = 0
    stack.operate("append", Operation.RUN)
    for _ in range(ROUNDS):
        stack.await_written("append", 10)
        task = stack.operate("append", Operation.FORCED_PAUSE)
        forecast += replay_rows(task, load_ledger(task, Operation.CONTINUE).newest)  # what the dialog says
        stack.operate("append", Operation.CONTINUE)
        furthest = task.high_water
        wait_for(lambda: stack.task("append").position >= furthest, "the replay is over")  # noqa: B023
    writer.end()
    found = "SELECT id, what, price FROM {}"
    everything = counted(stack.directory / "shop.db", found.format("orders"))
    appended = stack.directory / "warehouse.db"
    wait_for(lambda: set(counted(appended, found.format("appended"))) == set(everything), "nothing is missing")
    duplicates = counted(appended, found.format("appended")).total() - everything.total()
    task = stack.operate("append", Operation.PAUSE)
    assert duplicates == task.rows_replayed
    assert duplicates > 0
    # A kill may fall between a batch's commit and its count, which is seldom: a batch of this writer is some 30 rows.
    assert abs(duplicates - forecast) <= 60
