"""The long-lived process of the local engine: owns one task process per running task, and answers for all of them.

It has one thread, never touches the console's database, keeps secrets in memory only, and holds nothing that it could
not read again from disk: `kill -9` ends its tasks with it (parent-death signal), and the next host answers for them.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

from tasks.engines.local import requests, wire
from tasks.engines.local.requests import Answer, Desk

log = logging.getLogger(__name__)

DRAIN_WITHIN: Final = 12.0  # seconds that the tasks have to drain at a shutdown; then they are killed
IDLE_CLIENT: Final = 30.0  # seconds after which a client that says nothing is dropped


class AlreadyServed(Exception):
    """Another host holds the data directory."""


def engine_root(data_dir: Path) -> Path:
    return data_dir / "local-engine"


def serve(data_dir: Path, ready: Callable[[], None] = lambda: None) -> None:
    """Serve `data_dir` until SIGTERM or SIGINT, then drain. Raises AlreadyServed, OSError."""
    root = engine_root(data_dir)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = _lock(root)
    try:
        Host(root).run(ready)
    finally:
        os.close(lock)


def _lock(root: Path) -> int:
    fd = os.open(root / "host.lock", os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + 2.0  # the children of a killed host hold its lock for the moment that they take to die
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(0.05)
                continue
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise AlreadyServed(
                f"Another local engine (process {holder}) serves {root.parent}. "
                "End it first, or give this one its own OPS_DATA_DIR."
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        return fd


class Client:
    """One connection: requests in, answers out, in order."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.received = b""
        self.to_send = b""
        self.heard_at = time.monotonic()


class Host:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.desk = Desk(root)
        self.selector = selectors.DefaultSelector()
        self.clients: dict[socket.socket, Client] = {}
        self.drain_until: float | None = None
        self._wakeup, self._wakeup_write = socket.socketpair()

    def run(self, ready: Callable[[], None]) -> None:
        listener = _listen(self.root)
        self.selector.register(listener, selectors.EVENT_READ, self._accept)
        self._listen_to_signals()
        gc.collect()
        gc.freeze()  # what is loaded now stays shared with the children
        ready()
        log.info("The local engine serves %s.", self.root.parent)
        while not self._drained():
            for key, events in self.selector.select(self._patience()):
                key.data(key.fileobj, events)
            self._look_after()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.root / "engine.sock")
        log.info("The local engine has ended; all tasks are drained.")

    # --- signals and time -------------------------------------------------------------------------------

    def _listen_to_signals(self) -> None:
        self._wakeup.setblocking(False)
        self._wakeup_write.setblocking(False)
        signal.set_wakeup_fd(self._wakeup_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda number, frame: None)  # the wake-up byte is what the loop reads
        self.selector.register(self._wakeup, selectors.EVENT_READ, self._on_signal)

    def _on_signal(self, sock: Any, events: int) -> None:
        numbers = set(self._wakeup.recv(4096))
        if numbers & {signal.SIGTERM, signal.SIGINT} and self.drain_until is None:
            log.info("Told to end: draining %d tasks.", self.desk.running)
            self.drain_until = time.monotonic() + DRAIN_WITHIN
            self.desk.drain()

    def _patience(self) -> float:
        deadlines = [self.desk.next_deadline(), self.drain_until]
        soonest = min((at for at in deadlines if at is not None), default=time.monotonic() + 5.0)
        return max(0.0, min(5.0, soonest - time.monotonic()))

    def _look_after(self) -> None:
        self.desk.look_after()
        if self.drain_until is not None and time.monotonic() > self.drain_until:
            self.desk.kill_all()
            self.drain_until = time.monotonic() + 1.0
        silent = time.monotonic() - IDLE_CLIENT
        for client in [c for c in self.clients.values() if c.heard_at < silent]:
            self._drop(client)

    def _drained(self) -> bool:
        return self.drain_until is not None and not self.desk.running

    # --- clients ----------------------------------------------------------------------------------------

    def _accept(self, listener: Any, events: int) -> None:
        sock, _ = listener.accept()
        sock.setblocking(False)
        self.clients[sock] = Client(sock)
        self.selector.register(sock, selectors.EVENT_READ, self._on_client)

    def _on_client(self, sock: Any, events: int) -> None:
        client = self.clients.get(sock)
        if client is None:
            return
        try:
            if events & selectors.EVENT_READ:
                self._receive(client)
            if events & selectors.EVENT_WRITE:
                self._send(client)
        except OSError:
            self._drop(client)

    def _receive(self, client: Client) -> None:
        data = client.socket.recv(262_144)
        if not data:
            self._drop(client)
            return
        client.heard_at = time.monotonic()
        client.received += data
        while b"\n" in client.received:
            line, _, client.received = client.received.partition(b"\n")
            self.desk.answer(line, lambda answer: self._reply(client, answer))
        if len(client.received) > wire.LONGEST_REQUEST:
            self._reply(client, requests.refused("too_long", "The request is too long."))
            self._drop(client)

    def _reply(self, client: Client, answer: Answer) -> None:
        if client.socket not in self.clients:
            return  # it did not wait for a slow check
        client.to_send += orjson.dumps(answer) + b"\n"
        try:
            self._send(client)
        except OSError:
            self._drop(client)

    def _send(self, client: Client) -> None:
        if client.to_send:
            with contextlib.suppress(BlockingIOError):
                client.to_send = client.to_send[client.socket.send(client.to_send) :]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.to_send else 0)
        self.selector.modify(client.socket, wanted, self._on_client)

    def _drop(self, client: Client) -> None:
        if self.clients.pop(client.socket, None) is not None:
            self.selector.unregister(client.socket)
            client.socket.close()


def _listen(root: Path) -> socket.socket:
    """Listen on engine.sock in `root`, through the directory's descriptor: a path may be longer than 108 bytes."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(root / "engine.sock")  # left by a killed host: the lock says that none is alive
        listener.bind(f"/proc/self/fd/{directory}/engine.sock")
    finally:
        os.close(directory)
    listener.listen(128)
    listener.setblocking(False)
    return listener
