"""What a submission did, or would do, to one object."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Change:
    """What became, or would become, of one object: created, changed or unchanged."""

    kind: str
    name: str
    what: str
    fields: tuple[str, ...] = ()
