"""manage.py run_local_engine: the long-lived process that owns the task processes."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tasks.engines.local.host import AlreadyServed, serve


class Command(BaseCommand):
    help = "Serves the local engine of OPS_DATA_DIR until it is told to end (SIGTERM); tasks are drained then."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            serve(settings.OPS_DATA_DIR)
        except AlreadyServed as error:
            self.stderr.write(str(error))
            sys.exit(3)
        except OSError as error:
            raise CommandError(f"The local engine can't use {settings.OPS_DATA_DIR}: {error.strerror}.") from None
