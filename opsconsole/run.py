"""`make run`: prepare the console, then start what the Procfile names, in the foreground, until told to end.

Honcho starts the processes and ends all of them together. A process that dies by itself is started again after a
second: tasks and statuses heal without anybody there.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import honcho.manager
from django.core.exceptions import ImproperlyConfigured
from honcho.environ import parse_procfile
from honcho.printer import Printer

ROOT = Path(__file__).resolve().parent.parent
#: Seconds that all processes have for a clean end; the engine drains its tasks in this time.
END_WITHIN = 17
READY_WITHIN = 60

#: SIGTERM reaches the whole process group: the shell only has to stop starting again. The command stands in the
#: environment, so that whoever looks for a process by its command line finds the process and not this shell.
AGAIN = """trap 'ending=1' TERM INT
while [ -z "$ending" ]; do
  sh -c "exec $OPS_PROCESS" &
  child=$!
  while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
  [ -n "$ending" ] && exit 0
  [ "$code" = "$OPS_FATAL" ] && exit $code
  echo "ended by itself (code $code); starting it again"
  sleep 1
done"""
#: How a process says that starting it again can't help: a bad setting, another engine on the data directory.
FATAL = 3


def main() -> int:
    try:
        from opsconsole import settings
    except ImproperlyConfigured as error:
        print(error, file=sys.stderr)
        return 1
    problem = _port_in_use(settings.PORT)
    if problem:
        print(problem, file=sys.stderr)
        return 1
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["PORT"] = str(settings.PORT)
    processes = parse_procfile((ROOT / "Procfile").read_text()).processes
    if subprocess.run(["/bin/sh", "-c", processes.pop("release")], cwd=ROOT, check=False).returncode != 0:
        print("The console could not be prepared; the reason is above.", file=sys.stderr)
        return 1
    if settings.OPS_DEMO:
        processes["demo"] = "python manage.py demo"
    return _supervise(processes, settings.PORT)


def _port_in_use(port: int) -> str:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return f"Port {port} can't be used ({error.strerror}). End what uses it, or set PORT to another one."
    return ""


def _supervise(processes: dict[str, str], port: int) -> int:
    honcho.manager.KILL_WAIT = END_WITHIN
    manager = honcho.manager.Manager(Printer(sys.stdout))
    for name, command in processes.items():
        environment = {**os.environ, "OPS_PROCESS": command, "OPS_FATAL": str(FATAL)}
        manager.add_process(name, AGAIN, env=environment, cwd=str(ROOT))
    Thread(target=_announce, args=(port,), daemon=True).start()
    Thread(target=_heed_make, args=(os.getppid(),), daemon=True).start()
    manager.loop()
    # Ended as asked is a good end, whichever signal asked for it.
    return 0 if manager.returncode in (130, 143, None) else int(manager.returncode)


def _heed_make(parent: int) -> None:
    """End when `make` was told to. A SIGINT sent to make alone it keeps to itself, and waits for its child to end:
    all that can be seen of it is that it no longer catches that signal."""
    caught = _catches_interrupt(parent)
    while os.getppid() == parent and _catches_interrupt(parent) == caught:
        sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)


def _catches_interrupt(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    mask = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(mask, 16) >> (signal.SIGINT - 1) & 1)


def _announce(port: int) -> None:
    """Say where the console is as soon as it answers."""
    address = f"http://127.0.0.1:{port}/"
    until = monotonic() + READY_WITHIN
    while monotonic() < until:
        try:
            with urllib.request.urlopen(f"{address}readyz", timeout=2):  # noqa: S310  (a fixed loopback address)
                print(f"\n  The console is ready: {address}  (Ctrl-C ends it)\n", flush=True)
                return
        except (urllib.error.URLError, OSError):
            sleep(0.2)
    print(f"The console did not become ready within {READY_WITHIN} s; see the lines above.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
