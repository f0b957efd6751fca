"""An engine answers again: what became of an operation whose deadline passed while it was silent.

Pure, like `decisions`: nothing here is guessed, each line reads off what the engine shows now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tasks.engines.base import ALIVE, EngineState
from tasks.statuses import Operation, PausedHow, Status
from tasks.worker.endings import crashed, finished
from tasks.worker.situation import Situation
from tasks.worker.steps import Answer, Restart, Settle, Step, Wait

#: The status in which each operation left the task when its deadline passed: in another one, something newer decided.
_LEFT_IN: Final[dict[Operation, frozenset[Status]]] = {
    Operation.RUN: frozenset({Status.FAILURE}),
    Operation.CONTINUE: frozenset({Status.FAILURE}),
    Operation.DETECT: frozenset({Status.FAILURE}),
    Operation.PAUSE: frozenset({Status.RUNNING}),
    Operation.FORCED_PAUSE: frozenset({Status.RUNNING}),
    Operation.STOP: frozenset({Status.RUNNING}),
}


def decide(s: Situation, operation: Operation) -> Step:
    """Return the step that settles `operation`, or Wait while it is still on its way."""
    if s.status not in _LEFT_IN[operation]:
        return Answer(False, f"{operation.label}: it came to nothing; the task is {s.status.label}.", "not_seen")
    if s.status is Status.RUNNING and s.restart_at is not None:
        return Answer(False, f"{operation.label}: the task ended by itself and is restarted.", "died")
    return _BY_OPERATION[operation](s)


def _launched(s: Situation) -> Step:
    observation = s.observation
    match s.state:
        case EngineState.RUNNING | EngineState.PAUSING:
            return Settle(Status.RUNNING, True, "The engine answers again and shows it running.")
        case EngineState.STARTING:
            return Wait()
    if observation is not None and observation.fault is not None:
        fault = observation.fault
        return Answer(False, f"The engine answers again: {fault.sentence}", fault.code, fault)
    shown = "does not know it: it was not started" if s.state is EngineState.ABSENT else f"shows it {s.state.value}"
    return Answer(False, f"The engine answers again and {shown}.", "not_started")


def _pause(s: Situation) -> Step:
    observation = s.observation
    assert observation is not None
    match s.state:
        case EngineState.PAUSED | EngineState.DRAINED:
            return Settle(Status.PAUSED, True, "A late snapshot was adopted.", paused_how=PausedHow.NORMAL)
        case EngineState.KILLED:
            message = "It was ended before a snapshot was taken."
            return Settle(Status.PAUSED, False, message, "killed", paused_how=PausedHow.FORCED)
        case EngineState.FINISHED:
            return finished(succeeded=False)
        case EngineState.PAUSING:
            return Wait()
    if s.state in ALIVE:
        why = observation.pause_error or "No snapshot was taken."
        return Answer(False, f"Pause failed: {why} The engine shows it running.", "pause_failed")
    return _ended_otherwise(s)


def _ended_otherwise(s: Situation) -> Step:
    step = crashed(s)
    if isinstance(step, Restart) and not step.request_failed:
        return replace(step, request_failed=f"It ended before a snapshot was taken: {step.fault.cause}")
    return step


def _forced_pause(s: Situation) -> Step:
    match s.state:
        case EngineState.PAUSED | EngineState.DRAINED:
            return Settle(Status.PAUSED, True, "The engine shows it ended.", paused_how=PausedHow.NORMAL)
        case EngineState.FINISHED:
            return finished(succeeded=True)
        case state if state in ALIVE:
            return Answer(False, "It was not ended: the engine shows it running. Ask again.", "not_seen_to_end")
    return Settle(Status.PAUSED, True, "The engine shows it ended.", paused_how=PausedHow.FORCED)


def _stop(s: Situation) -> Step:
    if s.state in ALIVE:
        return Answer(False, "It was not ended: the engine shows it running. Ask again.", "not_seen_to_end")
    return Settle(Status.STOPPED, True, "The engine shows it ended.", discard=True)


_BY_OPERATION: Final[dict[Operation, Callable[[Situation], Step]]] = {
    Operation.RUN: _launched,
    Operation.CONTINUE: _launched,
    Operation.DETECT: _launched,
    Operation.PAUSE: _pause,
    Operation.FORCED_PAUSE: _forced_pause,
    Operation.STOP: _stop,
}
