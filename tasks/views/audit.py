"""The page of everything that happened, and the same as a file."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from tasks.audit import COLUMNS, KINDS, AuditFilter, Event, events, events_after
from tasks.snapshots import moment
from tasks.statuses import Channel, Operation, Outcome, Tone
from tasks.views.access import may_view
from tasks.views.ranges import LONGEST, RANGES, TimeRange, read_range

PER_PAGE: Final = 100
#: Lines of a file; a longer range is downloaded in parts.
MOST: Final = 100_000
_TONES: Final = {
    Outcome.OPEN.value: Tone.PROGRESS,
    Outcome.SUCCEEDED.value: Tone.GOOD,
    Outcome.FAILED.value: Tone.BAD,
    Outcome.REFUSED.value: Tone.HELD,
    Outcome.UNKNOWN.value: Tone.BAD,
}


@require_GET
def history(request: HttpRequest) -> HttpResponse:
    may_view(request)
    asked, chosen, begin, end = _read(request)
    place = request.GET.get("after", "")[:100].replace(" ", "+")
    found = list(islice(events_after(place, asked, begin, end), PER_PAGE + 1))
    shown = found[:PER_PAGE]
    query = "&".join(part for part in (asked.query(), chosen.query if chosen else "") if part)
    context = {
        "asked": asked,
        "chosen": chosen,
        "query": query,
        "rows": [_row(event) for event in shown],
        "older": shown[-1].place if len(found) > PER_PAGE else "",
        "is_first": not place,
        "kinds": KINDS,
        "operations": Operation.choices,
        "outcomes": Outcome.choices,
        "channels": Channel.choices,
        "ranges": [(name, label) for name, (label, _) in RANGES.items()],
        "most": MOST,
    }
    return render(request, "tasks/audit.html", context)


def _read(request: HttpRequest) -> tuple[AuditFilter, TimeRange | None, datetime | None, datetime]:
    asked = AuditFilter.read(request.GET)
    now = timezone.now() + timedelta(seconds=1)
    if not any(request.GET.get(name) for name in ("range", "from", "to")):
        return asked, None, None, now
    chosen = read_range(_times(request), time.time(), "24h")
    return asked, chosen, moment(chosen.begin), moment(chosen.end + 1)


def _times(request: HttpRequest) -> dict[str, str]:
    """Return what decides on the range: one that is chosen by name goes before the ends that still stand beside it."""
    given = {name: request.GET.get(name, "") for name in ("range", "from", "to")}
    if given["range"] in RANGES:
        return {"range": given["range"]}
    if given["to"] and not given["from"]:
        given["from"] = "2000-01-01"  # of an end that can't be read it is the end that will be named
        with suppress(ValueError, OverflowError):
            given["from"] = (datetime.fromisoformat(given["to"]) - timedelta(seconds=LONGEST)).isoformat()
    return given


def _row(event: Event) -> dict[str, Any]:
    outcome = Outcome(event.outcome).label if event.outcome else ""
    return {"it": event, "tone": _TONES.get(event.outcome, Tone.NEUTRAL), "outcome": outcome}


@require_GET
def history_file(request: HttpRequest, form: str) -> HttpResponse | StreamingHttpResponse:
    """What the page would show, all of it, as CSV or as JSON lines; the latest first."""
    may_view(request)
    asked, chosen, begin, end = _read(request)
    if chosen is not None and chosen.problem:
        return HttpResponse(f"{chosen.problem}\n", status=400, content_type="text/plain; charset=utf-8")
    found = islice(events(asked, begin, end), MOST)
    lines = _csv_lines(found) if form == "csv" else _json_lines(found)
    kind = "text/csv" if form == "csv" else "application/json"
    response = StreamingHttpResponse(lines, content_type=f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="history.{form}"'
    return response


class _Line:
    """What csv writes into: it hands each line on."""

    def write(self, line: str) -> str:
        return line


def _csv_lines(found: Iterator[Event]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(COLUMNS)
    for event in found:
        values = event.as_dict()
        yield writer.writerow([_harmless(values[name]) for name in COLUMNS])


def _harmless(value: Any) -> Any:
    """A spreadsheet must not take what somebody typed for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _json_lines(found: Iterator[Event]) -> Iterator[str]:
    """One array, an event a line."""
    yield "["
    for n, event in enumerate(found):
        yield f"{',' if n else ''}\n{json.dumps(event.as_dict(), ensure_ascii=False)}"
    yield "\n]\n"
