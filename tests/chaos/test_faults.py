"""Random faults under live writers and random operations: afterwards every promise holds.

The plan, what was done, and each process's log lie in one directory that is named when it fails; `python -m tests.chaos
--replay PLAN` runs the same plan again.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

from tasks.statuses import Operation
from tests.chaos import plan, truths
from tests.chaos.conftest import running_stack
from tests.chaos.faults import Faults
from tests.chaos.field import TASKS, Field
from tests.chaos.watch import Watch
from tests.postgres import PostgresServer
from tests.stack import Stack
from tests.waiting import wait_for

#: Faults in the short form, which is part of `make test`, and in the long one (`make chaos`).
SHORT, LONG = 12, 200

pytestmark = [pytest.mark.process, pytest.mark.timeout(1200)]


def seed_of() -> int:
    return int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))


def wanted() -> int:
    return LONG if os.environ.get("CHAOS_LONG") else SHORT


def events_of(directory: Path, seed: int) -> list[plan.Event]:
    replayed = os.environ.get("CHAOS_REPLAY")
    if replayed:
        return plan.read(Path(replayed))
    events = plan.drawn(seed, wanted(), list(TASKS))
    plan.write(directory / "plan.jsonl", events)
    return events


def test_every_promise_holds_after_random_faults(
    directory: Path, control: PostgresServer | None, server: PostgresServer, django_db_blocker: DjangoDbBlocker
) -> None:
    seed = seed_of()
    print(f"CHAOS_SEED={seed}, everything about it in {directory}")
    events = events_of(directory, seed)
    field = Field(directory, server)
    stack = Stack(directory, server=control)
    # Short, so that a run of minutes sees leases run out, deadlines pass and restarts be forgotten.
    stack.environment |= {"OPS_LEASE_SECONDS": "5", "OPS_RESTART_WINDOW": "2"}
    watch = Watch(stack.data_dir)
    with running_stack(stack, django_db_blocker, workers=("worker", "worker-2"), web=True):
        stack.submit(field.submission())
        field.begin()
        watch.begin()
        try:
            for name in TASKS:
                stack.operate(name, Operation.RUN)
            faults = Faults(stack, server, directory / "done.jsonl")
            faults.carry_out(events, wanted())
            connection.close()  # made before the server was killed
            quiet_and_true(stack, field)
        finally:
            field.end()
            watch.end()
        assert not watch.twice
        assert faults.done == wanted()
        found = truths.targets_are_right(field)
        truths.histories_are_whole()
        truths.each_request_has_one_chain()
        report = {"seed": seed, "looks": watch.looks, "faults": faults.kinds, **faults.counts, "tasks": found}
        write_report(directory, report)


def write_report(directory: Path, report: dict[str, object]) -> None:
    """Leave the figures of a run beside its logs."""
    name = f"{os.environ['PYTEST_CURRENT_TEST'].partition('::')[2].partition(' ')[0]}"
    report = {"name": name, **report, **truths.figures()}
    (directory / "report.json").write_text(json.dumps(report, indent=1))
    print(json.dumps(report), file=sys.stderr)


def quiet_and_true(stack: Stack, field: Field) -> None:
    wait_for(truths.is_quiet, f"everything settles: {truths.unsettled()}", seconds=truths.QUIET_WITHIN)
    truths.bring_all_to_running(stack)
    field.end()
    wait_for(truths.is_quiet, "it stays so", seconds=30)
