"""How long rows take, and which phase a run is in: arithmetic."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.engines.local.phase import Phases
from tasks.engines.local.timing import Slowest, seconds_of


def test_the_slowest_is_shown_for_one_to_two_windows() -> None:
    slowest = Slowest(now=0.0)
    assert slowest.value(1.0) is None
    slowest.note(3.0, 2.0)
    slowest.note(1.0, 3.0)
    assert slowest.value(9.0) == 3.0
    slowest.note(2.0, 11.0)
    assert slowest.value(12.0) == 3.0
    assert slowest.value(21.5) == 2.0
    assert slowest.value(60.0) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_790_000_000, 1_790_000_000.0),
        (1_790_000_000.5, 1_790_000_000.5),
        (1_790_000_000_123, 1_790_000_000.123),
        (1_790_000_000_123_456, 1_790_000_000.123456),
        ("2026-11-24T10:00:00Z", 1_795_514_400.0),
        ("2026-11-24 12:00:00+02:00", 1_795_514_400.0),
        ("2026-11-24 12:00:00+02", 1_795_514_400.0),
        (" 2026-11-24 10:00:00 ", 1_795_514_400.0),
        ("yesterday", None),
        (True, None),
        (-5, None),
        (0, None),
        (float("nan"), None),
        (10**30, None),
        (None, None),
        (b"2026-11-24", None),
    ],
)
def test_an_event_time_is_read_in_the_forms_that_columns_have(value: Any, seconds: float | None) -> None:
    assert seconds_of(value) == (pytest.approx(seconds) if seconds is not None else None)


def test_the_full_phase_ends_with_the_first_catching_up() -> None:
    phases = Phases(None)
    phases.begin("earliest", (100, "rows"))
    phases.moved(40, 400, caught_up=False)
    assert phases.shown is not None
    assert (phases.shown.name, phases.shown.done, phases.shown.total) == ("full", 40, 100)
    phases.moved(20, 200, caught_up=True)  # rows were deleted meanwhile
    assert (phases.shown.name, phases.shown.done) == ("incremental", 100)
    ended = phases.shown.ended_at
    phases.moved(20, 200, caught_up=True)
    assert phases.shown.ended_at == ended is not None


def test_the_full_phase_ends_with_its_last_row_though_more_came() -> None:
    phases = Phases(None)
    phases.begin("earliest", (1000, "bytes"))
    phases.moved(5, 999, caught_up=False)
    assert phases.shown is not None
    assert phases.shown.name == "full"
    phases.moved(5, 999, caught_up=False)
    assert (phases.shown.name, phases.shown.done) == ("incremental", 1000)


@pytest.mark.parametrize(("start", "waiting"), [("latest", (5, "rows")), ("earliest", (0, "rows"))])
def test_a_run_with_nothing_to_read_first_is_incremental_at_once(start: str, waiting: tuple[int, str]) -> None:
    phases = Phases(None)
    phases.begin(start, waiting)
    assert phases.shown is not None
    assert phases.shown.name == "incremental"


def test_a_later_attempt_goes_on_with_the_phase_it_found() -> None:
    before = {"name": "full", "done": 40, "total": 100, "unit": "rows", "began_at": 1.0, "ended_at": None}
    phases = Phases(before)
    phases.begin("earliest", (60, "rows"))
    phases.moved(10, 0, caught_up=False)
    assert phases.shown is not None
    assert (phases.shown.done, phases.shown.total) == (50, 100)
