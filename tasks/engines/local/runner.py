"""One task process: source -> bounded batches -> target -> snapshot, until it is told to end or can't go on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final

import orjson

from tasks.engines.base import (
    JSON,
    DirtyRow,
    EngineState,
    ErrorClass,
    Fault,
    LogLine,
    SnapshotInfo,
    TaskSpec,
)
from tasks.engines.local import connectors
from tasks.engines.local.faults import ConnectorError, from_os_error, permanent, transient
from tasks.engines.local.progress import Progress
from tasks.engines.local.rundir import RunDir
from tasks.engines.local.sources.base import Batch, Column, Source
from tasks.engines.local.sources.sqlite import sampled_bytes
from tasks.engines.local.statefile import StateFile, read
from tasks.engines.local.targets.base import Target
from tasks.engines.local.timing import seconds_of

#: Waits between the tries of one batch whose error may pass, in seconds; past them the attempt fails (transient).
RETRY_WAITS: Final = (0.1, 0.3, 1.0)
#: Waits for new rows: short after activity (50 ms measured as the best of latency and CPU), longer when idle.
SHORTEST_IDLE, LONGEST_IDLE = 0.05, 0.5
LAG_EVERY: Final = 2.0  # seconds between two counts of what waits in the source
LOCK_WITHIN: Final = 10.0  # seconds an earlier attempt's process has to be gone


class Ended(Exception):
    """The attempt is over, in `state`."""

    def __init__(self, state: EngineState, fault: Fault | None = None) -> None:
        super().__init__(state.value)
        self.state = state
        self.fault = fault


@dataclass(slots=True)
class Orders:
    """What was asked of the process and is still to be done."""

    pause_token: str = ""
    drain: bool = False
    abort: bool = False
    snapshot_token: str = ""  # of the newest snapshot that was asked for without an end
    wants_snapshot: bool = False


def main(root: Path, spec: TaskSpec, epoch: int, snapshot: SnapshotInfo | None, control: socket.socket) -> None:
    """Run the attempt in this process, and leave its last state in the run's state file."""
    run_dir = RunDir(root, spec.task, spec.run)
    lock = _lock(run_dir)
    if lock is None:
        return  # an earlier attempt does not end: this one is seen as lost, and tried again
    runner = Runner(run_dir, spec, epoch, control)
    signal.signal(signal.SIGTERM, runner.on_sigterm)
    try:
        runner.run(snapshot)
    except Ended as ended:
        runner.finish(ended.state, ended.fault)
    except ConnectorError as error:
        runner.finish(EngineState.FAILED, error.fault)
    except OSError as error:
        runner.finish(EngineState.FAILED, from_os_error(error, f"the task's own directory ({run_dir.path})"))
    except Exception as error:
        runner.log("ERROR", traceback.format_exc(limit=20))
        cause = f"Something unforeseen went wrong ({type(error).__name__})."
        runner.finish(EngineState.FAILED, transient("unexpected", cause, "The task's log has the details."))
    finally:
        os.close(lock)


