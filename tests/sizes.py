"""Hold the house's sizes: files of at most 400 lines (tests 500), functions of at most 50."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES, TEST_FILE_LINES, FUNCTION_LINES = 400, 500, 50


def too_large(root: Path = ROOT) -> list[str]:
    """Return one sentence for each file or function that is too long."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.html", "*.css", "*.js"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    found: list[str] = []
    for name in listed:
        path = root / name
        if "migrations/" in name or not path.exists():
            continue
        text = path.read_text()
        limit = TEST_FILE_LINES if name.startswith("tests/") else FILE_LINES
        if (lines := text.count("\n")) > limit:
            found.append(f"{name} has {lines} lines; {limit} is the most.")
        if path.suffix == ".py":
            found += _long_functions(name, text)
    return found


def _long_functions(name: str, text: str) -> list[str]:
    return [
        f"{name}:{node.lineno} {node.name} has {length} lines; {FUNCTION_LINES} is the most."
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]


if __name__ == "__main__":
    problems = too_large()
    print("\n".join(problems))
    sys.exit(1 if problems else 0)
