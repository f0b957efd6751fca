"""manage.py demo: keeps adding rows to the demo's sources."""

from __future__ import annotations

import signal
import sqlite3
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from tasks import demo


class Command(BaseCommand):
    help = "Keeps the demo's sources growing until it is told to end; at the first start it operates the demo's tasks."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.OPS_DEMO or not demo.exists():
            self.stdout.write("There is no demo here (OPS_DEMO=0, or the console was not empty when it was made).")
            if not settings.OPS_DEMO:
                return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if not demo.exists():
            stop.wait()  # honcho ends everything when one process ends
            return
        while not stop.is_set():
            try:
                demo.play(stop.wait)
            except sqlite3.OperationalError as error:
                self.stderr.write(f"The demo's source could not be written ({error}); trying again.")
                stop.wait(1.0)
