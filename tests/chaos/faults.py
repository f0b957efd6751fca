"""Carry a plan out against a real stack, and write down each thing that was done, and when."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection

from tasks.operations import OperationRefused
from tasks.statuses import Operation
from tests.chaos.field import TASKS
from tests.chaos.plan import Event
from tests.chaos.watch import task_processes
from tests.postgres import PostgresServer
from tests.stack import Stack


class Faults:
    """One thread operates, one does the faults: an operation that waits for a stopped database delays no fault."""

    def __init__(self, stack: Stack, server: PostgresServer, log: Path) -> None:
        self.stack = stack
        self.server = server
        self.began = time.monotonic()
        self.counts: Counter[str] = Counter()  # answers to operations
        self.kinds: Counter[str] = Counter()  # faults done
        self._log = open(log, "a")  # noqa: SIM115  (closed at the end of the run)
        self._lock = threading.Lock()
        self.done = 0
        self._enough = threading.Event()
        self._later: list[tuple[float, str, Callable[[], None]]] = []

    def note(self, what: str, **values: Any) -> None:
        with self._lock:
            record = {"t": round(time.monotonic() - self.began, 3), "at": round(time.time(), 3), "what": what, **values}
            self._log.write(json.dumps(record) + "\n")
            self._log.flush()

    def carry_out(self, events: list[Event], most: int) -> None:
        """Do what is planned until `most` faults were done, then undo what is still stopped or down."""
        self.began = time.monotonic()
        operating = threading.Thread(target=self._operate_all, args=([e for e in events if e.what == "operate"],))
        operating.start()
        for event in events:
            if event.what != "operate" and self.done < most:
                self._wait_until(event.at)
                self._taking_no_time(lambda event=event: self._do(event))  # type: ignore[misc]
        self._enough.set()
        while self._later:
            self._wait_until(min(at for at, _, _ in self._later))
        operating.join()
        self._log.close()

    def _wait_until(self, at: float) -> None:
        while True:
            due = [item for item in self._later if item[0] <= self._now()]
            for item in due:
                self._later.remove(item)
                self.note(f"undo {item[1]}")
                self._taking_no_time(item[2])
            left = at - self._now()
            if left <= 0:
                return
            soonest = min([at, *(item[0] for item in self._later)])
            time.sleep(max(0.0, min(left, soonest - self._now())))

    def _taking_no_time(self, action: Callable[[], None]) -> None:
        """A database that comes up or an engine that ends slowly must not leave the rest of the plan to one moment."""
        before = time.monotonic()
        action()
        self.began += time.monotonic() - before

    def _now(self) -> float:
        return time.monotonic() - self.began

    # --- faults -----------------------------------------------------------------------------------------

    def _do(self, event: Event) -> None:
        verb, _, victim = event.what.partition(" ")
        if victim == "database":
            done = self._fault_database(verb, event.seconds)
        elif victim == "task":
            done = self._fault_task(verb, event)
        else:
            done = self._fault_process(verb, victim, event.seconds)
        if done:
            self.done += 1
            self.kinds[event.what] += 1
        self.note(event.what if done else f"{event.what}: nothing there", seconds=event.seconds, task=event.task)

    def _undo(self, seconds: float, what: str, action: Callable[[], None]) -> None:
        self._later.append((self._now() + seconds, what, action))

    def _is_stopped(self, what: str) -> bool:
        return any(name == what for _, name, _ in self._later)

    def _fault_task(self, verb: str, event: Event) -> bool:
        pids = task_processes(self.stack.data_dir).get(event.task, [])
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if verb == "kill" else signal.SIGSTOP)
            if verb == "stop":
                self._undo(event.seconds, f"stop {pid}", lambda pid=pid: _signal(pid, signal.SIGCONT))  # type: ignore[misc]
        return bool(pids)

    def _fault_process(self, verb: str, name: str, seconds: float) -> bool:
        process = self.stack.processes.get(name)
        if process is None or self._is_stopped(f"stop {name}"):
            return False
        if verb == "stop":
            os.kill(process.pid, signal.SIGSTOP)
            self._undo(seconds, f"stop {name}", lambda: _signal(process.pid, signal.SIGCONT))
            return True
        if name == "web" and verb == "kill":
            os.killpg(process.pid, signal.SIGKILL)
        self.stack.kill(name, signal.SIGKILL if verb == "kill" else signal.SIGTERM)
        self._undo(seconds, f"{verb} {name}", lambda: self.stack.start(name, wait=False))
        return True

    def _fault_database(self, verb: str, seconds: float) -> bool:
        if self.server.process is None or self._is_stopped("stop database") or self._is_stopped("kill database"):
            return False
        if verb == "stop":
            pids = self.server.pids()
            for pid in pids:
                _signal(pid, signal.SIGSTOP)
            self._undo(seconds, "stop database", lambda: [_signal(pid, signal.SIGCONT) for pid in pids] and None)
            return True
        self.server.end(signal.SIGKILL)
        self._undo(seconds, "kill database", self.server.start)
        return True

    # --- operations -------------------------------------------------------------------------------------

    def _operate_all(self, events: list[Event]) -> None:
        with self.stack.use():
            for event in events:
                if self._enough.wait(max(0.0, event.at - self._now())):
                    return
                self._operate(event)

    def _operate(self, event: Event) -> None:
        operation = Operation(event.operation)
        if TASKS[event.task][2] == "append" and operation in (Operation.STOP, Operation.RUN):
            # A new run appends everything again: then nobody could tell what was a replay. The first Run is given.
            return
        try:
            request = self.stack.ask(event.task, operation)
        except OperationRefused as refused:
            self.counts["refused"] += 1
            self.note("refused", task=event.task, operation=event.operation, code=refused.refusal.code)
        except DatabaseError as error:
            connection.close()  # it may be one to a server that was killed
            self.counts["not answered"] += 1
            self.note("not answered", task=event.task, operation=event.operation, error=type(error).__name__)
        else:
            self.counts["accepted"] += 1
            self.note("accepted", task=event.task, operation=event.operation, request=request.pk)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
