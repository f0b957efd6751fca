"""What every source offers. A row is a tuple beside a fixed schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tasks.engines.base import JSON, Fault

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is one of integer, real, text, blob, boolean, json, any; `declared` is the source's own word for it, in
    the language of `dialect`, which is empty where the source has no types of its own (a file)."""

    name: str
    type: str = "any"
    declared: str = ""
    dialect: str = ""

    @property
    def is_parsed_json(self) -> bool:
        """Whether values are what a JSON parser made of them; a database hands JSON out as its text."""
        return not self.dialect and self.type in ("json", "any")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read: its place in the batch (0-based, among all rows of it), why, and its text."""

    index: int
    reason: str
    text: str  # shortened
    bytes: int = 0  # of the row as it was


@dataclass(slots=True)
class Batch:
    """`offset` is where to read on once all of this is written; `count` is len(rows) + len(bad)."""

    rows: Sequence[Row]
    offset: JSON
    caught_up: bool
    bad: list[BadRow] = field(default_factory=list)
    bytes: int = 0

    @property
    def count(self) -> int:
        return len(self.rows) + len(self.bad)


class Source(Protocol):
    """Calls raise ConnectorError."""

    def check(self) -> tuple[Fault, ...]:
        """Look whether the connection and the object exist and can be read."""

    def columns(self) -> tuple[Column, ...] | None:
        """Return the schema; None while it can't be told yet (an empty file)."""

    def open(self, offset: JSON | None, start: str) -> JSON:
        """Go to `offset`, or without one to `start` (earliest or latest); return the offset that it stands at."""

    def read(self, limit: int) -> Batch:
        """Return up to `limit` rows without waiting; an empty batch when there is none."""

    def lag_rows(self) -> int | None:
        """Return how many rows wait to be read (at most 100,001 are counted), or None where that can't be told."""

    def waiting(self) -> tuple[int, str] | None:
        """Return how much waits to be read and its unit, rows or bytes; None where that can't be told.

        Asked once a run. Up to 2 million rows are counted; above that it may be an estimate.
        """

    def describe(self, offset: JSON) -> str:
        """Return `offset` in words."""

    def close(self) -> None:
        """Let go of files and connections."""
