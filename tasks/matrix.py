"""THE table: which operation each status allows. Page, API, CLI, admin and the help page all read it.

It is necessary, not sufficient: `tasks.guards` adds what a table can't know (snapshot, group, permission).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tasks.statuses import Operation, Status

VIEW = "tasks.view_task"
OPERATE = "tasks.operate_task"
STOP = "tasks.stop_task"


@dataclass(frozen=True, slots=True)
class Row:
    """One operation: where it is allowed, who may ask for it, and what it does in one sentence."""

    operation: Operation
    allowed_in: frozenset[Status]
    permission: str
    effect: str
    needs_snapshot: bool = False
    starts: bool = False


MATRIX: Final[dict[Operation, Row]] = {
    row.operation: row
    for row in (
        Row(
            Operation.RUN,
            frozenset({Status.INITIALIZE, Status.STOPPED, Status.FAILURE}),
            OPERATE,
            "Starts a new run from the start position. Snapshots of a former run are discarded.",
            starts=True,
        ),
        Row(
            Operation.PAUSE,
            frozenset({Status.RUNNING}),
            OPERATE,
            "Writes what was read, takes a snapshot and ends. Continue neither loses nor repeats a row.",
        ),
        Row(
            Operation.FORCED_PAUSE,
            frozenset({Status.RUNNING}),
            OPERATE,
            "Ends at once, without a snapshot. Continue goes back to the most recent one and replays from there.",
        ),
        Row(
            Operation.CONTINUE,
            frozenset({Status.PAUSED, Status.FAILURE}),
            OPERATE,
            "Reads on from the most recent usable snapshot.",
            needs_snapshot=True,
            starts=True,
        ),
        Row(
            Operation.STOP,
            frozenset({Status.RUNNING, Status.PAUSED, Status.FAILURE, Status.DETECTION_EXCEPTION}),
            STOP,
            "Ends and discards snapshots, offsets, and this run's metrics and logs. History stays.",
        ),
        Row(
            Operation.DETECT,
            frozenset({Status.DETECTION_EXCEPTION}),
            OPERATE,
            "Checks the configured objects again and returns the task to the status it had. Snapshots are untouched.",
        ),
    )
}

#: The five of the matrix, in the order they are shown everywhere.
FIVE: Final[tuple[Operation, ...]] = tuple(operation for operation in MATRIX if operation is not Operation.DETECT)

#: What to do instead, where a status refuses an operation: one sentence a cell that is not obvious.
_INSTEAD: Final[dict[tuple[Operation, Status], str]] = {
    (Operation.RUN, Status.RUNNING): "It is running already; Stop it first to begin again.",
    (Operation.RUN, Status.PAUSED): "Continue goes on from the snapshot; Stop it first to begin again.",
    (Operation.CONTINUE, Status.RUNNING): "It is running already.",
    (Operation.CONTINUE, Status.STOPPED): "Stop kept no snapshot to continue from; Run starts a new run.",
    (Operation.CONTINUE, Status.INITIALIZE): "It has never run; Run starts it.",
    (Operation.PAUSE, Status.PAUSED): "It is paused already.",
    (Operation.FORCED_PAUSE, Status.PAUSED): "It is paused already.",
    (Operation.STOP, Status.STOPPED): "It is stopped already.",
    (Operation.STOP, Status.INITIALIZE): "It has never run: there is nothing to stop.",
    (Operation.RUN, Status.DETECTION_EXCEPTION): "Put the missing object back, then Re-detect.",
    (Operation.CONTINUE, Status.DETECTION_EXCEPTION): "Put the missing object back, then Re-detect.",
    (Operation.DETECT, Status.RUNNING): "Its objects were found when it started.",
}


def operations_for(status: Status) -> tuple[Operation, ...]:
    """Return the operations that `status` allows, in the order they are shown."""
    return tuple(row.operation for row in MATRIX.values() if status in row.allowed_in)


def why_not(operation: Operation, status: Status) -> str | None:
    """Return None where `status` allows `operation`, else the sentence that says why not."""
    row = MATRIX[operation]
    if status in row.allowed_in:
        return None
    if status is Status.OPERATING:
        return f"{operation.label} has to wait: another operation is in progress."
    allowed = " or ".join(s.label for s in Status if s in row.allowed_in)
    instead = _INSTEAD.get((operation, status), "")
    return f"{operation.label} is for tasks in status {allowed}; this one is {status.label}. {instead}".rstrip()
