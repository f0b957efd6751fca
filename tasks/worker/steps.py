"""The steps that a decision may name: what is to be done, not how."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.engines.base import Fault
from tasks.models.run import AttemptCause
from tasks.statuses import PausedHow, Status


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
    reason: str = ""  # for the history, where no operation asked for it


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
    unknown: bool = False  # the engine did not answer by the deadline: the outcome is settled when it does


@dataclass(frozen=True, slots=True)
class Answer:
    """The engine answers again: what became of an operation whose outcome was unknown. The status stays."""

    succeeded: bool
    message: str
    code: str = ""
    fault: Fault | None = None  # what the engine shows as the cause


Step = Wait | Launch | StartAgain | AskPause | AskKill | Detect | Restart | Settle | Answer
