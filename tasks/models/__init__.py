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
from tasks.models.batch import Batch, BatchItem, ItemState
from tasks.models.connection import Connection, ConnectionKind
from tasks.models.dirty_row import DirtyRow
from tasks.models.history import StatusChange
from tasks.models.log import LogLine
from tasks.models.lookup import Lookup, LookupKind
from tasks.models.metric import GroupSample, Sample
from tasks.models.operation import OperationRequest, OperationTotal
from tasks.models.resource_group import EngineKind, ResourceGroup
from tasks.models.run import Attempt, Run
from tasks.models.snapshot import Snapshot, SnapshotKind
from tasks.models.tag import TaskTag
from tasks.models.task import StartPosition, Task, WriteMode
from tasks.models.viewing import Density, Preference, SavedView
from tasks.models.worker import Lease, WorkerHeartbeat

__all__ = [
    "Alert",
    "AlertEvent",
    "AlertEventKind",
    "AlertMetric",
    "AlertPending",
    "AlertRule",
    "Attempt",
    "Batch",
    "BatchItem",
    "Comparison",
    "Connection",
    "ConnectionKind",
    "DeliveryAttempt",
    "Density",
    "DirtyRow",
    "EngineKind",
    "GroupSample",
    "ItemState",
    "Lease",
    "LogLine",
    "Lookup",
    "LookupKind",
    "NoticeKind",
    "NoticeState",
    "Notification",
    "OperationRequest",
    "OperationTotal",
    "Preference",
    "RecipientChannel",
    "RecipientGroup",
    "ResourceGroup",
    "Run",
    "Sample",
    "SavedView",
    "Scope",
    "Severity",
    "Snapshot",
    "SnapshotKind",
    "StartPosition",
    "StatusChange",
    "Task",
    "TaskTag",
    "WorkerHeartbeat",
    "WriteMode",
]
