"""Quiet hours: on which weekdays, from when to when, in which time zone nobody is to be told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST: Final = 20
_ALL_DAY: Final = ("00:00", "00:00")

#: {"days": [0, 5], "from": "22:00", "to": "06:00"}: the days on which it begins, Monday is 0; past midnight it goes on.
Quiet = dict[str, Any]


def parse(text: str) -> Quiet:
    """Return the span that `text` says: "mon-fri 22:00-06:00", "sat,sun all day", "daily 12:00-13:00".

    Raises ValueError with a sentence.
    """
    days, _, times = text.strip().lower().partition(" ")
    begin, end = _ALL_DAY
    if times.strip() != "all day":
        begin, dash, end = (part.strip() for part in times.partition("-"))
        if not dash:
            raise ValueError(f"{text!r} is no quiet time; write it as mon-fri 22:00-06:00, or sat,sun all day.")
        end = "00:00" if end == "24:00" else end
        if clock(begin) == clock(end) and (begin, end) != _ALL_DAY:
            raise ValueError(f"{text!r} begins when it ends; for all of a day write all day.")
    return {"days": _days(days, text), "from": begin, "to": end}


def _days(words: str, text: str) -> list[int]:
    if words == "daily":
        return list(range(7))
    found: set[int] = set()
    for part in words.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{text!r} names no weekdays; they are {', '.join(DAYS)}, mon-fri, or daily.")
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % 7 + 1 if dash else 1
        found |= {(begin + n) % 7 for n in range(length)}
    return sorted(found)


def words(span: Quiet) -> str:
    """Return `span` as people write it: what `parse` reads."""
    times = "all day" if (span["from"], span["to"]) == _ALL_DAY else f"{span['from']}-{span['to']}"
    return f"{_day_words(span['days'])} {times}"


def _day_words(days: list[int]) -> str:
    if len(days) == len(DAYS):
        return "daily"
    parts: list[list[int]] = []
    for day in days:
        if parts and parts[-1][-1] == day - 1:
            parts[-1].append(day)
        else:
            parts.append([day])
    shown = [
        f"{DAYS[part[0]]}-{DAYS[part[-1]]}" if len(part) > 2 else ",".join(DAYS[day] for day in part) for part in parts
    ]
    return ",".join(shown)


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
