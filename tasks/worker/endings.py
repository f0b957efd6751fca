"""What follows when an attempt has ended though nobody asked for that."""

from __future__ import annotations

from typing import Final

from tasks.engines.base import EngineState, ErrorClass, Fault
from tasks.statuses import Operation, Status
from tasks.worker.situation import Situation
from tasks.worker.steps import Restart, Settle, Step

#: Back-off before the n-th automatic restart in a row: 1, 2, 4 ... seconds, never more than this.
LONGEST_BACK_OFF: Final = 30.0


def missing(fault: Fault) -> Settle:
    return Settle(Status.DETECTION_EXCEPTION, succeeded=False, code=fault.code, message=fault.sentence, fault=fault)


def finished(*, succeeded: bool) -> Settle:
    return Settle(Status.STOPPED, succeeded, "It ended by itself, without error.", discard=True)


def crashed(s: Situation) -> Step:
    """The attempt ended though it should not: restart where the cause may pass and the limit allows, else Failure."""
    fault = s.observation.fault if s.observation else None
    if s.state is EngineState.DRAINED:
        down = Fault(ErrorClass.TRANSIENT, "engine_down", "The engine was shut down.")
        return Restart(down, delay=0.0, counted=False)
    if fault is None or s.state in (EngineState.LOST, EngineState.KILLED, EngineState.ABSENT):
        fault = _DIED
    if fault.error_class is ErrorClass.MISSING:
        return missing(fault)
    if fault.error_class is ErrorClass.PERMANENT or s.overdue:
        return Settle(Status.FAILURE, False, fault.sentence, fault.code, fault=fault)
    if s.restarts_in_row >= s.restart_limit:
        message = f"{fault.sentence} Given up after {s.restarts_in_row} automatic restarts in a row."
        return Settle(Status.FAILURE, False, message, fault.code, fault=fault)
    ended = f"It ended before a snapshot was taken: {fault.sentence}" if s.operation is Operation.PAUSE else ""
    return Restart(fault, delay=min(2.0**s.restarts_in_row, LONGEST_BACK_OFF), request_failed=ended)


_DIED: Final = Fault(
    ErrorClass.TRANSIENT,
    "died",
    "The task's process ended without a word (killed, crashed, or out of memory).",
    "Look at the machine's memory and at its system log.",
)
