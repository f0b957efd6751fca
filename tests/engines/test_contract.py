"""The contract, on real processes: what every engine has to answer."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from tasks.engines.base import (
    ALIVE,
    AttemptRef,
    EngineRefused,
    EngineState,
    EngineUnreachable,
    ErrorClass,
    SourceSpec,
    TargetSpec,
)
from tasks.engines.local.children import Child
from tasks.engines.local.client import LocalEngine
from tasks.engines.local.requests import HANGS_AFTER, Desk
from tasks.engines.local.rundir import RunDir
from tasks.engines.local.statefile import StateFile
from tests.engines.conftest import HostProcess, Tables, await_state, await_written, look, newest, pid_of
from tests.waiting import wait_for

pytestmark = pytest.mark.process


def test_a_task_moves_what_is_there_and_what_comes(host: HostProcess, tables: Tables) -> None:
    tables.add(1000)
    ref = host.engine.start(tables.spec(), 1, None)
    seen = await_written(host, ref, 1000)
    tables.add(5)
    seen = await_written(host, ref, 1005)
    assert tables.target_ids() == tables.source_ids()
    assert (seen.state, seen.counters.rows_read, seen.offset_text) == (EngineState.RUNNING, 1005, "id = 1005")


def test_the_same_epoch_again_adopts_and_an_older_one_is_refused(host: HostProcess, tables: Tables) -> None:
    ref = host.engine.start(tables.spec(), 2, None)
    await_state(host, ref, EngineState.RUNNING)
    pid = pid_of(host)
    assert host.engine.start(tables.spec(), 2, None) == ref
    assert pid_of(host) == pid
    with pytest.raises(EngineRefused) as caught:
        host.engine.start(tables.spec(), 1, None)
    assert caught.value.code == "stale_epoch"


def test_pause_takes_a_snapshot_and_continue_neither_loses_nor_repeats(
    host: HostProcess, tables: Tables, writer: threading.Event
) -> None:
    ref = host.engine.start(tables.spec(), 1, None)
    for epoch in range(2, 8):
        await_written(host, ref, epoch * 20)
        host.engine.pause(ref, f"pause-{epoch}")
        seen = await_state(host, ref, EngineState.PAUSED)
        assert (newest(seen).kind, seen.pause_token) == ("pause", f"pause-{epoch}")
        ref = host.engine.start(tables.spec(), epoch, newest(seen))
    writer.set()
    wait_for(lambda: tables.target_ids()[-1:] == tables.source_ids()[-1:])
    assert tables.target_ids() == tables.source_ids()
    assert look(host, ref).counters.rows_replayed == 0


def test_after_a_kill_the_replayed_rows_are_those_forecast(
    host: HostProcess, tables: Tables, writer: threading.Event
) -> None:
    spec = tables.spec(snapshot_interval=0.3, batch_rows=50)
    ref = host.engine.start(spec, 1, None)
    forecast = 0
    for epoch in range(2, 8):
        before = look(host, ref).counters.position
        await_written(host, ref, before + 100)
        host.engine.kill(ref)
        seen = await_state(host, ref, EngineState.KILLED)
        forecast += seen.counters.high_water - newest(seen).position
        ref = host.engine.start(spec, epoch, newest(seen))
        wait_for(lambda: look(host, ref).counters.position > seen.counters.high_water)  # noqa: B023
    writer.set()
    wait_for(lambda: tables.target_ids()[-1:] == tables.source_ids()[-1:])
    host.engine.pause(ref, "end")
    seen = await_state(host, ref, EngineState.PAUSED)
    counted = Counter(tables.target_ids())
    assert sorted(counted) == tables.source_ids()
    duplicates = sum(counted.values()) - len(counted)
    assert duplicates == seen.counters.rows_replayed
    assert abs(duplicates - forecast) <= 50 * 6


def test_attempts_shorter_than_the_interval_still_get_on(
    host: HostProcess, tables: Tables, writer: threading.Event
) -> None:
    """The interval runs from the snapshot continued from: replays don't grow with every short attempt."""
    spec = tables.spec(snapshot_interval=1.0)
    ref = host.engine.start(spec, 1, None)
    begun_at = newest(await_state(host, ref, EngineState.RUNNING)).taken_at
    for epoch in range(2, 12):
        seen = await_written(host, ref, look(host, ref).counters.rows_written + 30)
        wait_for(lambda: time.time() - begun_at > epoch * 0.3)  # noqa: B023
        host.engine.kill(ref)
        seen = await_state(host, ref, EngineState.KILLED)
        ref = host.engine.start(spec, epoch, newest(seen))
    assert newest(look(host, ref)).taken_at > begun_at + 1.0


