"""manage.py ops: list tasks and operate them from a shell."""

from __future__ import annotations

import getpass
import json
import os
import sys
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from tasks.listing import listed
from tasks.matrix import MATRIX
from tasks.models import OperationRequest, StartPosition, Task
from tasks.operations import Actor, OperationRefused, accept
from tasks.statuses import Channel, Operation, Outcome, Status

SUCCEEDED: Final = 0
REFUSED: Final = 2
FAILED: Final = 3
NOT_SETTLED: Final = 4
#: Of several tasks the worst decides: a failure, then one that is not settled, then a refusal.
WORST_FIRST: Final = (FAILED, NOT_SETTLED, REFUSED, SUCCEEDED)


class Command(BaseCommand):
    help = (
        "Lists tasks and operates them. Exit code: 0 all succeeded (without --wait: all accepted), "
        "2 refused, 3 failed, 4 not settled within the wait."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        listing = commands.add_parser("list", help="list the submitted tasks")
        listing.add_argument("--status", action="append", choices=Status.values, help="only these; may be repeated")
        listing.add_argument("--json", action="store_true", help="print JSON")
        for row in MATRIX.values():
            self._add_operation(commands.add_parser(row.operation.value, help=row.effect), row.operation)

    def _add_operation(self, parser: ArgumentParser, operation: Operation) -> None:
        parser.add_argument("names", nargs="+", metavar="NAME", help="names of tasks")
        parser.add_argument("--wait", type=float, metavar="SECONDS", help="wait until all are settled")
        parser.add_argument("--reason", default="", help="why: kept in the history")
        parser.add_argument(
            "--key", default="", help="the same key again gets the first answer again, and does nothing"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask for a confirmation")
        parser.add_argument("--json", action="store_true", help="print JSON")
        if operation is Operation.RUN:
            parser.add_argument("--start", default="", choices=StartPosition.values, help="instead of the task's own")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["command"] == "list":
                self._list(options)
            else:
                sys.exit(self._operate(Operation(options["command"]), options))
            self.stdout.flush()
        except BrokenPipeError:
            # The reader (`| head`) has what it wanted; Python must not complain while it closes the stream.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    # --- list -------------------------------------------------------------------------------------------

    def _list(self, options: dict[str, Any]) -> None:
        tasks = Task.objects.submitted().order_by("name", "pk")
        if options["status"]:
            tasks = tasks.filter(status__in=options["status"])
        rows = listed(tasks)
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
        elif not rows:
            self.stdout.write("No task matches." if options["status"] else "No task is submitted yet: manage.py submit")
        else:
            self._print_table(rows)

    def _print_table(self, rows: list[dict[str, Any]]) -> None:
        width = min(40, max(4, *(len(row["name"]) for row in rows)))
        self.stdout.write(f"{'NAME':{width}}  {'STATUS':20} {'READ':>12} {'WRITTEN':>12} {'LAG':>8}  ERROR")
        for row in rows:
            status = Status(row["status"]).label + (f" ({row['paused']})" if row["paused"] else "")
            lag = "-" if row["lag_seconds"] is None else f"{row['lag_seconds']:.1f} s"
            error = (row["error"] or "")[:40]
            self.stdout.write(
                f"{row['name']:{width}}  {status:20} {row['rows_read']:>12,} {row['rows_written']:>12,} "
                f"{lag:>8}  {error}".rstrip()
            )

    # --- operations -------------------------------------------------------------------------------------

    def _operate(self, operation: Operation, options: dict[str, Any]) -> int:
        names = list(dict.fromkeys(options["names"]))
        if operation is Operation.STOP and not options["yes"]:
            self._confirm(names)
        actor = Actor(name=f"cli:{getpass.getuser()}")
        results = [self._ask(name, operation, actor, options) for name in names]
        if options["wait"] is not None:
            self._wait(results, options["wait"])
        for result in results:
            result.pop("request", None)
            if not options["json"]:
                self.stdout.write(f"{result['name']}: {result['outcome']}. {result['message']}".rstrip())
        if options["json"]:
            self.stdout.write(json.dumps(results, indent=2))
        codes = {self._code(result["outcome"], waited=options["wait"] is not None) for result in results}
        return next(code for code in WORST_FIRST if code in codes)

    def _confirm(self, names: list[str]) -> None:
        if not sys.stdin.isatty():
            raise CommandError("Stop discards snapshots and offsets: confirm it with --yes.", returncode=REFUSED)
        self.stdout.write(f"Stop discards snapshots, offsets, metrics and logs of: {', '.join(names)}.")
        if input("Type stop to confirm: ").strip() != "stop":
            raise CommandError("Not confirmed; nothing was done.", returncode=REFUSED)

    def _ask(self, name: str, operation: Operation, actor: Actor, options: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {"name": name, "operation": operation.value}
        # A key of its own, where none is given: an answer that got lost is asked for again, and nothing is done twice.
        key = options["key"] or uuid.uuid4().hex
        try:
            request = self._accept(name, operation, actor, options, key)
        except Task.DoesNotExist:
            return {**result, "outcome": "refused", "code": "unknown_task", "message": f"There is no task {name}."}
        except DatabaseError:
            message = f"The database does not answer. Ask again with --key {key}: nothing is done twice."
            return {**result, "outcome": "not answered", "code": "database_unavailable", "message": message}
        except OperationRefused as refused:
            return {**result, "outcome": "refused", **refused.refusal.as_dict()}
        return {**result, "outcome": "accepted", "code": "", "message": "", "request": request.pk}

    def _accept(
        self, name: str, operation: Operation, actor: Actor, options: dict[str, Any], key: str
    ) -> OperationRequest:
        for patience in (0.5, 2.0, None):
            try:
                return accept(
                    task_id=Task.objects.submitted().values_list("pk", flat=True).get(name=name),
                    operation=operation,
                    actor=actor,
                    channel=Channel.CLI,
                    reason=options["reason"],
                    key=key,
                    start_position=options.get("start", ""),
                )
            except (OperationalError, InterfaceError):
                connection.close()
                if patience is None:
                    raise
                time.sleep(patience)
        raise AssertionError

    def _wait(self, results: list[dict[str, Any]], seconds: float) -> None:
        """Follow the requests until each is settled or `seconds` are over; the database is asked ever less often."""
        waiting = {result["request"]: result for result in results if "request" in result}
        until, pause = time.monotonic() + seconds, 0.05
        while waiting:
            for request in self._settled(waiting):
                result = waiting.pop(request.pk)
                result |= {"outcome": request.outcome, "code": request.code, "message": request.message}
                result["status"] = request.task.status
            if time.monotonic() >= until:
                break
            time.sleep(min(pause, max(0.0, until - time.monotonic())) if waiting else 0)
            pause = min(pause * 1.3, 0.25)
        for result in waiting.values():
            result |= {"outcome": "not settled", "message": f"Still in progress after {seconds:g} s."}

    def _settled(self, waiting: Iterable[int]) -> list[OperationRequest]:
        """A database that is away for a moment costs time, not the command."""
        found = OperationRequest.objects.filter(pk__in=list(waiting)).exclude(outcome=Outcome.OPEN)
        try:
            return list(found.select_related("task"))
        except (OperationalError, InterfaceError):
            connection.close()
            return []

    def _code(self, outcome: str, *, waited: bool) -> int:
        if outcome == "accepted":
            return NOT_SETTLED if waited else SUCCEEDED
        return {
            Outcome.SUCCEEDED.value: SUCCEEDED,
            Outcome.REFUSED.value: REFUSED,
            Outcome.FAILED.value: FAILED,
        }.get(outcome, NOT_SETTLED)
