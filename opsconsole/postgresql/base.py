"""Django's PostgreSQL, quicker where each page and poll pays: its statements stay the same.

Django asks a kept connection for `SELECT 1` before a request uses it. A server that went away has closed the socket,
though, and that is seen without asking; only after a rest is it asked: a network drops connections without a word.

Django reads each time stamp in Python, to give it the zone that psycopg's own loader in C has given it already.
"""

from __future__ import annotations

import datetime
import select
import time
from typing import Any, Final

import psycopg
from django.db.backends.postgresql import base
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import Format

#: Seconds without a statement after which the server is asked whether it is there.
REST: Final = 5.0
_FROM_TEXT: Final = psycopg.adapters.get_loader(base.TIMESTAMPTZ_OID, Format.TEXT)


class UtcLoader(Loader):
    """Of connections in UTC, which Django's are made to be; it looks for `timezone` before each statement."""

    timezone = datetime.UTC

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        assert _FROM_TEXT is not None
        self._load = self.load = _FROM_TEXT(oid, context).load  # type: ignore[method-assign]

    def load(self, data: Any) -> Any:
        return self._load(data)


class DatabaseWrapper(base.DatabaseWrapper):
    _used_at = float("-inf")

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        if self.timezone is datetime.UTC:
            params["context"] = AdaptersMap(params["context"])
            params["context"].register_loader("timestamptz", UtcLoader)
        return params

    def close_if_health_check_failed(self) -> None:
        now = time.monotonic()
        rested, self._used_at = now - self._used_at, now
        if not self.health_check_done and rested < REST and self.connection is not None and not self._is_spoken_to():
            self.health_check_done = True
        super().close_if_health_check_failed()

    def _is_spoken_to(self) -> bool:
        """Between two statements a server says nothing but that it goes."""
        socket = select.poll()
        try:
            socket.register(self.connection.fileno(), select.POLLIN)
        except psycopg.Error:  # it is closed already
            return True
        return bool(socket.poll(0))
