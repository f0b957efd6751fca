"""Who may import whom: the arrows of the house, read from the sources."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: importer (module prefix) -> what it must never import (module prefixes)
BANS = {
    "tasks.statuses": ["tasks"],
    "tasks.models": ["tasks.transitions", "tasks.operations", "tasks.guards", "tasks.views", "tasks.engines"],
    "tasks.transitions": ["tasks.operations", "tasks.guards", "tasks.views", "tasks.engines", "tasks.worker"],
    "tasks.guards": ["tasks.operations", "tasks.views", "tasks.engines", "tasks.worker"],
    "tasks.operations": ["tasks.views", "tasks.engines", "tasks.worker", "tasks.admin"],
    "tasks.submission": ["tasks.views", "tasks.engines", "tasks.worker", "tasks.admin"],
    "tasks.views": ["tasks.engines", "tasks.worker", "tasks.api"],
    "tasks.api": ["tasks.engines", "tasks.worker", "tasks.views"],
    "tasks.admin": ["tasks.engines", "tasks.worker", "tasks.views"],
    "tasks.engines": ["tasks.models", "tasks.worker", "tasks.views", "tasks.operations", "tasks.transitions"],
    "tasks.engines.base": ["django", "tasks"],
    "tasks.engines.local": ["django"],
    "tasks.engines.local.sources": ["tasks.engines.local.host", "tasks.engines.local.client"],
    "tasks.engines.local.targets": ["tasks.engines.local.host", "tasks.engines.local.client"],
    "tasks.worker": ["tasks.views", "tasks.api", "tasks.admin"],
    "tasks.snapshots": ["tasks.engines", "tasks.worker", "tasks.views"],
    "tasks.wakeup": ["tasks"],
    "tasks.detection": ["tasks.engines", "tasks.worker", "tasks.views", "tasks.operations"],
    "tasks.runs": ["tasks.engines", "tasks.worker", "tasks.views"],
}


def imports() -> dict[str, set[str]]:
    """Return each module of the project with the modules that it imports."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tasks").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        names = found.setdefault(module, set())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


IMPORTS = imports()


def within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


@pytest.mark.parametrize("importer", sorted(BANS))
def test_no_arrow_points_the_wrong_way(importer: str) -> None:
    wrong = [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        if within(module, importer)
        for name in sorted(names)
        for ban in BANS[importer]
        if within(name, ban) and not within(name, importer)
    ]
    assert not wrong


def test_the_matrix_knows_the_vocabulary_only() -> None:
    wrong = {
        name for name in IMPORTS["tasks.matrix"] if name.startswith("tasks") and not within(name, "tasks.statuses")
    }
    assert not wrong


def test_only_transitions_writes_a_status() -> None:
    writers = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tasks").rglob("*.py"))
        if path.name not in ("transitions.py",) and "migrations" not in path.parts and _writes_status(path)
    ]
    assert not writers


def _writes_status(path: Path) -> bool:
    """Whether the file has `<x>.status = ...` or `.update(status=...)`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Attribute) and t.attr == "status" for t in node.targets
        ):
            return True
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "update"
            and any(keyword.arg == "status" for keyword in node.keywords)
        ):
            return True
    return False


def test_there_are_no_signals() -> None:
    wrong = [module for module, names in IMPORTS.items() if any("django.db.models.signals" in name for name in names)]
    assert not wrong
