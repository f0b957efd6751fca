"""What to do next about a task: a pure function of what one look found.

Level-triggered: it compares what is wanted (the open request, else the status) with what the engine shows, and names
one step. Every step may be taken twice, and a worker that dies in between is healed by the next look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tasks.engines.base import ALIVE, EngineState, ErrorClass, Fault
from tasks.models.run import AttemptCause
from tasks.statuses import Operation, PausedHow, Status
from tasks.worker import late
from tasks.worker.endings import crashed, finished, missing
from tasks.worker.situation import Situation
from tasks.worker.steps import AskKill, AskPause, Detect, Launch, Settle, StartAgain, Step, Wait

#: How long a stopping task may take to finish the batch in hand, in seconds: a file target then ends in a whole line.
STOP_GRACE: Final = 2.0


def decide(s: Situation) -> Step:
    """Return the one step to take now."""
    if s.operation is not None:
        return _OPERATIONS[s.operation](s)
    if s.unknown is not None and s.state is not EngineState.UNREACHABLE:
        return late.decide(s, s.unknown)
    return steady(s)


# --- operations that launch ---------------------------------------------------------------------------------


def _launching(s: Situation, cause: AttemptCause) -> Step:
    if s.missing is not None:
        return missing(s.missing)
    if s.restart_at is not None and s.overdue:
        return _too_late(s, f"it does not stay up: {s.known_cause.rstrip('.')}")
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
            return finished(succeeded=True)
        case EngineState.ABSENT if not s.attempt_seen:
            return _too_late(s, "it was not started") if s.overdue else StartAgain()
        case EngineState.STARTING:
            return _too_late(s, "it is still starting") if s.overdue else Wait()
        case EngineState.UNREACHABLE:
            return _unanswered(s, Status.FAILURE) if s.overdue else Wait()
    return crashed(s)


def _never_begun(s: Situation) -> Settle:
    assert s.operation is not None
    assert s.from_status is not None
    message = f"No worker carried {s.operation.label} out within {s.limit_seconds} s: nothing was started. Ask again."
    return Settle(s.from_status, succeeded=False, code="timed_out", message=message)


def _too_late(s: Situation, seen: str) -> Settle:
    cause = f"After {s.limit_seconds} s {seen}."
    fault = Fault(ErrorClass.TRANSIENT, "timed_out", cause, "When the engine shows it running, it is Running again.")
    return Settle(Status.FAILURE, succeeded=False, code=fault.code, message=fault.sentence, fault=fault)


def _unanswered(s: Situation, to: Status) -> Settle:
    """The deadline is over and the engine says nothing: no outcome is guessed from that."""
    message = (
        f"Outcome unknown: the engine did not answer within {s.limit_seconds} s. It is settled when the engine answers."
    )
    cause = "The engine does not answer, so it is not known whether the task runs."
    fault = Fault(ErrorClass.TRANSIENT, "engine_unreachable", cause, "It is settled when the engine answers.")
    return Settle(to, False, message, fault.code, fault=fault if to is Status.FAILURE else None, unknown=True)


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
            return finished(succeeded=False)
        case state if state not in ALIVE and state is not EngineState.UNREACHABLE:
            return crashed(s)
    if observation is not None and observation.pause_token == s.token and observation.pause_error:
        return Settle(Status.RUNNING, False, f"Pause failed: {observation.pause_error} {way_out}", "pause_failed")
    if s.overdue and s.state is EngineState.UNREACHABLE:
        return _unanswered(s, Status.RUNNING)
    if s.overdue:
        message = f"Pause: after {s.limit_seconds} s no snapshot was taken. {way_out}"
        return Settle(Status.RUNNING, False, message, "timed_out")
    if s.state is EngineState.UNREACHABLE or (observation is not None and observation.pause_token == s.token):
        return Wait()
    return AskPause(s.token)


def _forced_pause(s: Situation) -> Step:
    match s.state:
        case EngineState.PAUSED | EngineState.DRAINED:
            return Settle(Status.PAUSED, succeeded=True, paused_how=PausedHow.NORMAL)
        case EngineState.FINISHED:
            return finished(succeeded=True)
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
    if s.state is EngineState.UNREACHABLE:
        return _unanswered(s, s.from_status)
    message = f"{s.operation.label}: after {s.limit_seconds} s the engine still shows it running. Ask again."
    return Settle(s.from_status, succeeded=False, message=message, code="not_seen_to_end")


# --- no operation in flight ---------------------------------------------------------------------------------


def steady(s: Situation) -> Step:
    """Return the step where nobody waits for anything: what the engine shows is compared with the status."""
    if s.status is Status.RUNNING:
        return _running(s)
    if s.status is Status.OPERATING:  # its request is gone: settle to what the engine shows
        lost = "The request for this operation is no longer on record."
        to = Status.RUNNING if s.state in ALIVE else Status.FAILURE if s.has_run else Status.STOPPED
        return Wait() if s.state is EngineState.UNREACHABLE else Settle(to, False, lost, "request_gone")
    if s.status is Status.FAILURE and s.state in (EngineState.RUNNING, EngineState.PAUSING):
        return Settle(Status.RUNNING, succeeded=True, message="The engine shows it running after all.")
    if s.status in (Status.PAUSED, Status.DETECTION_EXCEPTION) and s.state in ALIVE:
        found = f"Its engine shows it running although it is {s.status.label}: it is ended there."
        return AskKill(0.0, found)
    return Wait()


def _running(s: Situation) -> Step:
    if s.restart_at is not None:
        if s.missing is not None:
            return missing(s.missing)
        return Launch(AttemptCause.RESTART) if s.now >= s.restart_at else Wait()
    match s.state:
        case EngineState.UNREACHABLE | EngineState.STARTING | EngineState.RUNNING | EngineState.PAUSING:
            return Wait()
        case EngineState.PAUSED:
            return Settle(Status.PAUSED, True, "A late snapshot was adopted.", paused_how=PausedHow.NORMAL)
        case EngineState.KILLED:
            by = "as asked earlier" if s.asked_to_end else "though nobody asked for that here"
            return Settle(Status.PAUSED, True, f"The engine ended it, {by}.", paused_how=PausedHow.FORCED)
        case EngineState.FINISHED:
            return finished(succeeded=True)
        case EngineState.ABSENT if not s.attempt_seen:
            return StartAgain()
    return crashed(s)


_OPERATIONS: Final[dict[Operation, Callable[[Situation], Step]]] = {
    Operation.RUN: _run,
    Operation.PAUSE: _pause,
    Operation.FORCED_PAUSE: _forced_pause,
    Operation.CONTINUE: _continue,
    Operation.STOP: _stop,
    Operation.DETECT: _detect,
}
