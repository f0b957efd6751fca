"""System checks: the matrix is total and agrees with what other modules assume of it."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register

from tasks.matrix import MATRIX, operations_for
from tasks.statuses import TONES, Operation, Status


@register()
def matrix_is_total(**_: Any) -> list[CheckMessage]:
    """Each operation has its row, and each status its tone and an operation that leads out of it."""
    problems: list[CheckMessage] = []
    for operation in Operation:
        if operation not in MATRIX:
            problems.append(Error(f"The matrix has no row for {operation.label}.", id="tasks.E001"))
    for status in Status:
        if status not in TONES:
            problems.append(Error(f"{status.label} has no tone.", id="tasks.E002"))
        if bool(operations_for(status)) is (status is Status.OPERATING):
            problems.append(Error(f"{status.label}: only Operating allows no operation.", id="tasks.E003"))
    return problems