def test_upsert_replays_without_duplicates(host: HostProcess, tables: Tables, writer: threading.Event) -> None:
    spec = tables.spec(target=replace(tables.spec().target, mode="upsert", key=("id",)))
    ref = host.engine.start(spec, 1, None)
    for epoch in range(2, 7):
        await_written(host, ref, epoch * 30)
        host.engine.kill(ref)
        ref = host.engine.start(spec, epoch, newest(await_state(host, ref, EngineState.KILLED)))
    writer.set()
    wait_for(lambda: tables.target_ids() == tables.source_ids())


def test_exactly_once_continues_from_the_ledger(host: HostProcess, tables: Tables, writer: threading.Event) -> None:
    spec = tables.spec(exactly_once=True, snapshot_interval=60.0)
    ref = host.engine.start(spec, 1, None)
    for epoch in range(2, 7):
        await_written(host, ref, epoch * 30)
        host.engine.kill(ref)
        ref = host.engine.start(spec, epoch, newest(await_state(host, ref, EngineState.KILLED)))
        await_state(host, ref, EngineState.RUNNING)
    writer.set()
    wait_for(lambda: tables.target_ids()[-1:] == tables.source_ids()[-1:])
    assert tables.target_ids() == tables.source_ids()


def test_a_crash_is_lost_and_its_figures_and_snapshots_are_kept(host: HostProcess, tables: Tables) -> None:
    tables.add(500)
    ref = host.engine.start(tables.spec(), 1, None)
    await_written(host, ref, 500)
    os.kill(pid_of(host), signal.SIGKILL)
    seen = await_state(host, ref, EngineState.LOST)
    assert (seen.counters.rows_written, seen.counters.high_water) == (500, 500)
    assert seen.snapshots


def test_sigterm_from_outside_drains(host: HostProcess, tables: Tables) -> None:
    tables.add(10)
    ref = host.engine.start(tables.spec(), 1, None)
    await_written(host, ref, 10)
    os.kill(pid_of(host), signal.SIGTERM)
    seen = await_state(host, ref, EngineState.DRAINED)
    assert newest(seen).position == 10


def test_the_host_shut_down_drains_and_the_next_one_knows(host: HostProcess, tables: Tables) -> None:
    tables.add(10)
    ref = host.engine.start(tables.spec(), 1, None)
    await_written(host, ref, 10)
    host.end(signal.SIGTERM)
    assert look(host, ref).state is EngineState.UNREACHABLE
    host.start()
    seen = look(host, ref)
    assert (seen.state, newest(seen).position) == (EngineState.DRAINED, 10)


def test_the_host_killed_takes_its_tasks_along_and_the_next_one_knows(host: HostProcess, tables: Tables) -> None:
    tables.add(10)
    ref = host.engine.start(tables.spec(), 1, None)
    await_written(host, ref, 10)
    pid = pid_of(host)
    host.end(signal.SIGKILL)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the task died with its host")
    host.start()
    seen = look(host, ref)
    assert (seen.state, seen.counters.rows_written) == (EngineState.LOST, 10)
    ref = host.engine.start(tables.spec(), 2, newest(seen))
    await_state(host, ref, EngineState.RUNNING)


def test_an_older_attempt_that_wakes_up_is_refused_by_the_target(
    host: HostProcess, tables: Tables, writer: threading.Event
) -> None:
    """The old process is stopped, its host killed, and a second host starts the next attempt beside it."""
    spec = tables.spec()
    ref = host.engine.start(spec, 1, None)
    seen = await_written(host, ref, 50)
    old = pid_of(host)
    os.kill(old, signal.SIGSTOP)
    snapshot = newest(seen)
    other = HostProcess(host.data_dir.parent / "other")
    other.start()
    try:
        second = other.engine.start(replace(spec, name="second"), 2, snapshot)
        await_written(other, second, 20)
        os.kill(old, signal.SIGCONT)
        seen = await_state(host, ref, EngineState.FAILED)
        assert seen.fault is not None
        assert seen.fault.code == "fenced"
    finally:
        other.end(signal.SIGKILL)


