"""From the acceptance of an operation to a worker that has it in hand, and to its end, on both control databases."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from statistics import median

from tasks.models import OperationRequest
from tasks.statuses import Operation
from tests.chaos.conftest import SUBMISSION, Writer
from tests.postgres import PostgresServer
from tests.stack import Stack
from tests.waiting import wait_for

ROUNDS = 20


def main() -> None:
    server = PostgresServer()
    try:
        server.start()
        for name, control in (("SQLite", None), ("PostgreSQL", server)):
            with tempfile.TemporaryDirectory(prefix="opsconsole-bench-") as directory:
                _measure(name, Path(directory), control)
    finally:
        server.close()


def _measure(name: str, directory: Path, control: PostgresServer | None) -> None:
    writer = Writer(directory / "shop.db")
    stack = Stack(directory, server=control)
    stack.prepare()
    with stack.use():
        try:
            stack.start("engine", "worker")
            wait_for(lambda: "began" in stack.log("worker"), "the worker begins")
            stack.submit(SUBMISSION.format(directory=directory))
            for operation in [Operation.RUN, *[Operation.PAUSE, Operation.CONTINUE] * ROUNDS]:
                stack.operate("upsert", operation)
            done = list(OperationRequest.objects.filter(begun_at__isnull=False, settled_at__isnull=False))
        finally:
            stack.close()
            writer.end()
    begun = [
        (request.begun_at - request.requested_at) / timedelta(milliseconds=1) for request in done if request.begun_at
    ]
    ended = [(r.settled_at - r.requested_at) / timedelta(milliseconds=1) for r in done if r.settled_at]
    print(
        f"latency  {name:10} accepted to worker {median(begun):5.1f} ms (max {max(begun):.1f})   "
        f"to settled {median(ended):5.1f} ms (max {max(ended):.1f})   {len(done)} operations"
    )
