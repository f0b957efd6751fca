"""What a submission asks for, with every default filled in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.submission.sections import Problem


@dataclass(frozen=True, slots=True)
class GroupPlan:
    name: str
    kind: str = "local"
    capacity: int = 100
    enabled: bool = True
    description: str = ""


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    name: str
    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    password_env: str = ""  # the variable that holds the password: never the password itself


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """Field names are those of the model, so that writing it is one loop."""

    name: str
    group_id: str
    source_connection_id: str
    source_object: str
    target_connection_id: str
    target_object: str
    source_options: dict[str, Any] = field(default_factory=dict)
    write_mode: str = "append"
    target_key: list[str] = field(default_factory=list)
    start_position: str = "earliest"
    snapshot_interval: int = 5
    exactly_once: bool = False
    dirty_limit: int = 100
    restart_limit: int = 5
    time_limits: dict[str, int] = field(default_factory=dict)
    description: str = ""
    owner: str = ""  # a user's name


@dataclass(frozen=True, slots=True)
class Plan:
    groups: list[GroupPlan]
    connections: list[ConnectionPlan]
    tasks: list[TaskPlan]
    warnings: list[Problem] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "resource_groups": [asdict(group) for group in self.groups],
            "connections": [asdict(connection) for connection in self.connections],
            "tasks": [asdict(task) for task in self.tasks],
        }
