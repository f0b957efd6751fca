"""What a submission asks for, with every default filled in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from tasks.alerts.quiet import Quiet
from tasks.models import Comparison, Scope, Severity
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
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    name: str
    url_env: str  # the variable that holds the address: never the address itself


@dataclass(frozen=True, slots=True)
class RecipientGroupPlan:
    name: str
    description: str = ""
    people: list[str] = field(default_factory=list)  # users' names
    channels: list[ChannelPlan] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RulePlan:
    """Field names are those of the model; `people` and `groups` hold names. Times are in seconds."""

    name: str
    metric: str
    description: str = ""
    enabled: bool = True
    severity: str = Severity.IMPORTANT.value
    scope: str = Scope.ALL.value
    names: list[str] = field(default_factory=list)
    comparison: str = Comparison.ABOVE.value
    threshold: float = 0.0
    window: int = 0
    resolve_after: int = 60
    interval: int = 3_600
    cap: int = 60
    cap_period: int = 3_600
    quiet: list[Quiet] = field(default_factory=list)
    zone: str = "UTC"
    to_owner: bool = False
    people: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    groups: list[GroupPlan]
    connections: list[ConnectionPlan]
    tasks: list[TaskPlan]
    recipient_groups: list[RecipientGroupPlan] = field(default_factory=list)
    alert_rules: list[RulePlan] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def by_key(self) -> dict[str, list[Any]]:
        """Return the plans by their key in the file."""
        return {
            "resource_groups": self.groups,
            "connections": self.connections,
            "tasks": self.tasks,
            "recipient_groups": self.recipient_groups,
            "alert_rules": self.alert_rules,
        }

    def as_dict(self) -> dict[str, Any]:
        return {key: [asdict(plan) for plan in plans] for key, plans in self.by_key().items()}
