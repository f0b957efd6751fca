"""What the host answers: one function a request, over the children that it owns and the runs that are on disk."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from tasks.engines.base import JSON, AttemptRef, Counters, EngineState, Found, Observation, SnapshotInfo, TaskSpec
from tasks.engines.local import connectors, lookup, wire
from tasks.engines.local.children import Child, Children, fork, fork_task
from tasks.engines.local.faults import ConnectorError, transient
from tasks.engines.local.rundir import RunDir, discarded_run, newest_run
from tasks.engines.local.statefile import read

log = logging.getLogger(__name__)

CHECK_WITHIN: Final = 10.0  # seconds a check may take before it is ended
DIRTY_SHOWN: Final = 20
LOG_LINES: Final = 1_000
#: A process that goes round its loop tells of itself every 2 s at least; one that hangs in a write does not.
HANGS_AFTER: Final = 5.0

Answer = JSON
Reply = Callable[[Answer], None]
_ENDED = {
    state.value
    for state in (
        EngineState.PAUSED,
        EngineState.DRAINED,
        EngineState.KILLED,
        EngineState.FAILED,
        EngineState.FINISHED,
    )
}


def refused(code: str, sentence: str) -> Answer:
    return {"refused": {"code": code, "sentence": sentence}}


class Refused(Exception):
    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(slots=True)
class Waiting:
    """A start that waits for an older attempt of the task to end."""

    spec: TaskSpec
    epoch: int
    snapshot: SnapshotInfo | None


@dataclass(slots=True)
class Check:
    """A check under way in a process of its own."""

    pid: int
    output: int
    until: float
    reply: Reply
    received: bytes = b""


class Desk:
    """Takes requests; `look_after` is called whenever something may have ended."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.children = Children()
        self.waiting: dict[str, Waiting] = {}
        self.checks: list[Check] = []
        self.draining = False

    @property
    def running(self) -> int:
        return len(self.children.by_task)

    def answer(self, line: bytes, reply: Reply) -> None:
        """Answer one request line, at once or (a check) when it is done. Bad requests are refused, never fatal."""
        try:
            request = orjson.loads(line)
            handler = _HANDLERS[request.pop("do")]
            handler(self, request, reply)
        except Refused as error:
            reply(refused(error.code, str(error)))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            reply(refused("bad_request", f"The request could not be read ({type(error).__name__})."))
        except OSError as error:
            log.error("A request failed: %s", error)
            reply(refused("io_error", f"The engine's data directory: {error.strerror or error}."))

    # --- time passes ------------------------------------------------------------------------------------

    def look_after(self) -> None:
        self.children.kill_overdue()
        for child in self.children.reap():
            waiting = self.waiting.pop(child.task, None)
            if waiting is not None and not self.draining:
                self._launch(waiting.spec, waiting.epoch, waiting.snapshot)
        for check in list(self.checks):
            self._look_after_check(check)

    def next_deadline(self) -> float | None:
        # A check's output is looked at this often while one is under way; it is no part of the selector.
        soon = [time.monotonic() + 0.02] if self.checks else []
        deadline = self.children.next_deadline()
        return min([*soon, *([deadline] if deadline is not None else [])], default=None)

    def drain(self) -> None:
        self.draining = True
        self.waiting.clear()
        for child in self.children.by_task.values():
            child.order({"drain": True})

    def kill_all(self) -> None:
        for child in self.children.by_task.values():
            child.kill()

    # --- requests ---------------------------------------------------------------------------------------

    def start(self, request: JSON, reply: Reply) -> None:
        spec, epoch = wire.task_spec(request["spec"]), int(request["epoch"])
        _refuse_odd_name(spec.task)
        if self.draining:
            raise Refused("shutting_down", "The local engine is shutting down.")
        run_dir = RunDir(self.root, spec.task, spec.run)
        newest = max(newest_run(run_dir.task_path), discarded_run(run_dir.task_path))
        if spec.run < newest or spec.run <= discarded_run(run_dir.task_path):
            raise Refused("stale_epoch", f"Run {spec.run} is over: run {newest} is the newest that was started.")
        if epoch < run_dir.epoch:
            raise Refused("stale_epoch", f"Attempt {epoch} is older than attempt {run_dir.epoch}.")
        try:
            connectors.source_of(spec), connectors.target_of(spec)
        except ConnectorError as error:
            raise Refused(error.fault.code, error.fault.sentence) from None
        if epoch > run_dir.epoch:
            run_dir.make()
            run_dir.set_epoch(epoch)
            self._begin(spec, epoch, wire.snapshot(request["snapshot"]))
        reply({"ok": asdict(AttemptRef(spec.task, spec.run, epoch))})

    def _begin(self, spec: TaskSpec, epoch: int, snapshot: SnapshotInfo | None) -> None:
        older = self.children.by_task.get(spec.task)
        if older is None:
            self._launch(spec, epoch, snapshot)
            return
        RunDir(self.root, older.task, older.run).set_killed(older.epoch)
        older.kill()
        self.waiting[spec.task] = Waiting(spec, epoch, snapshot)

    def _launch(self, spec: TaskSpec, epoch: int, snapshot: SnapshotInfo | None) -> None:
        try:
            self.children.by_task[spec.task] = fork_task(self.root, spec, epoch, snapshot)
        except OSError as error:
            log.error("Task %s could not be started: %s", spec.name, error)  # seen as lost, and tried again

    def _live(self, ref: AttemptRef) -> Child | None:
        child = self.children.by_task.get(ref.task)
        return child if child is not None and (child.run, child.epoch) == (ref.run, ref.epoch) else None

    def pause(self, request: JSON, reply: Reply) -> None:
        child = self._live(wire.ref(request["ref"]))
        if child is not None:
            child.order({"pause": str(request["token"])})
        reply({"ok": None})

    def snapshot(self, request: JSON, reply: Reply) -> None:
        child = self._live(wire.ref(request["ref"]))
        if child is not None:
            child.order({"snapshot": str(request["token"])})
        reply({"ok": None})

    def kill(self, request: JSON, reply: Reply) -> None:
        ref, grace = wire.ref(request["ref"]), float(request["grace"])
        _refuse_odd_name(ref.task)
        waiting = self.waiting.get(ref.task)
        if waiting is not None and (waiting.spec.run, waiting.epoch) == (ref.run, ref.epoch):
            del self.waiting[ref.task]
        run_dir = RunDir(self.root, ref.task, ref.run)
        child = self._live(ref)
        if run_dir.exists() and run_dir.epoch == ref.epoch and run_dir.killed_epoch < ref.epoch:
            run_dir.set_killed(ref.epoch)
        if child is not None and grace > 0 and child.kill_at is None:
            child.order({"abort": True})
            child.kill_at = time.monotonic() + grace
        elif child is not None and grace <= 0:
            child.kill()
        reply({"ok": None})

    def discard(self, request: JSON, reply: Reply) -> None:
        ref = wire.ref(request["ref"])
        _refuse_odd_name(ref.task)
        child = self.children.by_task.get(ref.task)
        waiting = self.waiting.get(ref.task)
        if (child and child.run == ref.run) or (waiting and waiting.spec.run == ref.run):
            raise Refused("alive", f"Run {ref.run} still has a live attempt.")
        run_dir = RunDir(self.root, ref.task, ref.run)
        if ref.epoch < run_dir.epoch:
            raise Refused("stale_epoch", f"Attempt {ref.epoch} is older than attempt {run_dir.epoch}.")
        run_dir.discard()
        reply({"ok": None})

    def observe(self, request: JSON, reply: Reply) -> None:
        reply({"ok": [asdict(self._observe(wire.ref(item))) for item in request["refs"]]})

    def _observe(self, ref: AttemptRef) -> Observation:
        _refuse_odd_name(ref.task)
        run_dir = RunDir(self.root, ref.task, ref.run)
        if not run_dir.exists():
            return Observation(ref, EngineState.ABSENT, at=time.time())
        newest = run_dir.epoch
        shown = read(run_dir.state_path) or {}
        state = self._state(ref, run_dir, shown) if newest == ref.epoch else EngineState.ABSENT
        own = shown if shown.get("epoch") == ref.epoch else {}
        counters = Counters(**shown.get("counters", {}))
        lag_seconds, lag_rows = _lag(state, own)
        return Observation(
            ref=ref,
            state=state,
            newest_epoch=newest,
            at=time.time(),
            counters=counters,
            offset_text=shown.get("offset_text", ""),
            lag_seconds=lag_seconds,
            lag_rows=lag_rows,
            last_write_at=shown.get("last_write_at"),
            delivery_ms=own.get("delivery_ms"),
            event_lag_ms=own.get("event_lag_ms"),
            phase=wire.phase(shown.get("phase")),
            log_n=shown.get("log_n", 0),
            snapshots=run_dir.snapshots(),
            dirty=run_dir.dirty_rows(DIRTY_SHOWN) if counters.rows_dirty else (),
            fault=wire.fault(own.get("fault")),
            pause_token=own.get("pause_token", ""),
            pause_error=own.get("pause_error", ""),
        )

    def _state(self, ref: AttemptRef, run_dir: RunDir, shown: JSON) -> EngineState:
        own = shown.get("state") if shown.get("epoch") == ref.epoch else None
        if ref.task in self.waiting:
            return EngineState.STARTING
        if self._live(ref) is not None:
            if own is None:
                return EngineState.STARTING
            # Its last words may be written while the process is still on its way out: it counts as alive until it is
            # reaped, but not as running: it may never have been.
            return EngineState.STARTING if own in _ENDED else EngineState(own)
        if own in _ENDED:
            return EngineState(str(own))
        return EngineState.KILLED if run_dir.killed_epoch >= ref.epoch else EngineState.LOST

    def live(self, request: JSON, reply: Reply) -> None:
        alive = [AttemptRef(child.task, child.run, child.epoch) for child in self.children.by_task.values()]
        alive += [AttemptRef(w.spec.task, w.spec.run, w.epoch) for w in self.waiting.values()]
        reply({"ok": [asdict(ref) for ref in alive]})

    def logs(self, request: JSON, reply: Reply) -> None:
        ref = wire.ref(request["ref"])
        _refuse_odd_name(ref.task)
        found = RunDir(self.root, ref.task, ref.run).log_lines(int(request["after"]), LOG_LINES)
        reply({"ok": [asdict(line) for line in found]})

    def capacity(self, request: JSON, reply: Reply) -> None:
        reply({"ok": {"running": self.running, "limit": None}})

    # --- checks -----------------------------------------------------------------------------------------

    def check(self, request: JSON, reply: Reply) -> None:
        spec = wire.task_spec(request["spec"])
        self._begin_check(spec.name, lambda: connectors.check(spec), reply)

    def check_connection(self, request: JSON, reply: Reply) -> None:
        connection = wire.connection(request["connection"])
        self._begin_check(connection.name, lambda: connectors.check_connection(connection), reply)

    def look_up(self, request: JSON, reply: Reply) -> None:
        connection, name = wire.connection(request["connection"]), str(request["object"])

        def look() -> JSON:
            try:
                return asdict(lookup.look_up(connection, name))
            except ConnectorError as error:
                return asdict(Found(problem=error.fault.sentence))

        self._begin_work(f"look {connection.name}", look, reply)

    def _begin_check(self, name: str, check: Callable[[], Any], reply: Reply) -> None:
        self._begin_work(f"check {name}", lambda: [asdict(fault) for fault in check()], reply)

    def _begin_work(self, name: str, find: Callable[[], Any], reply: Reply) -> None:
        """Look in a process of its own: a driver that hangs must not hang the host."""
        reading, writing = os.pipe()

        def work() -> None:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(orjson.dumps(find()))

        pid = fork(work, keep=writing, name=name)
        os.close(writing)
        os.set_blocking(reading, False)
        self.checks.append(Check(pid, reading, time.monotonic() + CHECK_WITHIN, reply))

    def _look_after_check(self, check: Check) -> None:
        overdue = time.monotonic() > check.until
        ended = False
        while select.select([check.output], [], [], 0)[0]:
            part = os.read(check.output, 65_536)
            check.received += part
            if not part:
                ended = True
                break
        if not ended and not overdue:
            return
        self.checks.remove(check)
        os.close(check.output)
        with contextlib.suppress(ProcessLookupError):
            os.kill(check.pid, 9)
        os.waitpid(check.pid, 0)
        check.reply({"ok": _check_result(check.received, ended)})


