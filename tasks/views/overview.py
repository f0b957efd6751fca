"""The console at a glance: who needs somebody, how much flows, how full the groups are."""

from __future__ import annotations

import time
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from tasks import attention
from tasks.filters import TaskFilter
from tasks.models import ResourceGroup
from tasks.series import Measure, Series, of_groups
from tasks.views import charts, htmx
from tasks.views.access import may_view
from tasks.views.listing import counts_of
from tasks.views.pages import cards_of
from tasks.views.ranges import RANGES, TimeRange, read_range

_GROUPS: Final = 12
_MEASURES: Final = {
    measure.key: measure
    for measure in (
        Measure("rows_read", "Read", "rows/s", "rows_read", "rate"),
        Measure("rows_written", "Written", "rows/s", "rows_written", "rate"),
        Measure("bytes_read", "Read", "bytes/s", "bytes_read", "rate"),
        Measure("bytes_written", "Written", "bytes/s", "bytes_written", "rate"),
        Measure("running", "Running", "tasks", "running"),
        Measure("lag_seconds", "The task furthest behind", "s", "lag_seconds"),
    )
}
_CHARTS: Final = (
    ("rows", "Rows a second, all tasks", ("rows_read", "rows_written")),
    ("bytes", "Bytes a second, all tasks", ("bytes_read", "bytes_written")),
    ("running", "Tasks running", ("running",)),
    ("lag", "Furthest behind", ("lag_seconds",)),
)


@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    may_view(request)
    chosen = read_range(request.GET, time.time())
    context = {**_context(chosen), "ranges": [(name, label) for name, (label, _) in RANGES.items()]}
    region = htmx.region(request, "overview", "tasks/partials/overview.html", context)
    if htmx.wants_fragment(request):
        if htmx.shown(request).get("overview") == region["version"]:
            return htmx.no_change()
        return render(request, "tasks/partials/region.html", {"region": region})
    return render(request, "tasks/overview.html", {"region": region, "chosen": chosen})


def _context(chosen: TimeRange) -> dict[str, Any]:
    found = of_groups(None, chosen.begin, chosen.end, time.time())
    groups = list(ResourceGroup.objects.order_by("name", "pk")[: _GROUPS + 1])
    return {
        "needs": attention.needs(timezone.now()),
        **counts_of(TaskFilter.read(QueryDict())),
        "chosen": chosen,
        "series": found,
        "is_empty": found.is_empty,
        "charts": [] if found.is_empty else _charts(found),
        "data": _data(found),
        "cards": cards_of(groups[:_GROUPS]),
        "more_groups": len(groups) > _GROUPS,
    }


def _charts(found: Series) -> list[charts.Chart]:
    return [charts.chart(key, title, [_MEASURES[name] for name in names], found, ()) for key, title, names in _CHARTS]


def _data(found: Series) -> dict[str, Any]:
    values = {
        key: [charts.shown(value, measure.unit) for value in found.values[key]] for key, measure in _MEASURES.items()
    }
    return {"begin": found.begin, "step": found.step, "length": found.length, "values": values}
