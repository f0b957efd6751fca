"""What to do next about a task: a pure function of what one look found.

Level-triggered: it compares what is wanted (the open request, else the status) with what the engine shows, and names
one step. Every step may be taken twice, and a worker that dies in between is healed by the next look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tasks.engines.base import ALIVE, EngineState, ErrorClass, Fault
from tasks.models.run import AttemptCause
from tasks.statuses import Operation, PausedHow, Status
from tasks.worker.situation import Situation

#: How long a stopping task may take to finish the batch in hand, in seconds: a file target then ends in a whole line.
STOP_GRACE: Final = 2.0
#: Back-off before the n-th automatic restart in a row: 1, 2, 4 ... seconds, never more than this.
LONGEST_BACK_OFF: Final = 30.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now; look again soon."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Open the next attempt and start it; a Run opens the next run first."""

    cause: AttemptCause


@dataclass(frozen=True, slots=True)
class StartAgain:
    """The attempt is written down but the engine does not know it: the start never arrived."""


@dataclass(frozen=True, slots=True)
class AskPause:
    token: str


@dataclass(frozen=True, slots=True)
class AskKill:
    grace: float


@dataclass(frozen=True, slots=True)
class Detect:
    """Check the configured objects, then return to the former status."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Launch again after `delay` seconds; `counted` against the limit unless the engine itself was shut down."""

    fault: Fault
    delay: float
    counted: bool = True
    request_failed: str = ""  # an open request that this ends: its message


@dataclass(frozen=True, slots=True)
class Settle:
    """The end of an operation, or of a run that ended by itself."""

    to: Status
    succeeded: bool
    message: str = ""
    code: str = ""
    paused_how: PausedHow | None = None
    fault: Fault | None = None
    discard: bool = False  # the engine's and the console's records of the run


Step = Wait | Launch | StartAgain | AskPause | AskKill | Detect | Restart | Settle


def decide(s: Situation) -> Step:
    """Return the one step to take now."""
    if s.operation is None:
        return _steady(s)
    return _OPERATIONS[s.operation](s)


# --- operations that launch ---------------------------------------------------------------------------------


def _launching(s: Situation, cause: AttemptCause) -> Step:
    if s.missing is not None:
        return _missing(s, s.missing)
    if s.restart_at is not None:
        return Launch(AttemptCause.RESTART) if s.now >= s.restart_at else Wait()
    if not s.launched:
        return _never_begun(s) if s.overdue else Launch(cause)
    match s.state:
        case EngineState.RUNNING | EngineState.PAUSING:
            return Settle(Status.RUNNING, succeeded=True)
        case EngineState.PAUSED:
            return Settle(Status.PAUSED, succeeded=True, paused_how=PausedHow.NORMAL)
        case EngineState.FINISHED:
            return _finished(succeeded=True)
        case EngineState.ABSENT if not s.attempt_seen:
            return _too_late(s, "it was not started") if s.overdue else StartAgain()
        case EngineState.STARTING:
            return _too_late(s, "it is still starting") if s.overdue else Wait()
        case EngineState.UNREACHABLE:
            return _too_late(s, "the engine does not answer") if s.overdue else Wait()
    return _crashed(s)


def _never_begun(s: Situation) -> Settle:
    assert s.operation is not None
    assert s.from_status is not None
    message = f"No worker carried {s.operation.label} out within {s.limit_seconds} s: nothing was started. Ask again."
    return Settle(s.from_status, succeeded=False, code="timed_out", message=message)


def _too_late(s: Situation, seen: str) -> Settle:
    cause = f"After {s.limit_seconds} s {seen}."
    fault = Fault(ErrorClass.TRANSIENT, "timed_out", cause, "When the engine shows it running, it is Running again.")
    return Settle(Status.FAILURE, succeeded=False, code=fault.code, message=fault.sentence, fault=fault)


def _missing(s: Situation, fault: Fault) -> Settle:
    return Settle(Status.DETECTION_EXCEPTION, succeeded=False, code=fault.code, message=fault.sentence, fault=fault)


def _run(s: Situation) -> Step:
    return _launching(s, AttemptCause.RUN)


def _continue(s: Situation) -> Step:
    return _launching(s, AttemptCause.CONTINUE)


def _detect(s: Situation) -> Step:
    if s.launched:
        return _launching(s, AttemptCause.REDETECT)
    return Detect()


# --- operations that end ------------------------------------------------------------------------------------


