"""The matrix, cell by cell, against the grid that people were promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.checks import matrix_is_total
from tasks.matrix import FIVE, MATRIX, operations_for, why_not
from tasks.statuses import Operation, Status

#: Run, Pause, Forced pause, Continue, Stop
GRID = {
    Status.INITIALIZE: "x----",
    Status.OPERATING: "-----",
    Status.RUNNING: "-xx-x",
    Status.PAUSED: "---xx",
    Status.STOPPED: "x----",
    Status.FAILURE: "x--xx",
    Status.DETECTION_EXCEPTION: "----x",
}


@pytest.mark.parametrize("status", list(Status))
def test_each_cell(status: Status) -> None:
    for operation, cell in zip(FIVE, GRID[status], strict=True):
        sentence = why_not(operation, status)
        assert (sentence is None) == (cell == "x"), (operation, status)
        assert (operation in operations_for(status)) == (cell == "x")
        if sentence is not None:
            assert sentence.endswith(".")
            assert operation.label in sentence


def test_re_detect_stands_beside_the_five() -> None:
    assert Operation.DETECT not in FIVE
    assert MATRIX[Operation.DETECT].allowed_in == {Status.DETECTION_EXCEPTION}


def test_the_system_check_finds_it_total() -> None:
    assert matrix_is_total() == []


def test_the_readme_shows_the_same_table() -> None:
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text()
    for status in Status:
        cells = " | ".join("yes" if why_not(operation, status) is None else "-" for operation in FIVE)
        assert f"| {status.label} | {cells} |" in readme
