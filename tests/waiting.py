"""Await a condition: no test sleeps for a time that it hopes is long enough."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str = "", *, seconds: float = 20.0) -> T:
    """Return the first true value of `condition`; AssertionError after `seconds`, naming `what` and the last value."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"Not within {seconds:.0f} s: {what or condition}; the last value was {value!r}.")
        time.sleep(0.02)