def test_a_newer_epoch_ends_the_older_attempt_first(host: HostProcess, tables: Tables) -> None:
    tables.add(10)
    first = host.engine.start(tables.spec(), 1, None)
    seen = await_written(host, first, 10)
    second = host.engine.start(tables.spec(), 2, newest(seen))
    await_state(host, second, EngineState.RUNNING)
    assert look(host, first).state is EngineState.ABSENT
    assert look(host, first).newest_epoch == 2


def test_kill_with_grace_ends_in_a_whole_batch(host: HostProcess, tables: Tables) -> None:
    ref = host.engine.start(tables.spec(), 1, None)
    await_state(host, ref, EngineState.RUNNING)
    host.engine.kill(ref, grace=5.0)
    await_state(host, ref, EngineState.KILLED)


def test_discard_forgets_the_run_and_it_never_starts_again(host: HostProcess, tables: Tables) -> None:
    ref = host.engine.start(tables.spec(), 1, None)
    await_state(host, ref, EngineState.RUNNING)
    with pytest.raises(EngineRefused) as caught:
        host.engine.discard(ref)
    assert caught.value.code == "alive"
    host.engine.kill(ref)
    await_state(host, ref, EngineState.KILLED)
    host.engine.discard(ref)
    host.engine.discard(ref)
    assert look(host, ref).state is EngineState.ABSENT
    with pytest.raises(EngineRefused) as caught:
        host.engine.start(tables.spec(), 1, None)
    assert caught.value.code == "stale_epoch"
    again = host.engine.start(tables.spec(run=2), 1, None)
    await_state(host, again, EngineState.RUNNING)


def test_a_start_that_finds_nothing_names_what_is_missing(host: HostProcess, tables: Tables) -> None:
    spec = tables.spec(source=SourceSpec(tables.connection("shop", tables.source_path), "returns"))
    ref = host.engine.start(spec, 1, None)
    fault = await_state(host, ref, EngineState.FAILED).fault
    assert fault is not None
    assert (fault.error_class, fault.code) == (ErrorClass.MISSING, "table_missing")
    assert "Table returns does not exist" in fault.cause
    assert host.engine.check(spec)[0] == fault


def test_a_check_reports_every_problem_missing_ones_first(host: HostProcess, tables: Tables) -> None:
    target = TargetSpec(tables.connection("out", tables.directory / "nowhere", "file"), "orders.jsonl")
    source = SourceSpec(tables.connection("shop", tables.source_path), "orders", {"cursor": "when"})
    faults = host.engine.check(tables.spec(source=source, target=target))
    assert [fault.code for fault in faults] == ["connection_missing", "column_missing"]
    assert "it has id, what, price" in faults[1].cause


def test_latest_begins_after_what_is_there(host: HostProcess, tables: Tables) -> None:
    tables.add(10)
    ref = host.engine.start(tables.spec(start="latest"), 1, None)
    await_state(host, ref, EngineState.RUNNING)
    tables.add(3)
    await_written(host, ref, 3)
    assert tables.target_ids() == [11, 12, 13]


def test_rows_that_the_target_does_not_take_are_kept_with_their_reason(host: HostProcess, tables: Tables) -> None:
    tables.read(tables.target_path, "CREATE TABLE orders (id INTEGER, what TEXT CHECK (what <> 'bad'), price REAL)")
    tables.add(20)
    tables.add(2, "bad")
    tables.add(20)
    ref = host.engine.start(tables.spec(dirty_limit=5), 1, None)
    seen = await_written(host, ref, 40)
    assert (seen.counters.rows_dirty, [row.n for row in seen.dirty]) == (2, [2, 1])
    assert "CHECK constraint failed" in seen.dirty[0].reason
    assert "'bad'" in seen.dirty[0].row
    tables.add(5, "bad")
    seen = await_state(host, ref, EngineState.FAILED)
    assert seen.fault is not None
    assert (seen.fault.code, seen.counters.rows_dirty) == ("too_many_dirty_rows", 7)


def test_without_a_host_the_client_says_so(tmp_path: Path, tables: Tables) -> None:
    engine = LocalEngine(tmp_path)
    ref = AttemptRef("5eed", 1, 1)
    assert engine.observe([ref])[ref].state is EngineState.UNREACHABLE
    with pytest.raises(EngineUnreachable, match="run_local_engine"):
        engine.start(tables.spec(), 1, None)