def _lock(run_dir: RunDir) -> int | None:
    """Take the task directory's lock, held as long as the process lives: two attempts never write at once."""
    fd = os.open(run_dir.task_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + LOCK_WITHIN
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return None
            time.sleep(0.02)
        else:
            return fd


class Runner:
    """The state of one attempt. Every change that others may see goes through `show`."""

    def __init__(self, run_dir: RunDir, spec: TaskSpec, epoch: int, control: socket.socket) -> None:
        self.dir = run_dir
        self.spec = spec
        self.epoch = epoch
        self.control = control
        self.orders = Orders()
        self.source: Source = connectors.source_of(spec)
        self.target: Target = connectors.target_of(spec)
        self.offset: JSON = {}
        before = read(run_dir.state_path)
        self.state_file = StateFile(run_dir.state_path)
        self.progress = Progress(before)
        self._snapshots = 0
        self._snapshot_at = time.monotonic()
        self._snapshot_offset: JSON | None = None
        self._columns: tuple[Column, ...] = ()
        self._event_place: int | None = None  # of the column that tells when a row's event was
        self.show(EngineState.STARTING)

    # --- from start to end ------------------------------------------------------------------------------

    def run(self, snapshot: SnapshotInfo | None) -> None:
        """Raises Ended, ConnectorError, OSError; never returns otherwise."""
        self.log("INFO", f"Attempt {self.epoch} begins{f' from snapshot {snapshot.id}' if snapshot else ''}.")
        faults = connectors.check(self.spec)
        if faults:
            raise ConnectorError(faults[0])
        self.offset = self.source.open(snapshot.offset if snapshot else None, self.spec.start)
        self.progress.begin_at(snapshot.position if snapshot else 0)
        if snapshot is not None:
            # The interval runs on from the snapshot itself: attempts shorter than it would else never take one,
            # and each Continue would replay more than the one before.
            self._snapshot_at -= max(0.0, time.time() - snapshot.taken_at)
        else:
            # A forced pause in the first seconds has to have something to continue from, too.
            self._take_snapshot("periodic")
            self.progress.phases.begin(self.spec.start, self._waiting())
        self._wait_for_columns()
        self._open_target(snapshot)
        self.show(EngineState.RUNNING)
        idle = 0.0
        while True:
            self._obey(idle)
            began = time.monotonic()
            batch = self._retrying(lambda: self.source.read(self.spec.batch_rows))
            if batch.count or batch.offset != self.offset:
                self._move(batch, began)
            idle = 0.0 if not batch.caught_up and batch.count else min(LONGEST_IDLE, max(SHORTEST_IDLE, idle * 2))
            if batch.count:
                idle = min(idle, SHORTEST_IDLE)
            self._note_lag(batch)
            self._snapshot_when_due()

    def _wait_for_columns(self) -> None:
        """An empty file tells no columns yet: it is RUNNING, with nothing to write."""
        columns = self.source.columns()
        while columns is None:
            self.show(EngineState.RUNNING)
            self._obey(LONGEST_IDLE)
            columns = self.source.columns()
        self._columns = columns
        names = [column.name for column in columns]
        event_time = self.spec.source.options.get("event_time")
        self._event_place = names.index(event_time) if event_time in names else None

    def _waiting(self) -> tuple[int, str] | None:
        try:
            return self.source.waiting()
        except ConnectorError:
            return None  # counting takes too long: the phase is shown without a total

    def _open_target(self, snapshot: SnapshotInfo | None) -> None:
        ledger = self._retrying(lambda: self.target.open(self._columns, self.spec.run, self.epoch))
        if ledger is None:
            return
        self.progress.lift(ledger.position, ledger.rows_written, self.spec.batch_rows)
        if self.spec.exactly_once and snapshot is not None and ledger.position > snapshot.position:
            self.offset = self.source.open(ledger.offset, self.spec.start)
            self.progress.begin_at(ledger.position)
            self.log("INFO", f"Continues from the target's ledger: {self.source.describe(self.offset)}.")

    def _move(self, batch: Batch, began: float) -> None:
        """Write one batch, and only then take its offset for read."""
        position = self.progress.position + batch.count
        written = self._retrying(lambda: self.target.write(batch.rows, batch.offset, position))
        bad = [(bad.index, bad.reason, bad.text) for bad in batch.bad]
        bad += [(index, reason, repr(batch.rows[index])) for index, reason in written.bad]
        sizes = [(bad.index, bad.bytes) for bad in batch.bad]
        sizes += [(index, sampled_bytes([batch.rows[index]])) for index, _ in written.bad]
        self._note_times(batch, began)
        fresh = self.progress.add(batch.count, written.rows, batch.bytes, written.bytes, sizes)
        self.offset = batch.offset
        self.show(EngineState.RUNNING)
        self._keep_dirty([row for row, is_fresh in zip(bad, fresh, strict=True) if is_fresh])

    def _note_times(self, batch: Batch, began: float) -> None:
        progress = self.progress
        if position_is_new := progress.position + batch.count > progress.counters.high_water:
            progress.phases.moved(batch.count, batch.bytes, caught_up=batch.caught_up)
        if not batch.rows:
            return
        progress.delivery.note(time.monotonic() - began)
        if self._event_place is not None and position_is_new:
            at = seconds_of(batch.rows[-1][self._event_place])
            if at is not None:
                progress.event_lag.note(max(0.0, time.time() - at))

    def _keep_dirty(self, bad: list[tuple[int, str, str]]) -> None:
        counters = self.progress.counters
        first = counters.rows_dirty - len(bad) + 1
        for n, (_, reason, text) in enumerate(bad, start=first):
            if n <= self.spec.dirty_limit + 1:
                self.dir.append_dirty(DirtyRow(n, time.time(), reason[:500], text[:500]))
        if counters.rows_dirty > self.spec.dirty_limit and bad:
            cause = f"{counters.rows_dirty} rows could not be written; {self.spec.dirty_limit} are allowed."
            advice = f"The latest reason: {bad[-1][1]}. Mend the rows or the target, or raise dirty_limit."
            raise ConnectorError(permanent("too_many_dirty_rows", cause, advice))

    # --- orders -----------------------------------------------------------------------------------------

    def on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self.orders.drain = True

    def _obey(self, wait: float) -> None:
        """Wait up to `wait` seconds for an order, and carry out those that came. All that was read is written here."""
        if wait and not self.orders.drain:
            select.select([self.control], [], [], wait)
        self._hear()
        if self.orders.abort:
            raise Ended(EngineState.KILLED)
        if self.orders.wants_snapshot:
            self.orders.wants_snapshot = False
            self._try_snapshot("manual")
        if self.orders.pause_token:
            self._end_with_snapshot(EngineState.PAUSED)
        elif self.orders.drain:
            self._end_with_snapshot(EngineState.DRAINED)

    def _hear(self) -> None:
        try:
            data = self.control.recv(65_536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        for line in data.splitlines():
            order = orjson.loads(line)
            self.orders.abort = self.orders.abort or bool(order.get("abort"))
            self.orders.drain = self.orders.drain or bool(order.get("drain"))
            if order.get("snapshot", self.orders.snapshot_token) != self.orders.snapshot_token:
                self.orders.snapshot_token, self.orders.wants_snapshot = order["snapshot"], True
            if order.get("pause"):
                self.orders.pause_token = order["pause"]
                self.progress.pause_token, self.progress.pause_error = order["pause"], ""
                self.show(EngineState.PAUSING)

    def _end_with_snapshot(self, state: EngineState) -> None:
        """Take the snapshot and end; where it can't be taken now, go on running and say why."""
        try:
            self._take_snapshot("pause")
        except (OSError, ConnectorError) as error:
            fault = error.fault if isinstance(error, ConnectorError) else from_os_error(error, "the snapshot")
            self.log("ERROR", f"No snapshot could be taken: {fault.sentence}")
            if state is EngineState.DRAINED:
                raise Ended(EngineState.FAILED, replace(fault, error_class=ErrorClass.TRANSIENT)) from None
            self._pause_fails(fault)
        else:
            raise Ended(state)

    def _pause_fails(self, fault: Fault) -> None:
        self.progress.pause_error = fault.sentence
        self.orders.pause_token = ""
        self.show(EngineState.RUNNING)

    def _retrying(self, action: Any) -> Any:
        """Do `action`; an error that may pass is tried again a few times, visibly, then raised."""
        for wait in RETRY_WAITS:
            try:
                result = action()
            except ConnectorError as error:
                if error.fault.error_class is not ErrorClass.TRANSIENT:
                    raise
                self._wait_out(error.fault, wait)
            else:
                if self.progress.fault is not None:
                    self.progress.fault = None
                    self.show(EngineState.RUNNING)
                return result
        return action()

    def _wait_out(self, fault: Fault, wait: float) -> None:
        self.progress.fault = fault
        self.log("WARNING", f"{fault.sentence} Trying again in {wait} s.")
        self.show(EngineState.RUNNING)
        select.select([self.control], [], [], wait)
        self._hear()
        if self.orders.abort:
            raise Ended(EngineState.KILLED)
        if self.orders.pause_token:
            self._pause_fails(fault)  # rows in hand can't be written now, so nothing complete can be snapshot

    # --- snapshots and what is shown --------------------------------------------------------------------

    def _snapshot_when_due(self) -> None:
        if time.monotonic() - self._snapshot_at >= self.spec.snapshot_interval and self.offset != self._snapshot_offset:
            self._try_snapshot("periodic")

    def _try_snapshot(self, kind: str) -> None:
        try:
            self._take_snapshot(kind)
        except (OSError, ConnectorError) as error:
            self._snapshot_at = time.monotonic()
            self.log("ERROR", f"The {kind} snapshot failed; the next one is due in its interval: {error}")

    def _take_snapshot(self, kind: str) -> None:
        """Record the offset durably; everything before it was committed by the target, and is flushed first."""
        begin = time.monotonic()
        self.target.flush()
        self._snapshots += 1
        snapshot = SnapshotInfo(
            id=f"e{self.epoch}-{self._snapshots:06}",
            kind=kind,
            run=self.spec.run,
            epoch=self.epoch,
            taken_at=time.time(),
            offset=self.offset,
            offset_text=self.source.describe(self.offset),
            position=self.progress.position,
            duration_ms=round((time.monotonic() - begin) * 1000, 3),
        )
        self.dir.write_snapshot(snapshot, self.spec.keep_snapshots)
        self._snapshot_at, self._snapshot_offset = time.monotonic(), self.offset

    def _note_lag(self, batch: Batch) -> None:
        progress, now = self.progress, time.time()
        behind = 0.0 if batch.caught_up else now - progress.caught_up_at
        if batch.caught_up:
            progress.caught_up_at = now
            progress.phases.moved(0, 0, caught_up=True)
        changed = (behind == 0.0) != (progress.lag_seconds == 0.0)
        progress.lag_seconds = behind
        if changed or now - progress.lag_at > LAG_EVERY:
            progress.lag_at = now
            progress.lag_rows = 0 if batch.caught_up else self.source.lag_rows()
            self.show(EngineState.RUNNING)

    def show(self, state: EngineState, fault: Fault | None = None) -> None:
        if state is EngineState.RUNNING and self.orders.pause_token:
            state = EngineState.PAUSING
        offset_text = self.source.describe(self.offset) if self.offset else ""
        self.state_file.write(self.progress.shown(self.epoch, state, offset_text, fault))

    def finish(self, state: EngineState, fault: Fault | None) -> None:
        """Leave the last state durably; nothing may stop that."""
        self.log("ERROR" if fault else "INFO", f"Attempt {self.epoch} ends: {fault.sentence if fault else state.value}")
        try:
            self.show(state, fault)
            self.state_file.flush()
        finally:
            self.source.close()
            self.target.close()

    def log(self, level: str, text: str) -> None:
        self.progress.log_n += 1
        line = LogLine(self.progress.log_n, time.time(), level, self.epoch, text[:4000])
        with contextlib.suppress(OSError):  # a full disk must not end a task that could still write elsewhere
            self.dir.append_log(line)
