"""The local engine as the worker sees it: the contract, over the host's socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import orjson

from tasks.engines.base import (
    AttemptRef,
    Capacity,
    ConnectionSpec,
    EngineRefused,
    EngineState,
    EngineUnreachable,
    Fault,
    Found,
    LogLine,
    Observation,
    SnapshotInfo,
    TaskSpec,
)
from tasks.engines.local import wire

ANSWER_WITHIN: Final = 2.0  # seconds
CHECK_ANSWER_WITHIN: Final = 15.0


class LocalEngine:
    """Each call has a connection of its own, so that any thread may call."""

    def __init__(self, data_dir: Path) -> None:
        self.root = data_dir / "local-engine"

    def check(self, spec: TaskSpec) -> tuple[Fault, ...]:
        return wire.faults(self._ask({"do": "check", "spec": asdict(spec)}, CHECK_ANSWER_WITHIN))

    def check_connection(self, connection: ConnectionSpec) -> tuple[Fault, ...]:
        request = {"do": "check_connection", "connection": asdict(connection)}
        return wire.faults(self._ask(request, CHECK_ANSWER_WITHIN))

    def look_up(self, connection: ConnectionSpec, object_name: str) -> Found:
        request = {"do": "look_up", "connection": asdict(connection), "object": object_name}
        return wire.found(self._ask(request, CHECK_ANSWER_WITHIN))

    def start(self, spec: TaskSpec, epoch: int, snapshot: SnapshotInfo | None) -> AttemptRef:
        request = {
            "do": "start",
            "spec": asdict(spec),
            "epoch": epoch,
            "snapshot": asdict(snapshot) if snapshot else None,
        }
        return wire.ref(self._ask(request))

    def pause(self, ref: AttemptRef, token: str) -> None:
        self._ask({"do": "pause", "ref": asdict(ref), "token": token})

    def snapshot(self, ref: AttemptRef, token: str) -> None:
        self._ask({"do": "snapshot", "ref": asdict(ref), "token": token})

    def kill(self, ref: AttemptRef, grace: float = 0.0) -> None:
        self._ask({"do": "kill", "ref": asdict(ref), "grace": grace})

    def discard(self, ref: AttemptRef) -> None:
        self._ask({"do": "discard", "ref": asdict(ref)})

    def observe(self, refs: Sequence[AttemptRef]) -> dict[AttemptRef, Observation]:
        if not refs:
            return {}
        try:
            answers = self._ask({"do": "observe", "refs": [asdict(ref) for ref in refs]})
            return {ref: wire.observation(answer) for ref, answer in zip(refs, answers, strict=True)}
        except (EngineUnreachable, EngineRefused, ValueError, KeyError, TypeError):
            return {ref: Observation(ref, EngineState.UNREACHABLE, at=time.time()) for ref in refs}

    def live(self) -> tuple[AttemptRef, ...]:
        return tuple(wire.ref(item) for item in self._ask({"do": "live"}))

    def logs(self, ref: AttemptRef, after: int) -> tuple[LogLine, ...]:
        return wire.log_lines(self._ask({"do": "logs", "ref": asdict(ref), "after": after}))

    def capacity(self) -> Capacity:
        return Capacity(**self._ask({"do": "capacity"}))

    def _ask(self, request: dict[str, Any], within: float = ANSWER_WITHIN) -> Any:
        """Send one request and return its answer. Raises EngineUnreachable, EngineRefused."""
        try:
            answer = orjson.loads(self._exchange(orjson.dumps(request) + b"\n", within))
        except (OSError, orjson.JSONDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no answer"
            raise EngineUnreachable(
                f"The local engine of {self.root.parent} does not answer ({reason}). "
                "Is `manage.py run_local_engine` running?"
            ) from None
        if "refused" in answer:
            raise EngineRefused(answer["refused"]["code"], answer["refused"]["sentence"])
        return answer["ok"]

    def _exchange(self, data: bytes, within: float) -> bytes:
        until = time.monotonic() + within
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(within)
            self._connect(sock)
            sock.sendall(data)
            parts: list[bytes] = []
            while not parts or not parts[-1].endswith(b"\n"):
                sock.settimeout(max(0.001, until - time.monotonic()))
                part = sock.recv(1_048_576)
                if not part:
                    raise ConnectionResetError("the engine closed the connection")
                parts.append(part)
            return b"".join(parts)

    def _connect(self, sock: socket.socket) -> None:
        """Connect through the directory's descriptor: a path may be longer than the 108 bytes of an address."""
        directory = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            sock.connect(f"/proc/self/fd/{directory}/engine.sock")
        finally:
            os.close(directory)
