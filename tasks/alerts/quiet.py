"""Quiet hours: on which weekdays, from when to when, in which time zone nobody is to be told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: {"days": [0, 5], "from": "22:00", "to": "06:00"}: the days on which it begins, Monday is 0; past midnight it goes on.
Quiet = dict[str, Any]


def clock(text: str) -> time:
    """Return the time of day `HH:MM`. Raises ValueError."""
    hours, colon, minutes = text.partition(":")
    if not colon or len(hours) != 2 or len(minutes) != 2 or not (hours + minutes).isdecimal():
        raise ValueError(f"{text!r} is no time of day; write it as 22:00.")
    try:
        return time(int(hours), int(minutes))
    except ValueError:
        raise ValueError(f"{text!r} is no time of day; write it as 22:00.") from None


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone `name`. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"There is no time zone {name!r}; they are written as Europe/Berlin or UTC.") from None


def quiet_until(quiet: Iterable[Quiet], zone: str, now: datetime) -> datetime | None:
    """Return when the quiet that covers `now` ends; None where none does. Spans that touch are one."""
    spans = list(quiet)
    until = None
    at = now
    for _ in range(2 * len(spans) + 14):  # a week of nights at most, before it repeats
        end = max((end for end in (_end_of(span, zone, at) for span in spans) if end), default=None)
        if end is None:
            break
        until = at = end
    return until


def _end_of(span: Quiet, zone: str, at: datetime) -> datetime | None:
    """Return when `span` ends, if it covers `at`: as begun on that day, or on the day before."""
    place = zone_of(zone)
    begin, end = clock(span["from"]), clock(span["to"])
    today = at.astimezone(place).date()
    for day in (today, today - timedelta(days=1)):
        if day.weekday() not in span["days"]:
            continue
        first = datetime.combine(day, begin, place)
        last = datetime.combine(day if end > begin else day + timedelta(days=1), end, place)
        if first <= at < last:
            return last.astimezone(UTC)
    return None