def _pause(s: Situation) -> Step:
    way_out = "Forced pause is the way out: it ends at once and keeps the most recent snapshot."
    observation = s.observation
    match s.state:
        case EngineState.PAUSED | EngineState.DRAINED:
            return Settle(Status.PAUSED, succeeded=True, paused_how=PausedHow.NORMAL)
        case EngineState.KILLED:
            message = "It was ended before a snapshot was taken."
            return Settle(Status.PAUSED, False, message, "killed", paused_how=PausedHow.FORCED)
        case EngineState.FINISHED:
            return _finished(succeeded=False)
        case state if state not in ALIVE and state is not EngineState.UNREACHABLE:
            return _crashed(s)
    if observation is not None and observation.pause_token == s.token and observation.pause_error:
        return Settle(Status.RUNNING, False, f"Pause failed: {observation.pause_error} {way_out}", "pause_failed")
    if s.overdue:
        seen = "the engine does not answer" if s.state is EngineState.UNREACHABLE else "no snapshot was taken"
        return Settle(Status.RUNNING, False, f"Pause: after {s.limit_seconds} s {seen}. {way_out}", "timed_out")
    if s.state is EngineState.UNREACHABLE or (observation is not None and observation.pause_token == s.token):
        return Wait()
    return AskPause(s.token)


def _forced_pause(s: Situation) -> Step:
    match s.state:
        case EngineState.PAUSED | EngineState.DRAINED:
            return Settle(Status.PAUSED, succeeded=True, paused_how=PausedHow.NORMAL)
        case EngineState.FINISHED:
            return _finished(succeeded=True)
        case state if state not in ALIVE and state is not EngineState.UNREACHABLE:
            return Settle(Status.PAUSED, succeeded=True, paused_how=PausedHow.FORCED)
    return _not_seen_to_end(s) if s.overdue else _unless_unreachable(s, AskKill(0.0))


def _stop(s: Situation) -> Step:
    if s.state in ALIVE or s.state is EngineState.UNREACHABLE:
        return _not_seen_to_end(s) if s.overdue else _unless_unreachable(s, AskKill(STOP_GRACE))
    return Settle(Status.STOPPED, succeeded=True, discard=True)


def _unless_unreachable(s: Situation, step: Step) -> Step:
    return Wait() if s.state is EngineState.UNREACHABLE else step


def _not_seen_to_end(s: Situation) -> Settle:
    assert s.operation is not None
    assert s.from_status is not None
    seen = "the engine does not answer" if s.state is EngineState.UNREACHABLE else "the engine still shows it running"
    message = f"{s.operation.label}: after {s.limit_seconds} s {seen}. Ask again when the engine answers."
    return Settle(s.from_status, succeeded=False, message=message, code="not_seen_to_end")


# --- no operation in flight ---------------------------------------------------------------------------------


def _steady(s: Situation) -> Step:
    if s.status is Status.RUNNING:
        return _running(s)
    if s.status is Status.OPERATING:  # its request is gone: settle to what the engine shows
        lost = "The request for this operation is no longer on record."
        to = Status.RUNNING if s.state in ALIVE else Status.FAILURE if s.has_run else Status.STOPPED
        return Wait() if s.state is EngineState.UNREACHABLE else Settle(to, False, lost, "request_gone")
    if s.status is Status.FAILURE and s.state in (EngineState.RUNNING, EngineState.PAUSING):
        return Settle(Status.RUNNING, succeeded=True, message="The engine shows it running after all.")
    if s.status is Status.PAUSED and s.state in ALIVE:
        return AskKill(0.0)
    return Wait()


def _running(s: Situation) -> Step:
    if s.restart_at is not None:
        if s.missing is not None:
            return _missing(s, s.missing)
        return Launch(AttemptCause.RESTART) if s.now >= s.restart_at else Wait()
    match s.state:
        case EngineState.UNREACHABLE | EngineState.STARTING | EngineState.RUNNING | EngineState.PAUSING:
            return Wait()
        case EngineState.PAUSED:
            return Settle(Status.PAUSED, True, "A late snapshot was adopted.", paused_how=PausedHow.NORMAL)
        case EngineState.KILLED:
            return Settle(Status.PAUSED, True, "The engine ended it as asked earlier.", paused_how=PausedHow.FORCED)
        case EngineState.FINISHED:
            return _finished(succeeded=True)
        case EngineState.ABSENT if not s.attempt_seen:
            return StartAgain()
    return _crashed(s)


def _finished(*, succeeded: bool) -> Settle:
    return Settle(Status.STOPPED, succeeded, "It ended by itself, without error.", discard=True)


def _crashed(s: Situation) -> Step:
    """The attempt ended though it should not: restart where the cause may pass and the limit allows, else Failure."""
    fault = s.observation.fault if s.observation else None
    if s.state is EngineState.DRAINED:
        down = Fault(ErrorClass.TRANSIENT, "engine_down", "The engine was shut down.")
        return Restart(down, delay=0.0, counted=False)
    if fault is None or s.state in (EngineState.LOST, EngineState.KILLED, EngineState.ABSENT):
        fault = _DIED
    if fault.error_class is ErrorClass.MISSING:
        return _missing(s, fault)
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

_OPERATIONS: Final[dict[Operation, Callable[[Situation], Step]]] = {
    Operation.RUN: _run,
    Operation.PAUSE: _pause,
    Operation.FORCED_PAUSE: _forced_pause,
    Operation.CONTINUE: _continue,
    Operation.STOP: _stop,
    Operation.DETECT: _detect,
}
