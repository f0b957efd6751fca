"""manage.py submit FILE.yaml: make or change resource groups, connections and tasks."""

from __future__ import annotations

import getpass
import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from django.core.management.base import BaseCommand

from tasks.submission import Change, Plan, Problem, SubmissionInvalid, submit

INVALID = 2


class Command(BaseCommand):
    help = "Submits the resource groups, connections and tasks of a YAML file: all of it, or nothing if it is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the YAML file; - reads standard input")
        parser.add_argument("--dry-run", action="store_true", help="validate and show every default; write nothing")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        file, dry_run = options["file"], options["dry_run"]
        try:
            text, base = self._read(file)
            plan, changes = submit(text, actor_name=f"cli:{getpass.getuser()}", base=base, dry_run=dry_run)
        except SubmissionInvalid as invalid:
            self._say_invalid(file, invalid.problems, options["json"])
            sys.exit(INVALID)
        if options["json"]:
            self.stdout.write(json.dumps(_report(plan, changes, dry_run=dry_run), indent=2))
        else:
            self._say(plan, changes, dry_run=dry_run)

    def _read(self, file: str) -> tuple[str, Path]:
        """Raises SubmissionInvalid for a file that can't be read."""
        try:
            if file == "-":
                return sys.stdin.read(), Path.cwd()
            path = Path(file)
            return path.read_text(encoding="utf-8"), path.resolve().parent
        except OSError as error:
            raise SubmissionInvalid([Problem(file, f"The file can't be read: {error.strerror}.")]) from None
        except UnicodeDecodeError:
            raise SubmissionInvalid([Problem(file, "The file is not UTF-8 text.")]) from None

    def _say_invalid(self, file: str, problems: list[Problem], as_json: bool) -> None:
        if as_json:
            found = {"valid": False, "problems": [asdict(problem) for problem in problems]}
            self.stdout.write(json.dumps(found, indent=2))
            return
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        self.stderr.write(f"{file}: {count}; nothing was written.")
        for problem in problems:
            self.stderr.write(f"  {problem}")

    def _say(self, plan: Plan, changes: list[Change], *, dry_run: bool) -> None:
        for change in changes:
            fields = f" ({', '.join(change.fields)})" if change.fields else ""
            would = "would be " if dry_run and change.what != "unchanged" else ""
            self.stdout.write(f"{change.kind} {change.name}: {would}{change.what}{fields}")
        for warning in plan.warnings:
            self.stderr.write(f"warning: {warning}")
        if dry_run:
            self.stdout.write("\nWith every default filled in:\n")
            self.stdout.write(yaml.safe_dump(plan.as_dict(), sort_keys=False))
            self.stdout.write("Nothing was written (--dry-run).")


def _report(plan: Plan, changes: list[Change], *, dry_run: bool) -> dict[str, Any]:
    return {
        "valid": True,
        "written": not dry_run,
        "changes": [asdict(change) for change in changes],
        "warnings": [asdict(warning) for warning in plan.warnings],
        **({"plan": plan.as_dict()} if dry_run else {}),
    }
