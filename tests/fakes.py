"""An engine in memory, for unit tests of the worker alone: whatever moves data is tested on the real one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from tasks.engines.base import (
    ALIVE,
    AttemptRef,
    Capacity,
    ConnectionSpec,
    Counters,
    EngineRefused,
    EngineState,
    EngineUnreachable,
    Fault,
    Found,
    FoundColumn,
    LogLine,
    Observation,
    SnapshotInfo,
    TaskSpec,
)


class FakeEngine:
    """Shows what the test sets. `calls` lists what it was asked, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.shown: dict[AttemptRef, Observation] = {}
        self.reachable = True
        self.faults: tuple[Fault, ...] = ()
        self.on_start = EngineState.RUNNING
        self.started_from: SnapshotInfo | None = None
        self.snapshot_on_start = True

    def show(self, ref: AttemptRef, state: EngineState, **values: object) -> None:
        before = self.shown.get(ref, Observation(ref, state, newest_epoch=ref.epoch))
        self.shown[ref] = replace(before, state=state, **values)  # type: ignore[arg-type]

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        if not self.reachable:
            raise EngineUnreachable("The fake engine does not answer.")

    def check(self, spec: TaskSpec) -> tuple[Fault, ...]:
        self._answer("check")
        return self.faults

    def check_connection(self, connection: ConnectionSpec) -> tuple[Fault, ...]:
        self._answer("check_connection")
        return self.faults

    def look_up(self, connection: ConnectionSpec, object_name: str) -> Found:
        self._answer("look_up")
        if object_name:
            return Found(columns=(FoundColumn("id", "INTEGER", True), FoundColumn("what", "TEXT", False)))
        return Found(objects=("customers", "orders"))

    def start(self, spec: TaskSpec, epoch: int, snapshot: SnapshotInfo | None) -> AttemptRef:
        self._answer(f"start {spec.run}/{epoch}")
        ref = AttemptRef(spec.task, spec.run, epoch)
        newest = max((r.epoch for r in self.shown if (r.task, r.run) == (ref.task, ref.run)), default=0)
        if epoch < newest:
            raise EngineRefused("stale_epoch", f"Epoch {epoch} is older than {newest}.")
        if ref not in self.shown:
            self.started_from = snapshot
            taken = (snapshot_info(ref),) if self.snapshot_on_start else ()
            self.show(ref, self.on_start, counters=Counters(), snapshots=taken)
        return ref

    def pause(self, ref: AttemptRef, token: str) -> None:
        self._answer("pause")
        if self.shown[ref].state in ALIVE:
            self.show(ref, EngineState.PAUSING, pause_token=token)

    def snapshot(self, ref: AttemptRef, token: str) -> None:
        self._answer("snapshot")

    def kill(self, ref: AttemptRef, grace: float = 0.0) -> None:
        self._answer("kill")
        if ref in self.shown and self.shown[ref].state in ALIVE:
            self.show(ref, EngineState.KILLED)

    def discard(self, ref: AttemptRef) -> None:
        self._answer("discard")
        self.shown = {r: seen for r, seen in self.shown.items() if (r.task, r.run) != (ref.task, ref.run)}

    def observe(self, refs: Sequence[AttemptRef]) -> dict[AttemptRef, Observation]:
        if not self.reachable:
            return {ref: Observation(ref, EngineState.UNREACHABLE, at=time.time()) for ref in refs}
        absent = EngineState.ABSENT
        return {ref: replace(self.shown.get(ref, Observation(ref, absent)), at=time.time()) for ref in refs}

    def live(self) -> tuple[AttemptRef, ...]:
        self._answer("live")
        return tuple(ref for ref, seen in self.shown.items() if seen.state in ALIVE)

    def logs(self, ref: AttemptRef, after: int) -> tuple[LogLine, ...]:
        return ()

    def capacity(self) -> Capacity:
        self._answer("capacity")
        return Capacity(running=len(self.shown))


def snapshot_info(ref: AttemptRef, n: int = 1, **values: object) -> SnapshotInfo:
    info = SnapshotInfo(
        id=f"e{ref.epoch}-{n:06}",
        kind="periodic",
        run=ref.run,
        epoch=ref.epoch,
        taken_at=1_700_000_000.0 + ref.epoch * 1_000 + n,
        offset={"cursor": n},
        offset_text=f"id = {n}",
        position=n,
    )
    return replace(info, **values)  # type: ignore[arg-type]
