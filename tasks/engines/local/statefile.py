"""What a task process shows of itself: a small mapped file that is right even after kill -9.

Two slots are written in turn, and one byte says which is whole: a process killed in the middle of a write leaves the
other slot. Its pages belong to the kernel, not to the process, so nothing is lost with that.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any, Final

import orjson

SLOT: Final = 16_384
HEADER: Final = 64
SIZE: Final = HEADER + 2 * SLOT

State = dict[str, Any]


class StateFile:
    """The writing side; one process at a time (the task directory's lock sees to that)."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(fd).st_size < SIZE:
                # Blocks are taken now: a full disk must be an error here, not a SIGBUS later.
                os.posix_fallocate(fd, 0, SIZE)
            self._map = mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)

    def write(self, state: State) -> None:
        """Show `state`; texts in it must be short (16 KB in all)."""
        payload = orjson.dumps(state)
        if len(payload) > SLOT - 4:
            raise ValueError("The state is too large to be shown.")
        inactive = 1 - (self._map[0] & 1)
        begin = HEADER + inactive * SLOT
        self._map[begin : begin + 4] = len(payload).to_bytes(4, "little")
        self._map[begin + 4 : begin + 4 + len(payload)] = payload
        self._map[0] = inactive

    def flush(self) -> None:
        """Make the last state durable against a crash of the machine."""
        self._map.flush()

    def close(self) -> None:
        self._map.close()


def read(path: Path) -> State | None:
    """Return the last whole state, or None where none was ever written."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) < SIZE:
        return None
    # The writer may have turned both slots over during the read: then the other slot is tried.
    for slot in (data[0] & 1, 1 - (data[0] & 1)):
        begin = HEADER + slot * SLOT
        length = int.from_bytes(data[begin : begin + 4], "little")
        if not 0 < length <= SLOT - 4:
            continue
        try:
            state: State = orjson.loads(data[begin + 4 : begin + 4 + length])
        except orjson.JSONDecodeError:
            continue
        return state
    return None
