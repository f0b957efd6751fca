"""What will happen in a run of random faults: all of it drawn from one seed, or read back from a log."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tasks.statuses import Operation

#: Fault -> how often, relative to the others. "stop" is SIGSTOP with a SIGCONT after `seconds`; whatever is killed is
#: started again after `seconds`.
FAULTS: Final = {
    "kill task": 20,
    "stop task": 12,
    "kill engine": 8,
    "end engine": 4,
    "stop engine": 6,
    "kill worker": 8,
    "kill worker-2": 6,
    "stop worker": 8,
    "stop worker-2": 6,
    "kill web": 3,
    "stop web": 2,
    "kill database": 5,
    "stop database": 5,
}
OPERATIONS: Final = {
    Operation.PAUSE: 4,
    Operation.FORCED_PAUSE: 4,
    Operation.CONTINUE: 20,
    Operation.RUN: 4,
    Operation.STOP: 1,
}
#: Seconds between two faults, and between two operations: at random up to these.
FAULT_EVERY: Final = 0.6
OPERATION_EVERY: Final = 0.3


@dataclass(frozen=True, slots=True)
class Event:
    """`at` seconds after the beginning. A fault's `what` is in FAULTS; an operation's is "operate"."""

    at: float
    what: str
    seconds: float = 0.0
    task: str = ""
    operation: str = ""


def drawn(seed: int, faults: int, tasks: list[str]) -> list[Event]:
    """Return the events of `seed`, in time order: faults, and operations on `tasks` all the while.

    There are more faults than asked for: some find nothing to harm (a task that is paused just then).
    """
    chance = random.Random(seed)
    events: list[Event] = []
    now = 3.0  # first there is something to lose
    for _ in range(3 * faults):
        now += chance.uniform(0.1, FAULT_EVERY)
        (what,) = chance.choices(list(FAULTS), list(FAULTS.values()))
        # A stopped worker has to lose its lease now and then; a stopped database must not cost minutes.
        longest = 8.0 if what.startswith("stop worker") else 2.0
        task = chance.choice(tasks) if what.endswith(" task") else ""
        events.append(Event(round(now, 3), what, round(chance.uniform(0.05, longest), 3), task))
    events += _operations(chance, now, tasks)
    return sorted(events, key=lambda event: event.at)


def _operations(chance: random.Random, end: float, tasks: list[str]) -> Iterator[Event]:
    at = 1.0
    while at < end:
        (operation,) = chance.choices(list(OPERATIONS), list(OPERATIONS.values()))
        yield Event(round(at, 3), "operate", task=chance.choice(tasks), operation=operation.value)
        at += chance.uniform(0.02, OPERATION_EVERY)


def write(path: Path, events: list[Event]) -> None:
    """Write the plan, one event a line: with it a failed run is run again, event by event."""
    path.write_text("".join(json.dumps(asdict(event)) + "\n" for event in events))


def read(path: Path) -> list[Event]:
    return [Event(**json.loads(line)) for line in path.read_text().splitlines()]
