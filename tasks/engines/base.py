"""The engine contract: what the worker may ask of any engine, and what an engine may answer.

Every call is idempotent and has a time-out. An engine knows no model, no request and no Django.
Times are seconds since the epoch (UTC), durations are seconds unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

JSON = dict[str, Any]


class EngineState(StrEnum):
    """What an engine shows of one attempt."""

    UNREACHABLE = "unreachable"  # the engine gave no answer: nothing is known
    ABSENT = "absent"  # it answered, and does not know this attempt
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"  # ended as asked by pause(): drained, with a pause snapshot
    DRAINED = "drained"  # ended with a snapshot since the engine was shut down: to be continued when it is back
    KILLED = "killed"  # ended as asked by kill()
    LOST = "lost"  # ended without a word: a crash, out of memory, kill -9
    FAILED = "failed"  # ended by the error in `fault`
    FINISHED = "finished"  # ended by itself, without error


ALIVE = frozenset({EngineState.STARTING, EngineState.RUNNING, EngineState.PAUSING})


class ErrorClass(StrEnum):
    """What may be done about an error."""

    TRANSIENT = "transient"  # may pass by itself: restart with back-off
    PERMANENT = "permanent"  # will not pass without a person
    MISSING = "missing"  # an object the task names does not exist: Detection exception


@dataclass(frozen=True, slots=True)
class Fault:
    """An error in plain words: never holds a secret or a traceback."""

    error_class: ErrorClass
    code: str  # stable, snake_case: "table_missing", "disk_full"
    cause: str  # one sentence that names the thing
    advice: str = ""  # one sentence: what to do
    subject: str = ""  # the object spoken of: "table orders in connection shop"

    @property
    def sentence(self) -> str:
        return f"{self.cause} {self.advice}".strip()


class EngineError(Exception):
    """Base of what an engine call may raise."""


class EngineUnreachable(EngineError):
    """No answer: the call may or may not have arrived. Ask again by observe()."""


class EngineRefused(EngineError):
    """The engine answered no: an older epoch, shutting down, a broken request."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """A source or target system. `settings`: sqlite {path}; file {path}; postgresql {host, port, database, user}."""

    name: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """What to read. `options`: sqlite {read: poll, cursor: column}; file {format: jsonl|csv, columns: [..]}."""

    connection: ConnectionSpec
    object: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """Where to write. `mode` is append or upsert; `key` names the columns that identify a row (upsert)."""

    connection: ConnectionSpec
    object: str
    mode: str = "append"
    key: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """All an engine needs to run a task. Holds secrets: never logged, never on disk."""

    task: str  # stable identity, safe as a file name
    name: str  # for people
    run: int
    source: SourceSpec
    target: TargetSpec
    start: str = "earliest"  # or "latest": where a run without a snapshot begins
    snapshot_interval: float = 5.0
    exactly_once: bool = False  # continue from the target's ledger where it is later than the snapshot
    dirty_limit: int = 100  # more rows than this that can't be written end the run
    batch_rows: int = 5000
    keep_snapshots: int = 5


@dataclass(frozen=True, slots=True)
class AttemptRef:
    """One launch of a run."""

    task: str
    run: int
    epoch: int
    job_id: str = ""  # the engine's own name for it, where it has one


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A durable, consistent record from which a run can continue."""

    id: str  # unique within the run
    kind: str  # "pause", "periodic" or "manual"
    run: int
    epoch: int
    taken_at: float
    offset: JSON  # its form belongs to the source
    offset_text: str  # the same for people
    position: int  # rows of this run processed up to here, replays not counted
    size_bytes: int = 0
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Counters:
    """Of the run so far, over all its attempts. Right even after kill -9, to within one batch."""

    rows_read: int = 0  # replays counted
    rows_written: int = 0  # replays counted
    rows_dirty: int = 0  # could not be written; kept with their reason
    rows_replayed: int = 0  # processed again after a Continue or restart
    position: int = 0  # rows processed up to the current offset, replays not counted
    high_water: int = 0  # the furthest position ever committed: high_water - snapshot.position will be replayed
    bytes_read: int = 0
    bytes_written: int = 0
    bytes_dirty: int = 0


@dataclass(frozen=True, slots=True)
class Phase:
    """Where a run is: reading what was in its source when it began (full), or what came since (incremental)."""

    name: str  # "full" or "incremental"
    done: int  # of the full phase, replays not counted
    total: int | None  # what the full phase has in all, where the source can count it; an estimate above 2 million rows
    unit: str  # "rows" or "bytes"
    began_at: float
    ended_at: float | None = None  # when the full phase ended


