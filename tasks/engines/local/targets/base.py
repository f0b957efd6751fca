"""What every target offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.engines.base import JSON, Fault
from tasks.engines.local.sources.base import Column, Row


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the target itself remembers of this run: written in the transaction of each batch."""

    offset: JSON
    position: int
    rows_written: int = 0  # of the run, replays counted; 0 where the target does not keep it


@dataclass(frozen=True, slots=True)
class Written:
    """`bad` holds (index in rows, reason) of rows that the target does not take; the others are committed."""

    rows: int
    bad: list[tuple[int, str]]
    bytes: int


class Target(Protocol):
    """Calls raise ConnectorError; "fenced" when a newer attempt has claimed the target."""

    def check(self, columns: Sequence[Column] | None) -> tuple[Fault, ...]:
        """Look whether the connection and the object can be written, and take `columns` where they are known."""

    def open(self, columns: Sequence[Column], run: int, epoch: int) -> Ledger | None:
        """Make the object when it is missing, claim it for this attempt, and return the ledger of this run."""

    def write(self, rows: Sequence[Row], offset: JSON, position: int) -> Written:
        """Write `rows` and the ledger in one transaction."""

    def flush(self) -> None:
        """Make all that was written durable: called before each snapshot."""

    def close(self) -> None:
        """Let go of files and connections."""
