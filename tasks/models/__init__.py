"""The console's memory, one noun a file."""

from tasks.models.alert import (
    Alert,
    AlertEvent,
    AlertEventKind,
    AlertPending,
    DeliveryAttempt,
    NoticeKind,
    NoticeState,
    Notification,
)
from tasks.models.alert_rule import (
    AlertMetric,
    AlertRule,
    Comparison,
    RecipientChannel,
    RecipientGroup,
    Scope,
    Severity,
)
from tasks.models.connection import Connection, ConnectionKind
from tasks.models.dirty_row import DirtyRow
from tasks.models.history import StatusChange
from tasks.models.log import LogLine
from tasks.models.metric import GroupSample, Sample
from tasks.models.operation import OperationRequest, OperationTotal
from tasks.models.resource_group import EngineKind, ResourceGroup
from tasks.models.run import Attempt, Run
from tasks.models.snapshot import Snapshot, SnapshotKind
from tasks.models.task import StartPosition, Task, WriteMode
from tasks.models.worker import Lease, WorkerHeartbeat

__all__ = [
    "Alert",
    "AlertEvent",
    "AlertEventKind",
    "AlertMetric",
    "AlertPending",
    "AlertRule",
    "Attempt",
    "Comparison",
    "Connection",
    "ConnectionKind",
    "DeliveryAttempt",
    "DirtyRow",
    "EngineKind",
    "GroupSample",
    "Lease",
    "LogLine",
    "NoticeKind",
    "NoticeState",
    "Notification",
    "OperationRequest",
    "OperationTotal",
    "RecipientChannel",
    "RecipientGroup",
    "ResourceGroup",
    "Run",
    "Sample",
    "Scope",
    "Severity",
    "Snapshot",
    "SnapshotKind",
    "StartPosition",
    "StatusChange",
    "Task",
    "WorkerHeartbeat",
    "WriteMode",
]
