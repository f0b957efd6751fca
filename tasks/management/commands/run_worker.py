"""manage.py run_worker: carry out operations and observe tasks."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from tasks.engines.registry import engine_for
from tasks.worker.loop import Worker


class Command(BaseCommand):
    help = "Carries out operations and observes tasks, until it is told to end (SIGTERM). Several may run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="Carry out all that is in flight, look once, and end.")

    def handle(self, *args: Any, **options: Any) -> None:
        worker = Worker(engine_for)
        if options["once"]:
            worker.once()
        else:
            worker.run()