def test_a_stopped_task_process_does_not_hold_up_the_host(host: HostProcess, tables: Tables) -> None:
    ref = host.engine.start(tables.spec(), 1, None)
    await_state(host, ref, EngineState.RUNNING)
    pid = pid_of(host)
    os.kill(pid, signal.SIGSTOP)
    host.engine.pause(ref, "p1")
    assert look(host, ref).state in ALIVE
    host.engine.kill(ref)
    await_state(host, ref, EngineState.KILLED)


@pytest.mark.parametrize("last", ["failed", "paused", "finished"])
def test_an_attempt_on_its_way_out_is_not_shown_as_running(tmp_path: Path, last: str) -> None:
    """Its last words are written, its process is still there: a start that failed must not look like one that ran."""
    desk = Desk(tmp_path)
    run_dir = RunDir(tmp_path, "5eed", 1)
    run_dir.make()
    run_dir.set_epoch(1)
    StateFile(run_dir.state_path).write({"epoch": 1, "state": last})
    ours, theirs = socket.socketpair()
    desk.children.by_task["5eed"] = Child(os.getpid(), "5eed", 1, 1, ours)
    answers: list[dict[str, Any]] = []
    ref = AttemptRef("5eed", 1, 1)
    desk.answer(orjson.dumps({"do": "observe", "refs": [asdict(ref)]}), answers.append)
    assert answers[0]["ok"][0]["state"] == "starting"
    del desk.children.by_task["5eed"]
    desk.answer(orjson.dumps({"do": "observe", "refs": [asdict(ref)]}), answers.append)
    assert answers[1]["ok"][0]["state"] == last
    ours.close()
    theirs.close()


def test_it_shows_the_full_phase_and_how_long_rows_take(host: HostProcess, tables: Tables) -> None:
    tables.add(1000)
    spec = tables.spec(batch_rows=100)
    ref = host.engine.start(spec, 1, None)
    seen = await_written(host, ref, 1000)
    seen = wait_for(lambda: (now := look(host, ref)).phase and now.phase.name == "incremental" and now)
    assert (seen.phase.done, seen.phase.total, seen.phase.unit) == (1000, 1000, "rows")
    assert seen.phase.ended_at >= seen.phase.began_at
    assert seen.delivery_ms > 0
    assert seen.event_lag_ms is None  # no column was named that tells it
    assert seen.log_n >= 1
    host.engine.kill(ref)
    await_state(host, ref, EngineState.KILLED)
    host.engine.start(spec, 2, newest(seen))
    again = await_state(host, replace(ref, epoch=2), EngineState.RUNNING)
    assert again.phase == seen.phase  # a replay does not bring it back


def test_a_process_that_hangs_is_seen_falling_behind(host: HostProcess, tables: Tables) -> None:
    tables.add(10)
    ref = host.engine.start(tables.spec(), 1, None)
    await_written(host, ref, 10)
    pid = pid_of(host)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: (look(host, ref).lag_seconds or 0) > HANGS_AFTER, "its lag grows while it hangs", seconds=20)
        assert look(host, ref).state is EngineState.RUNNING
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: look(host, ref).lag_seconds == 0.0, "it has caught up")


def test_a_snapshot_on_demand_ends_nothing_and_is_taken_once_a_token(host: HostProcess, tables: Tables) -> None:
    tables.add(10)
    ref = host.engine.start(tables.spec(snapshot_interval=3600.0), 1, None)
    await_written(host, ref, 10)
    for _ in range(3):
        host.engine.snapshot(ref, "first")
    wait_for(lambda: newest(look(host, ref)).kind == "manual", "it is taken")
    tables.add(5)
    seen = await_written(host, ref, 15)
    assert [info.kind for info in seen.snapshots] == ["manual", "periodic"]
    assert (newest(seen).position, seen.state) == (10, EngineState.RUNNING)
    host.engine.snapshot(ref, "second")
    wait_for(lambda: newest(look(host, ref)).position == 15, "the second is taken")
    host.engine.kill(ref)
    await_state(host, ref, EngineState.KILLED)
    host.engine.snapshot(ref, "third")  # nobody takes it, and nobody minds
