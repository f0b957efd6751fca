"""The contract's records as JSON: one request and one answer a line, no pickle."""

from __future__ import annotations

from typing import Any, Final

from tasks.engines.base import (
    JSON,
    AttemptRef,
    ConnectionSpec,
    Counters,
    DirtyRow,
    EngineState,
    ErrorClass,
    Fault,
    Found,
    FoundColumn,
    LogLine,
    Observation,
    Phase,
    SnapshotInfo,
    SourceSpec,
    TargetSpec,
    TaskSpec,
)

#: Bytes of a request: 10,000 attempts in one observe() fit.
LONGEST_REQUEST: Final = 4 * 1_048_576


def connection(data: JSON) -> ConnectionSpec:
    return ConnectionSpec(**data)


def task_spec(data: JSON) -> TaskSpec:
    source, target = data["source"], data["target"]
    return TaskSpec(
        **{
            **data,
            "source": SourceSpec(**{**source, "connection": connection(source["connection"])}),
            "target": TargetSpec(
                **{**target, "connection": connection(target["connection"]), "key": tuple(target["key"])}
            ),
        }
    )


def snapshot(data: JSON | None) -> SnapshotInfo | None:
    return SnapshotInfo(**data) if data else None


def counters(data: JSON) -> Counters:
    return Counters(**{name: value for name, value in data.items() if name in Counters.__dataclass_fields__})


def phase(data: JSON | None) -> Phase | None:
    return Phase(**data) if data else None


def ref(data: JSON) -> AttemptRef:
    return AttemptRef(**data)


def fault(data: JSON | None) -> Fault | None:
    return Fault(**{**data, "error_class": ErrorClass(data["error_class"])}) if data else None


def faults(data: list[JSON]) -> tuple[Fault, ...]:
    return tuple(found for item in data if (found := fault(item)) is not None)


def log_lines(data: list[JSON]) -> tuple[LogLine, ...]:
    return tuple(LogLine(**item) for item in data)


def observation(data: JSON) -> Observation:
    # An engine of a later version may show more than is known here, one of an earlier version less.
    values: dict[str, Any] = {
        **{name: value for name, value in data.items() if name in Observation.__dataclass_fields__},
        "ref": ref(data["ref"]),
        "state": EngineState(data["state"]),
        "counters": counters(data["counters"]),
        "snapshots": tuple(SnapshotInfo(**item) for item in data["snapshots"]),
        "dirty": tuple(DirtyRow(**item) for item in data["dirty"]),
        "fault": fault(data["fault"]),
        "phase": phase(data.get("phase")),
    }
    return Observation(**values)


def found(answer: Any) -> Found:
    """A check that ended without an answer comes as faults."""
    if isinstance(answer, list):
        return Found(problem=" ".join(fault.sentence for fault in faults(answer)))
    columns = tuple(FoundColumn(**column) for column in answer["columns"])
    return Found(tuple(answer["objects"]), columns, answer["problem"])
