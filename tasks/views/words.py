"""How values read on a page: numbers, sizes, ages. The same words in rows, dialogs and template tags."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.utils import timezone
from django.utils.safestring import SafeString

from tasks.locale import written

NOTHING: Final = "–"


def number(value: float | None) -> str:
    """1234567 -> 1,234,567, or as the person who asks reads it."""
    return NOTHING if value is None else written(value)


def size(value: float | None) -> str:
    """Bytes, in the unit that keeps three digits."""
    if value is None:
        return NOTHING
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{written(value, 0 if unit == 'B' or value >= 100 else 1)} {unit}"
        value /= 1000
    return f"{written(value, 1)} TB"


def duration(seconds: float | None) -> str:
    """The two largest units at most, never more precise than anyone reads. console.js writes the same words."""
    if seconds is None:
        return NOTHING
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{int(seconds)} s"
    if seconds < 7200:
        return f"{int(seconds // 60)} min"
    if seconds < 172_800:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 86_400)} d"


def milliseconds(value: float | None) -> str:
    if value is None:
        return NOTHING
    if 0 < value < 1:
        return "under 1 ms"
    return f"{written(value)} ms" if value < 10_000 else duration(value / 1000)


def lag(seconds: float | None) -> str:
    """Below a minute the tenths count: that is where a real-time task lives."""
    if seconds is None:
        return NOTHING
    return f"{written(seconds, 1)} s" if seconds < 60 else duration(seconds)


def exact(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def to_the_millisecond(at: datetime) -> str:
    """11-24 16:06:32.123: as a log has it, in UTC."""
    return f"{at:%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def ago(at: datetime | None, now: datetime | None = None) -> SafeString | str:
    """`12 s ago`, with the exact time on hover; console.js keeps it true."""
    return _time(at, "ago", lambda seconds: f"{duration(seconds)} ago", now)


def since(at: datetime | None, now: datetime | None = None) -> SafeString | str:
    """`12 s`: how long it has been so."""
    return _time(at, "for", duration, now)


def until(at: datetime | None, now: datetime | None = None) -> SafeString | str:
    """`in 8 s`, counted down."""
    return _time(at, "in", lambda seconds: f"in {duration(-seconds)}" if seconds < 0 else "now", now)


def _time(at: datetime | None, kind: str, words, now: datetime | None) -> SafeString | str:  # type: ignore[no-untyped-def]
    if at is None:
        return NOTHING
    seconds = ((now or timezone.now()) - at).total_seconds()
    iso = at.isoformat()
    day, clock = iso[:10], iso[11:19]
    return SafeString(  # times and our own words
        f'<time datetime="{day}T{clock}Z" title="{day} {clock} UTC" data-time="{kind}">{words(seconds)}</time>'
    )
