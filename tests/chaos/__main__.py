"""`make chaos`: the long form, five rounds with a seed each that is printed; --replay runs one plan again.

Everything about a round lies in one directory: the plan, what was done and when, each process's log, the report.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

MODEL = ["tests/chaos/test_model.py"]
#: Two at a time: each mostly waits, and shares nothing with the other but the machine, which only makes it harder.
PROOFS = ["-n", "2", "tests/chaos/test_faults.py", "tests/chaos/test_storm.py"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="of the first round"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--replay", type=Path, metavar="PLAN", help="a plan.jsonl of an earlier round: run it again")
    parser.add_argument("--on", choices=["sqlite", "postgresql"], help="with --replay: the control database")
    options = parser.parse_args()
    kept = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"seed {options.seed}; everything is kept in {kept}", flush=True)
    if options.replay:
        environment = {"CHAOS_REPLAY": str(options.replay.resolve()), "CHAOS_LONG": "1"}
        return proof(["tests/chaos/test_faults.py", "-k", options.on or ""], kept, environment)
    for n in range(options.rounds):
        seed = options.seed + n
        print(f"round {n + 1} of {options.rounds}, seed {seed}", flush=True)
        environment = {"CHAOS_SEED": str(seed), "CHAOS_LONG": "1"}
        if proof(MODEL, kept / str(seed), environment) or proof(PROOFS, kept / str(seed), environment):
            print(f"Round {n + 1} failed. Run it again: make chaos ARGS='--seed {seed} --rounds 1'", file=sys.stderr)
            return 1
    for line in summary([json.loads(path.read_text()) for path in kept.rglob("report.json")]):
        print(line)
    return 0


def proof(words: list[str], kept: Path, environment: dict[str, str]) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "--timeout", "1800", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, env={**os.environ, **environment, "CHAOS_KEEP": str(kept)}, check=False).returncode


def summary(reports: list[dict[str, Any]]) -> list[str]:
    """Return what all rounds together showed, by test and control database."""
    lines = []
    for name in sorted({report["name"] for report in reports}):
        group = [report for report in reports if report["name"] == name]
        lines.append(f"{name}: {len(group)} rounds")
        for what in ("operating p50", "operating max", "accepted to worker p50", "accepted to worker max"):
            lines.append(f"  {what}, s: {', '.join(str(report[what]) for report in group)}")
        for what in ("accepted", "refused", "not answered"):
            lines.append(f"  {what}: {sum(report.get(what, 0) for report in group)}")
        faults = sum((Counter(report.get("faults", {})) for report in group), Counter[str]())
        if faults:
            lines.append(f"  {faults.total()} faults: {', '.join(f'{kind} {n}' for kind, n in faults.most_common())}")
        tasks = [task for report in group for task in report.get("tasks", {}).values()]
        if tasks:
            totals = {what: sum(task[what] for task in tasks) for what in tasks[0]}
            lines.append("  " + ", ".join(f"{what}: {n:,}" for what, n in totals.items()))
    return lines


if __name__ == "__main__":
    sys.exit(main())
