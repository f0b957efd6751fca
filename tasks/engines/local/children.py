"""The host's task processes: fork, command, kill, reap."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from tasks.engines.base import JSON, SnapshotInfo, TaskSpec
from tasks.engines.local import runner

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Child:
    """A live task process."""

    pid: int
    task: str
    run: int
    epoch: int
    control: socket.socket
    kill_at: float | None = None  # monotonic seconds: the end of an abort's grace

    def order(self, message: JSON) -> None:
        """Send an order; a process that is gone, or too busy to hear, is looked at again by the next call."""
        with contextlib.suppress(OSError):
            self.control.send(orjson.dumps(message) + b"\n", socket.MSG_DONTWAIT)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def fork_task(root: Path, spec: TaskSpec, epoch: int, snapshot: SnapshotInfo | None) -> Child:
    """Start the attempt in a process of its own, which dies with this one. Raises OSError."""
    ours, theirs = socket.socketpair()
    pid = fork(lambda: runner.main(root, spec, epoch, snapshot, theirs), keep=theirs.fileno(), name=spec.name)
    theirs.close()
    return Child(pid, spec.task, spec.run, epoch, ours)


def fork(action: Callable[[], None], *, keep: int, name: str) -> int:
    """Fork; the child does `action` with only `keep` and the standard streams open, and exits. Return its pid.

    The host has one thread and its connectors loaded: a plain fork is then the quickest fork server there is.
    """
    parent = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _become_child(parent, keep, name)
        action()
        code = 0
    except BaseException as error:  # nothing of the child may run on into the host's code
        with contextlib.suppress(Exception):
            sys.stderr.write(f"task {name}: {type(error).__name__}\n")
    finally:
        os._exit(code)


def _become_child(parent: int, keep: int, name: str) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    # Ctrl-C reaches the whole terminal group; it is the host that ends tasks, with a snapshot.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setsid()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the host died before the line above
        os._exit(1)
    _libc.prctl(_PR_SET_NAME, f"task:{name}".encode()[:15])
    os.closerange(3, keep)
    os.closerange(keep + 1, max(keep + 1, _open_file_limit()))


def _open_file_limit() -> int:
    return max((int(entry) for entry in os.listdir("/proc/self/fd")), default=3) + 1


class Children:
    """All live task processes, by task: one a task."""

    def __init__(self) -> None:
        self.by_task: dict[str, Child] = {}

    def reap(self) -> list[Child]:
        """Collect ended processes and return them; pids that are not tasks (checks) are left to their owner."""
        ended = []
        for child in list(self.by_task.values()):
            pid, _ = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.control.close()
                del self.by_task[child.task]
                ended.append(child)
        return ended

    def kill_overdue(self) -> None:
        """Kill those whose grace to end by themselves is over."""
        now = time.monotonic()
        for child in self.by_task.values():
            if child.kill_at is not None and now >= child.kill_at:
                child.kill()

    def next_deadline(self) -> float | None:
        return min((child.kill_at for child in self.by_task.values() if child.kill_at is not None), default=None)
