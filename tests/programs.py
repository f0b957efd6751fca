"""Bring what tests drive and the machine lacks: programs by apt-get (as root), axe-core from the npm registry."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests import axe
from tests.postgres import bin_dir

#: program -> Debian package
WANTED = {"chromium": "chromium", "postgres": "postgresql"}


def main() -> None:
    axe.bring()
    there = {"chromium": shutil.which("chromium"), "postgres": bin_dir()}
    missing = [package for program, package in WANTED.items() if there[program] is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(f"Not on this machine, and only root can install it: {', '.join(missing)}; its tests are skipped.")
        return
    print(f"Installing {', '.join(missing)} ...", flush=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "check": False}
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update"], env=environment, **quiet)  # type: ignore[call-overload]
    done = subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *missing], env=environment, **quiet)  # type: ignore[call-overload]
    if done.returncode != 0:
        print(f"apt-get could not install {', '.join(missing)}; its tests are skipped.", file=sys.stderr)


if __name__ == "__main__":
    main()
