"""The console's memory, one noun a file."""

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
    "Attempt",
    "Connection",
    "ConnectionKind",
    "DirtyRow",
    "EngineKind",
    "GroupSample",
    "Lease",
    "LogLine",
    "OperationRequest",
    "OperationTotal",
    "ResourceGroup",
    "Run",
    "Sample",
    "Snapshot",
    "SnapshotKind",
    "StartPosition",
    "StatusChange",
    "Task",
    "WorkerHeartbeat",
    "WriteMode",
]
