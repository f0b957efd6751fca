"""32 threads and 4 processes ask for everything at once: each answer is kept, each accepted request has one history."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import Error as DatabaseError
from pytest_django.plugin import DjangoDbBlocker

from tasks.models import Attempt, OperationRequest, Run, Task
from tasks.operations import Actor, OperationRefused, accept
from tasks.statuses import Channel, Operation, Outcome
from tests.chaos import truths
from tests.chaos.conftest import Writer, running_stack
from tests.chaos.test_faults import seed_of, write_report
from tests.postgres import PostgresServer
from tests.stack import ROOT, Stack
from tests.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

THREADS, PROCESSES, TASKS = 32, 4, 10
#: Seconds of the storm in the short form and in the long one.
SHORT, LONG = 5, 30
FIVE = (Operation.RUN, Operation.PAUSE, Operation.FORCED_PAUSE, Operation.CONTINUE, Operation.STOP)

Answers = dict[str, str]

HEAD = """
resource_groups: [{{name: local, capacity: 20}}]
connections:
  - {{name: shop, kind: sqlite, path: {directory}/shop.db}}
  - {{name: warehouse, kind: sqlite, path: {directory}/warehouse.db}}
tasks:
"""
TASK = """
  - name: storm-{n}
    group: local
    source: {{connection: shop, object: orders, cursor: id}}
    target: {{connection: warehouse, object: t{n}, mode: upsert, key: [id]}}
"""


def ask_at_random(seed: str, seconds: float) -> Answers:
    """Ask for random operations, some of them twice with one key; return key -> outcome as it was answered."""
    chance = random.Random(seed)
    ids = list(Task.objects.order_by("pk").values_list("pk", flat=True))
    answers: Answers = {}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        key = f"{seed}-{len(answers)}"
        asked = {
            "task_id": chance.choice(ids),
            "operation": chance.choice(FIVE),
            "actor": Actor(name=f"racer {seed}"),
            "channel": Channel.API,
            "key": key,
        }
        answers[key] = ask(asked)
        if chance.random() < 0.2:
            again = ask(asked)
            assert again == answers[key] or "error" in (again, answers[key]), f"{key}: {answers[key]}, then {again}"
    return answers


def ask(asked: dict[str, Any]) -> str:
    for _ in range(3):
        try:
            return f"accepted {accept(**asked).pk}"
        except OperationRefused as refused:
            return f"refused {refused.request.pk if refused.request else 0}"
        except DatabaseError:
            continue  # not answered: that is what the key is for
    return "error"


RACER = "import django; django.setup(); from tests.chaos.test_storm import main; main()"


def main() -> None:
    """One of the processes: prints its answers as JSON."""
    print(json.dumps(ask_at_random(sys.argv[1], float(sys.argv[2]))))


def test_no_request_is_lost_doubled_or_left_open(
    directory: Path, control: PostgresServer | None, django_db_blocker: DjangoDbBlocker
) -> None:
    seed, seconds = seed_of(), LONG if os.environ.get("CHAOS_LONG") else SHORT
    print(f"CHAOS_SEED={seed}")
    writer = Writer(directory / "shop.db")
    stack = Stack(directory, server=control)
    answers: Answers = {}
    try:
        with running_stack(stack, django_db_blocker, workers=("worker", "worker-2")):
            stack.submit(HEAD.format(directory=directory) + "".join(TASK.format(n=n) for n in range(TASKS)))
            processes = [begin_process(stack, f"{seed}-p{n}", seconds) for n in range(PROCESSES)]
            threads = [
                threading.Thread(target=race, args=(stack, f"{seed}-t{n}", seconds, answers)) for n in range(THREADS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for process in processes:
                out, error = process.communicate(timeout=seconds + 60)
                assert process.returncode == 0, error
                answers |= json.loads(out)
            wait_for(truths.is_quiet, f"everything settles: {truths.unsettled()}", seconds=60)
            every_answer_is_kept(answers)
            truths.each_request_has_one_chain()
            truths.histories_are_whole()
            one_attempt_at_a_time()
            counted = Counter(answer.split()[0] for answer in answers.values())
            write_report(directory, {"seed": seed, "seconds": seconds, **counted})
            assert counted["accepted"] > 10
            assert not counted["error"]
    finally:
        writer.end()


def race(stack: Stack, seed: str, seconds: float, answers: Answers) -> None:
    with stack.use():
        answers.update(ask_at_random(seed, seconds))


def begin_process(stack: Stack, seed: str, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RACER, seed, str(seconds)],
        cwd=ROOT,
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def every_answer_is_kept(answers: Answers) -> None:
    """What was said is what is on record, under its key, once."""
    stored = {
        request.key: f"{'refused' if request.outcome == Outcome.REFUSED else 'accepted'} {request.pk}"
        for request in OperationRequest.objects.exclude(key="")
    }
    said = {key: answer for key, answer in answers.items() if answer != "error"}
    assert {key: stored.get(key) for key in said} == said
    assert not set(stored) - set(answers)


def one_attempt_at_a_time() -> None:
    for run in Run.objects.all():
        attempts = list(Attempt.objects.filter(run=run).order_by("epoch"))
        assert [attempt.epoch for attempt in attempts] == list(range(1, run.epoch + 1))
        for earlier, later in pairwise(attempts):
            assert earlier.ended_at is not None
            assert earlier.ended_at <= later.started_at