@dataclass(frozen=True, slots=True)
class DirtyRow:
    """A row that could not be read or written, kept with its reason."""

    n: int  # 1, 2, 3 ... within the run
    at: float
    reason: str
    row: str  # shortened to 500 characters


@dataclass(frozen=True, slots=True)
class Observation:
    """What an engine shows of one attempt. `state` speaks of exactly the epoch that was asked for."""

    ref: AttemptRef
    state: EngineState
    newest_epoch: int = 0  # the newest epoch of this run that the engine knows; 0: none
    at: float = 0.0
    counters: Counters = field(default_factory=Counters)
    offset_text: str = ""
    lag_seconds: float | None = None  # how long it has been behind; 0.0 when caught up
    lag_rows: int | None = None  # rows waiting in the source, where it can count them
    last_write_at: float | None = None
    delivery_ms: float | None = None  # from read to committed: the slowest batch of the last 10 to 20 s
    event_lag_ms: float | None = None  # the same from the event time of a batch's last row, where a column tells it
    phase: Phase | None = None
    log_n: int = 0  # the newest line of the run's log
    snapshots: tuple[SnapshotInfo, ...] = ()  # of the run, newest first, at most keep_snapshots
    dirty: tuple[DirtyRow, ...] = ()  # the latest few
    fault: Fault | None = None  # why it FAILED, or what a running attempt is retrying
    pause_token: str = ""  # the latest pause() that it knows of
    pause_error: str = ""  # why that pause did not come about: it is RUNNING on


@dataclass(frozen=True, slots=True)
class LogLine:
    n: int
    at: float
    level: str  # DEBUG INFO WARNING ERROR
    epoch: int
    text: str


@dataclass(frozen=True, slots=True)
class FoundColumn:
    name: str
    type: str  # as its system calls it
    key: bool  # part of the primary, or the first unique, key


@dataclass(frozen=True, slots=True)
class Found:
    """What a connection holds: names of objects, or the columns of one; `problem` where that can't be told."""

    objects: tuple[str, ...] = ()
    columns: tuple[FoundColumn, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Capacity:
    running: int
    limit: int | None = None  # None: the engine sets none of its own


class Engine(Protocol):
    """One engine. Calls other than observe() raise EngineUnreachable or EngineRefused."""

    def check(self, spec: TaskSpec) -> tuple[Fault, ...]:
        """Look whether all that `spec` names exists and may be used; each problem is one Fault."""

    def check_connection(self, connection: ConnectionSpec) -> tuple[Fault, ...]:
        """The same for a connection alone."""

    def look_up(self, connection: ConnectionSpec, object_name: str) -> Found:
        """Return the names of a connection's objects, or with a name that object's columns; at most 500."""

    def start(self, spec: TaskSpec, epoch: int, snapshot: SnapshotInfo | None) -> AttemptRef:
        """Launch. The same epoch again adopts what is there; an older one is refused ("stale_epoch")."""

    def pause(self, ref: AttemptRef, token: str) -> None:
        """Ask for drain + snapshot + end. Asynchronous; the same token again changes nothing."""

    def snapshot(self, ref: AttemptRef, token: str) -> None:
        """Ask for a snapshot of kind "manual" that ends nothing. Asynchronous; the same token again changes nothing.
        An attempt that does not run takes none."""

    def kill(self, ref: AttemptRef, grace: float = 0.0) -> None:
        """End without a snapshot: let the batch in hand finish within `grace`, then kill. Asynchronous."""

    def discard(self, ref: AttemptRef) -> None:
        """Forget the run: its snapshots, counters and log. Refused ("alive") while an attempt of it is alive, and
        ("stale_epoch") where a newer attempt than `ref` was started. A discarded run can't be started again."""

    def observe(self, refs: Sequence[AttemptRef]) -> dict[AttemptRef, Observation]:
        """One call for many; an answer for each. Never raises: UNREACHABLE is an answer."""

    def live(self) -> tuple[AttemptRef, ...]:
        """Return all attempts that are alive on the engine, whoever started them."""

    def logs(self, ref: AttemptRef, after: int) -> tuple[LogLine, ...]:
        """Return log lines of the run with n > `after`, oldest first, at most 1,000."""

    def capacity(self) -> Capacity:
        """Return what runs on the engine now, and its own limit."""
