"""What one look at a task finds: all that a decision needs, nothing that it has to ask for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tasks.engines.base import EngineState, Fault, Observation
from tasks.models import OperationRequest, Task
from tasks.statuses import Operation, Outcome, Status


@dataclass(frozen=True, slots=True)
class Situation:
    """A task, its open request, its newest attempt, and what the engine shows of that."""

    now: datetime
    status: Status
    operation: Operation | None  # of the open request
    unknown: Operation | None  # of the last request, where its outcome is not known yet
    token: str  # names that request to the engine
    overdue: bool  # its deadline has passed
    limit_seconds: int  # how long it was given
    launched: bool  # an attempt was opened for it
    from_status: Status | None  # the status it was accepted in
    former: Status | None  # of a Detection exception: what Re-detect returns to
    has_run: bool
    has_attempt: bool
    asked_to_end: bool  # somebody here asked for the end of the newest attempt, whatever became of that
    attempt_seen: bool  # the engine was once seen to know the newest attempt
    restart_at: datetime | None
    known_cause: str  # why it does not run as it should, as far as the console has noted it
    restarts_in_row: int
    restart_limit: int
    observation: Observation | None  # None: there is no attempt to ask for
    missing: Fault | None  # a configured object of the console (group, connection) that is not there

    @property
    def state(self) -> EngineState:
        return self.observation.state if self.observation else EngineState.ABSENT


def of(
    task: Task,
    request: OperationRequest | None,
    *,
    now: datetime,
    launched: bool,
    asked_to_end: bool,
    attempt_seen: bool,
    observation: Observation | None,
    missing: Fault | None,
) -> Situation:
    """Return the situation of `task`. `request` is the open one, or one whose outcome is still unknown;
    `observation` must speak of the newest attempt."""
    operation = Operation(request.operation) if request else None
    is_open = request is not None and request.outcome == Outcome.OPEN
    return Situation(
        now=now,
        status=Status(task.status),
        operation=operation if is_open else None,
        unknown=None if is_open else operation,
        token=f"request-{request.pk}" if request else "",
        overdue=is_open and request is not None and now >= request.deadline_at,
        limit_seconds=int((request.deadline_at - request.requested_at).total_seconds()) if request else 0,
        launched=launched,
        from_status=Status(request.from_status) if request else None,
        former=Status(task.status_before) if task.status_before else None,
        has_run=task.run is not None,
        has_attempt=task.run is not None and task.run.epoch > 0,
        asked_to_end=asked_to_end,
        attempt_seen=attempt_seen,
        restart_at=task.restart_at,
        known_cause=task.fault_cause,
        restarts_in_row=task.restarts_in_row,
        restart_limit=task.restart_limit,
        observation=observation,
        missing=missing,
    )
