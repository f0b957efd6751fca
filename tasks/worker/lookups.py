"""Answer what people who configure a task want to know of a connection."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from django.db.models import Model
from django.utils import timezone

from tasks.engines.base import EngineError
from tasks.models import Connection, Lookup, LookupKind, Task
from tasks.models.fields import SecretUnreadable
from tasks.submission import check_task
from tasks.worker import specs
from tasks.worker.sweeps import Engines

log = logging.getLogger(__name__)

MOST: Final = 5
KEPT: Final = timedelta(hours=1)


def answer_lookups(engines: Engines) -> None:
    """Answer those that wait, oldest first, a few in one sweep: each costs a process and a connection."""
    for lookup in Lookup.objects.filter(answered_at__isnull=True).order_by("pk")[:MOST]:
        found: list[Any] = []
        problem = ""
        try:
            found, problem = _ANSWERS[LookupKind(lookup.kind)](lookup.asked, engines)
        except (EngineError, SecretUnreadable) as error:
            problem = str(error)
        except Connection.DoesNotExist:
            problem = "This connection does not exist any more."
        except Exception:
            # What nobody thought of must not come up again at each pass, before all the others.
            log.exception("Look-up %s failed", lookup.pk)
            problem = "The worker could not look this up; its log says why."
        Lookup.objects.filter(pk=lookup.pk, answered_at__isnull=True).update(
            answered_at=timezone.now(), found=found, problem=problem
        )


def forget_lookups() -> None:
    Lookup.objects.filter(asked_at__lt=timezone.now() - KEPT).delete()


def _objects(asked: dict[str, str], engines: Engines) -> tuple[list[Any], str]:
    found = engines("local").look_up(specs.connection_spec(_connection(asked)), "")
    return [_plain(name) for name in found.objects], found.problem


def _columns(asked: dict[str, str], engines: Engines) -> tuple[list[Any], str]:
    found = engines("local").look_up(specs.connection_spec(_connection(asked)), asked["object"])
    columns = [asdict(column) for column in found.columns]
    return [column | {"name": _plain(column["name"])} for column in columns], found.problem


def _plain(name: str) -> str:
    """A file can name a column with a NUL in it, which PostgreSQL keeps in no text."""
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _connection(asked: dict[str, str]) -> Connection:
    return Connection.objects.get(name=asked["connection"])


def _check(asked: dict[str, Any], engines: Engines) -> tuple[list[Any], str]:
    plan, problems = check_task(asked)
    if problems:
        return [str(problem) for problem in problems], ""
    known = {field.attname for field in _model(Task)}
    values = {name: value for name, value in asdict(plan).items() if name in known and name != "owner"}
    task = Task(**values)
    fault = specs.missing_object(task)
    faults = (fault,) if fault else engines("local").check(specs.task_spec(task, None))
    return [fault.sentence for fault in faults], ""


def _model(model: type[Model]) -> Any:
    return model._meta.concrete_fields


_ANSWERS: Final = {LookupKind.OBJECTS: _objects, LookupKind.COLUMNS: _columns, LookupKind.CHECK: _check}
