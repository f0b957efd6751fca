"""Look at the process table all the time: two attempts of one task must never be alive at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path

#: A process that is gone, or that has its death sentence already (a killed host's child on its way out).
_GONE = "ZX"


def task_processes(data_dir: Path) -> dict[str, list[int]]:
    """Return the live task processes of the engine on `data_dir`, by task name (as far as a process shows it)."""
    found: dict[str, list[int]] = defaultdict(list)
    mark = f"OPS_DATA_DIR={data_dir}\0".encode()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        place = Path("/proc") / entry
        try:
            name, _, rest = (place / "stat").read_text().partition("(")[2].rpartition(")")
            if not name.startswith("task:") or rest.split()[0] in _GONE:
                continue
            if mark in (place / "environ").read_bytes() and not _is_doomed(place):
                found[name.removeprefix("task:")].append(int(entry))
        except OSError:
            continue
    return found


def _is_doomed(place: Path) -> bool:
    """Whether SIGKILL is on its way to it: it does nothing any more, but is still in the table."""
    for line in (place / "status").read_text().splitlines():
        if line.startswith(("SigPnd:", "ShdPnd:")) and int(line.split()[1], 16) >> (signal.SIGKILL - 1) & 1:
            return True
    return False


class Watch:
    """Looks every few milliseconds in a thread of its own; `twice` lists what must never be."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.twice: list[str] = []
        self.looks = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopping.wait(0.02):
            self.looks += 1
            for name, pids in task_processes(self.data_dir).items():
                # Seen once, a process may have ended between two lines of the look: only what is there again counts.
                if len(pids) > 1 and len(set(task_processes(self.data_dir)[name]) & set(pids)) > 1:
                    self.twice.append(f"{time.time():.3f} {name}: {pids}")
