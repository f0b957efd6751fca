"""What each page carries: the worker's banner and the badge of open alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from tasks.views import htmx

NAMES = ("worker_banner", "alert_badge")


def changed_pulse(request: HttpRequest, shown: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return those of the regions that a page shows in another version."""
    regions = [
        htmx.region(request, name, f"tasks/partials/{name}.html", {}, oob=True) for name in NAMES if name in shown
    ]
    return [region for region in regions if region["version"] != shown[region["id"]]]
