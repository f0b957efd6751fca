"""Time ranges as the address bar holds them: `range=1h`, or `from` and `to`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

RANGES: Final = {
    "15m": ("15 min", 900),
    "1h": ("1 h", 3_600),
    "6h": ("6 h", 21_600),
    "24h": ("24 h", 86_400),
    "7d": ("7 days", 604_800),
    "30d": ("30 days", 2_592_000),
}
LONGEST: Final = 400 * 86_400
SHORTEST: Final = 60


@dataclass(frozen=True, slots=True)
class TimeRange:
    """`begin` and `end` in seconds since the epoch; `name` is empty for one that was given by its ends."""

    name: str
    begin: float
    end: float
    problem: str = ""

    @property
    def query(self) -> str:
        if self.name:
            return urlencode({"range": self.name})
        return urlencode({"from": self.shown_begin, "to": self.shown_end})

    @property
    def shown_begin(self) -> str:
        return _shown(self.begin)

    @property
    def shown_end(self) -> str:
        return _shown(self.end)

    @property
    def words(self) -> str:
        return f"the last {RANGES[self.name][0]}" if self.name else f"{self.shown_begin} to {self.shown_end} UTC"


def read_range(query: Mapping[str, str], now: float, default: str = "1h") -> TimeRange:
    """Return the range that a query asks for; one that can't be read is the default, with what is wrong."""
    begin, end = query.get("from", "").strip(), query.get("to", "").strip()
    if begin or end:
        problem, ends = _ends(begin, end, now)
        if ends:
            return TimeRange("", *ends)
        return TimeRange(default, now - RANGES[default][1], now, problem)
    name = query.get("range", default)
    problem = "" if name in RANGES else f"range: there is no {name!r}; known are {', '.join(RANGES)}."
    name = name if name in RANGES else default
    return TimeRange(name, now - RANGES[name][1], now, problem)


def _ends(begin: str, end: str, now: float) -> tuple[str, tuple[float, float] | None]:
    seconds: list[float] = []
    for name, text in (("from", begin), ("to", end)):
        if not text and name == "to":
            seconds.append(now)
            continue
        try:
            at = datetime.fromisoformat(text)
            seconds.append((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            return f"{name}: {text!r} is no time; write it as 2026-01-31T14:05, in UTC.", None
    first, last = seconds
    if last - first < SHORTEST:
        return f"from, to: the end must be at least {SHORTEST} s after the beginning.", None
    if last - first > LONGEST or first < 0:
        return "from, to: the range is too long.", None
    return "", (first, last)


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M")
