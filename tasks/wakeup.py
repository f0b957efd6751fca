"""Wake the workers when an operation was accepted: by LISTEN and NOTIFY on PostgreSQL; elsewhere they poll.

A message that gets lost costs nothing but the time until the next poll: nothing depends on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from django.db import Error as DatabaseError
from django.db import connection

log = logging.getLogger(__name__)

CHANNEL: Final = "ops_operations"
#: Seconds of silence after which the listener looks whether it should end.
PATIENCE: Final = 1.0


def can_listen() -> bool:
    return connection.vendor == "postgresql"


def wake_workers() -> None:
    """Send the message with the present transaction: it arrives when that is committed, and only then."""
    if can_listen():
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")


def listen(woken: Callable[[], None], ended: Callable[[], bool]) -> None:
    """Call `woken` for each message until `ended` says so. Raises DatabaseError when the connection breaks."""
    own = connection.copy()  # of this thread alone: LISTEN belongs to a connection
    try:
        own.ensure_connection()
        raw: Any = own.connection
        with own.wrap_database_errors:
            raw.execute(f"LISTEN {CHANNEL}")
            woken()  # what came while nobody listened
            while not ended():
                for _ in raw.notifies(timeout=PATIENCE, stop_after=1):
                    woken()
    finally:
        try:
            own.close()
        except DatabaseError:
            log.debug("The listener's connection was gone already.")
