"""The vocabulary: the seven statuses, the five operations, and the words and tone each is shown with."""

from __future__ import annotations

from typing import Final

from django.db.models import TextChoices


class Tone(TextChoices):
    """How much a status asks of an operator; the style sheet has one colour a tone."""

    NEUTRAL = "neutral"
    PROGRESS = "progress"
    GOOD = "good"
    HELD = "held"
    BAD = "bad"


class Status(TextChoices):
    """What a task is, as last confirmed by its engine."""

    INITIALIZE = "initialize", "Initialize"
    OPERATING = "operating", "Operating"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    STOPPED = "stopped", "Stopped"
    FAILURE = "failure", "Failure"
    DETECTION_EXCEPTION = "detection_exception", "Detection exception"

    @property
    def tone(self) -> Tone:
        return TONES[self]

    @property
    def meaning(self) -> str:
        return MEANINGS[self]


TONES: Final[dict[Status, Tone]] = {
    Status.INITIALIZE: Tone.NEUTRAL,
    Status.OPERATING: Tone.PROGRESS,
    Status.RUNNING: Tone.GOOD,
    Status.PAUSED: Tone.HELD,
    Status.STOPPED: Tone.NEUTRAL,
    Status.FAILURE: Tone.BAD,
    Status.DETECTION_EXCEPTION: Tone.BAD,
}

MEANINGS: Final[dict[Status, str]] = {
    Status.INITIALIZE: "Submitted, never run.",
    Status.OPERATING: "An operation is in progress.",
    Status.RUNNING: "Reading and writing.",
    Status.PAUSED: "Not running; the offset is kept. After a normal pause it is the pause's own snapshot, "
    "after a forced pause the latest earlier one.",
    Status.STOPPED: "Stopped by hand, or ended by itself without error. Nothing is kept.",
    Status.FAILURE: "The run failed. Its snapshots are kept.",
    Status.DETECTION_EXCEPTION: "The resource group, a connection, or the source or target object does not exist.",
}


class PausedHow(TextChoices):
    """How a paused task was paused; empty for every other status."""

    NORMAL = "normal", "with a snapshot"
    FORCED = "forced", "forced, without a snapshot"


class Operation(TextChoices):
    """What an operator may ask for. Re-detect stands beside the five of the matrix."""

    RUN = "run", "Run"
    PAUSE = "pause", "Pause"
    FORCED_PAUSE = "forced-pause", "Forced pause"
    CONTINUE = "continue", "Continue"
    STOP = "stop", "Stop"
    DETECT = "detect", "Re-detect"


class Channel(TextChoices):
    """Where an operation was asked for."""

    PAGE = "page", "page"
    API = "api", "API"
    CLI = "cli", "command line"
    ADMIN = "admin", "admin"
    SYSTEM = "system", "system"


class Outcome(TextChoices):
    """What became of a request for an operation."""

    OPEN = "open", "in progress"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    REFUSED = "refused", "refused"
    UNKNOWN = "unknown", "unknown"  # its engine did not answer by the deadline: settled when it does