def _check_result(received: bytes, ended: bool) -> Any:
    if ended:
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(received)
    code, cause = (
        ("check_failed", "The check ended without an answer.")
        if ended
        else ("check_timeout", f"The check did not end within {CHECK_WITHIN:.0f} s.")
    )
    return [asdict(transient(code, cause, "Try again; the engine's output may say more."))]


def _lag(state: EngineState, own: JSON) -> tuple[float | None, int | None]:
    """Return lag in seconds and rows. What a hanging process told last is old: it falls behind as long as it hangs."""
    silent = time.time() - own.get("at", 0.0)
    if state is EngineState.RUNNING and silent > HANGS_AFTER:
        return (own.get("lag_seconds") or 0.0) + silent, own.get("lag_rows") or None
    return own.get("lag_seconds"), own.get("lag_rows")


def _refuse_odd_name(task: str) -> None:
    """A task's identity becomes a directory: nothing but letters and digits may come in by the socket."""
    if not task.isalnum():
        raise Refused("bad_request", "A task's identity has letters and digits only.")


_HANDLERS: Final[dict[str, Callable[[Desk, JSON, Reply], None]]] = {
    "start": Desk.start,
    "pause": Desk.pause,
    "snapshot": Desk.snapshot,
    "kill": Desk.kill,
    "discard": Desk.discard,
    "observe": Desk.observe,
    "live": Desk.live,
    "logs": Desk.logs,
    "capacity": Desk.capacity,
    "check": Desk.check,
    "check_connection": Desk.check_connection,
    "look_up": Desk.look_up,
}
